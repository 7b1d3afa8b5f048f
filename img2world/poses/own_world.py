"""The world of the package: the first view has the identity rotation, one unit before the origin, and looks at it."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from img2world.core.conventions import INPUT_DISTANCE
from img2world.poses.camera_parameters import CameraParameters

MIN_AXIS_SPREAD = 0.005
"""Least mean squared sine of the angles between the optical axes and the direction nearest to them all, across which
they differ least, for the point where they meet to be well defined."""


def in_own_world(
    cameras: CameraParameters, points: Float64[np.ndarray, "P 3"], distance: float
) -> tuple[CameraParameters, Float64[np.ndarray, "P 3"]]:
    """Return cameras and points of another world in this one.

    What is `distance` units of that world in front of the first view comes to lie at the origin.
    """
    first = cameras.cam_from_world[0]
    start = np.array([0.0, 0.0, -INPUT_DISTANCE])

    def transform(positions: np.ndarray) -> np.ndarray:
        return INPUT_DISTANCE / distance * (positions @ first[:, :3].T + first[:, 3]) + start

    rotations = cameras.rotations @ first[:, :3].T
    translations = -np.einsum("vij,vj->vi", rotations, transform(cameras.centers))
    return replace(cameras, cam_from_world=np.concatenate([rotations, translations[..., None]], 2)), transform(points)


def meeting_depth(cameras: CameraParameters) -> float | None:
    """Return the distance from the first view, along its axis, of the point nearest to all optical axes.

    None where they are almost parallel.
    """
    axes, centers = cameras.rotations[:, 2], cameras.centers
    projectors = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # [V, 3, 3]
    if np.linalg.eigvalsh(projectors.mean(0))[0] <= MIN_AXIS_SPREAD:
        return None
    focus = np.linalg.solve(projectors.sum(0), np.einsum("vij,vj->i", projectors, centers))
    return float(axes[0] @ (focus - centers[0]))
