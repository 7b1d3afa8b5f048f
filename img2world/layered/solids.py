"""What shapes have in common that an outline tells: bodies of revolution and boxes, in the space of the camera."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE

FARTHEST_OUT = 0.48
"""Distance from the axis that the path turns about, relative to the frame's width: farther out is out of the frame."""

LEAST_OVERLAP = 0.95
"""Of the outlines of a thing and of its simple shape."""

LARGEST_DIFFERENCE = 0.04
"""From what the network sees: error of the front without its place and half of the thickness's, relative to the
frame's width."""


@runtime_checkable
class Solid(Protocol):
    """A closed shape that stands upright, near the point that the camera looks at."""

    @property
    def elevation(self) -> float:
        """Of the camera, in radians: the vertical leans by as much towards it."""
        ...

    def surface(self, rows: int, columns: int) -> Float64[np.ndarray, "rows columns 3"]:
        """Places on it in the space of the camera: from the bottom's middle to the top's, and once around.

        Column 0 and the last look away from the camera; columns go on to its right.
        """
        ...

    def depths(self, camera: Cameras) -> tuple[Float64[np.ndarray, "H W"], Float64[np.ndarray, "H W"]]:
        """Depth of the first and of the last surface along +Z of the camera, NaN beside it."""
        ...


def up_in_cam(elevation: float) -> Float64[np.ndarray, "3"]:
    """Upwards as a camera sees it that looks down by an angle."""
    return np.array([0, -np.cos(elevation), -np.sin(elevation)])


def around_axis(elevation: float, angles: Float64[np.ndarray, "A"]) -> Float64[np.ndarray, "A 3"]:
    """Directions across an axis that leans so, in the space of the camera: at angle 0 away from it, then rightwards."""
    sideways = np.array([1.0, 0, 0])
    away = np.cross(up_in_cam(elevation), sideways)
    return np.sin(angles)[:, None] * sideways + np.cos(angles)[:, None] * away


def frame_width(camera: Cameras) -> float:
    """What the camera's frame is wide at the thing's distance, in lengths of the world."""
    return INPUT_DISTANCE * camera.width / float(camera.intrinsics[0, 0, 0])


def difference(
    shape: Solid,
    inside: Bool[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    thickness: Float32[np.ndarray, "S S"],
    camera: Cameras,
) -> float:
    """How much a shape differs from what the network sees, see LARGEST_DIFFERENCE; infinite if its outline does.

    `front` and `thickness` are relative to the frame's width, as in `ObjectGeometry`.
    """
    near, far = shape.depths(camera)
    hit = np.isfinite(near)
    both = hit & inside
    if both.sum() < LEAST_OVERLAP * (hit | inside).sum():
        return np.inf
    frame = frame_width(camera)
    of_front = front[both] - near[both] / frame
    of_thickness = thickness[both] - (far - near)[both] / frame
    return float(np.abs(of_front - np.median(of_front)).mean() + 0.5 * np.abs(of_thickness).mean())


def sampled(values: Float32[np.ndarray, "S S ..."], points: np.ndarray, camera: Cameras) -> Float32[np.ndarray, "..."]:
    """Values of a map where points [..., 3] in the space of the camera are seen; held at the map's border."""
    from img2world.layered.sampling import bilinear

    projected = points @ camera.intrinsics[0].T.astype(np.float64)
    xy = (projected[..., :2] / projected[..., 2:]).astype(np.float32).reshape(-1, 2)
    read = bilinear(values.reshape(*values.shape[:2], -1), xy)
    return read.reshape(*points.shape[:-1], *values.shape[2:])
