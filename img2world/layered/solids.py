"""Common parts of the solids that are fitted to an outline, surfaces of revolution and boxes, in camera space."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.sampling import sample_texture

MAX_RADIUS = 0.48
"""Maximum distance from the axis that the path turns about, relative to the frame's width: more leaves the frame."""

MIN_IOU = 0.95
"""Minimum intersection over union of the silhouettes of an object and of the shape fitted to it."""

MAX_DIFFERENCE = 0.04
"""Maximum of `shape_difference`, relative to the frame's width."""


@runtime_checkable
class Solid(Protocol):
    """A closed upright shape near the point that the camera looks at."""

    @property
    def elevation(self) -> float:
        """Return the elevation of the camera in radians: the vertical leans towards the camera by this angle."""
        ...

    def surface(self, rows: int, columns: int) -> Float64[np.ndarray, "rows columns 3"]:
        """Return a grid of surface points in camera space: rows from the bottom's center to the top's, columns around.

        The first and last column are the same and face away from the camera; columns proceed to the camera's right.
        """
        ...

    def depths(self, camera: Cameras) -> tuple[Float64[np.ndarray, "H W"], Float64[np.ndarray, "H W"]]:
        """Return the depth along +Z of the first and of the last surface at each pixel, NaN where there is none."""
        ...


def up_in_cam(elevation: float) -> Float64[np.ndarray, "3"]:
    """Return the upward unit vector in the space of a camera that looks down by `elevation`, in radians."""
    return np.array([0, -np.cos(elevation), -np.sin(elevation)])


def around_axis(elevation: float, angles: Float64[np.ndarray, "A"]) -> Float64[np.ndarray, "A 3"]:
    """Return horizontal unit vectors in camera space: away from the camera at angle 0, to its right at π/2."""
    right = np.array([1.0, 0, 0])
    away = np.array([0, -np.sin(elevation), np.cos(elevation)])  # up × right
    return np.sin(angles)[:, None] * right + np.cos(angles)[:, None] * away


def frame_width(camera: Cameras) -> float:
    """Return the width of the camera's frame at the object's distance, INPUT_DISTANCE, in world units."""
    return INPUT_DISTANCE * camera.width / float(camera.intrinsics[0, 0, 0])


def shape_difference(
    shape: Solid,
    inside: Bool[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    thickness: Float32[np.ndarray, "S S"],
    camera: Cameras,
    *,
    min_iou: float = MIN_IOU,
) -> float:
    """Return by how much a shape differs from the predicted geometry, relative to the frame's width.

    That is the mean absolute error of the front, up to a shift in depth, plus half that of the thickness; infinite when
    the IoU of the silhouettes is below `min_iou`. `front` and `thickness` are those of `ObjectGeometry`.
    """
    near, far = shape.depths(camera)
    hit = np.isfinite(near)
    both = hit & inside
    if both.sum() < min_iou * (hit | inside).sum():
        return np.inf
    frame = frame_width(camera)
    front_error = front[both] - near[both] / frame
    thickness_error = thickness[both] - (far - near)[both] / frame
    return float(np.abs(front_error - np.median(front_error)).mean() + 0.5 * np.abs(thickness_error).mean())


def sample_at_points(
    values: Float32[np.ndarray, "S S ..."], points_in_cam: np.ndarray, camera: Cameras
) -> Float32[np.ndarray, "..."]:
    """Sample a map of the camera's frame where it shows points [..., 3]; positions are clamped to the map."""
    projected = points_in_cam @ camera.intrinsics[0].T.astype(np.float64)
    xy = (projected[..., :2] / projected[..., 2:]).astype(np.float32).reshape(-1, 2)
    sampled = sample_texture(values.reshape(*values.shape[:2], -1), xy)
    return sampled.reshape(*points_in_cam.shape[:-1], *values.shape[2:])
