"""The region in which a scene may be looked at without seeing what it does not contain."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Range = tuple[float, float]
"""Minimum and maximum."""


@dataclass(frozen=True, kw_only=True)
class SupportedRegion:
    """Limits of the camera, relative to the scene's first camera. Angles are in radians, lengths in world units."""

    pivot: tuple[float, float, float]
    """Point in the world about which azimuth and elevation are measured, and which the camera orbits."""
    azimuth: Range
    """Limits of the position, positive to the camera's right; those of an object are -pi and pi."""
    elevation: Range
    """Limits of the position, positive upwards."""
    distance: Range
    """Limits of the distance from the pivot."""
    turn_yaw: Range
    """Limits of the look to the right of the pivot, relative to that of the first camera."""
    turn_pitch: Range
    """Limits of the look above the pivot, relative to that of the first camera."""
    outline: tuple[float, float, float, float]
    """Left, top, right and bottom edges of what the first camera is to show, as x / z and y / z in that camera.

    The edges of the picture of a scene, the edges of an object as seen from all sides.
    """

    def as_json(self) -> dict[str, Any]:
        """Return the limits as a JSON object."""
        return asdict(self)

    def report(self) -> dict[str, float]:
        """Return how far the camera may go, in degrees to each side and in world units from the pivot."""
        angles = {
            "left": -self.azimuth[0],
            "right": self.azimuth[1],
            "up": self.elevation[1],
            "down": -self.elevation[0],
        }
        lengths = {"near": self.distance[0], "far": self.distance[1]}
        degrees = {name: round(float(np.degrees(angle)), 1) for name, angle in angles.items()}
        return degrees | {name: round(length, 3) for name, length in lengths.items()}


def region_from_json(table: dict[str, Any]) -> SupportedRegion:
    """Return the region that `as_json` described."""
    return SupportedRegion(**{name: tuple(values) for name, values in table.items()})
