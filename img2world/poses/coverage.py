"""How many sides of something that moves were seen, at any time and at one time."""

import numpy as np
from jaxtyping import Bool, Float

from img2world.core.views import Views

SEEN_ANGLE = np.radians(60)
"""Angle to the side of a camera up to which what it looks at is seen: surfaces that face farther away appear as
streaks at best."""

NUM_SIDES = 360


def seen_sides(views: Views) -> dict[str, float]:
    """Return which fraction of the sides around the origin, where the cameras look, is seen, and at how many times.

    `sides_seen` at some time, `sides_seen_at_a_time` on average over the times. The world is upright. What hides itself
    is not taken into account, so that less is seen of it. Empty for views without times.
    """
    if views.times is None:
        return {}
    way = views.cameras.centers_in_world.astype(np.float64)
    azimuths = np.arctan2(way[:, 0], -way[:, 2])
    seen = _sees(azimuths)
    times = np.unique(views.times)
    at_a_time = np.mean([seen[views.times == time].any(0).mean() for time in times])
    return {
        "times": float(len(times)),
        "sides_seen": float(seen.any(0).mean()),
        "sides_seen_at_a_time": float(at_a_time),
    }


def _sees(azimuths: Float[np.ndarray, "V"]) -> Bool[np.ndarray, "V S"]:
    """Tell for each camera which of the sides around the vertical it sees."""
    sides = np.arange(NUM_SIDES) * (2 * np.pi / NUM_SIDES)
    apart = np.abs((azimuths[:, None] - sides + np.pi) % (2 * np.pi) - np.pi)
    return apart <= SEEN_ANGLE
