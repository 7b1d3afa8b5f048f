"""Accuracy of camera poses, independent of the world frame.

Angles between pairs of views, as in Wang et al., "PoseDiffusion" (ICCV 2023). The absolute trajectory error (ATE) is
not used: on an orbit it stays small for cameras that look the wrong way.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int

from img2world.core.cameras import Cameras

AUC_LIMIT = 30
"""Largest threshold in degrees."""


@dataclass(frozen=True, kw_only=True)
class PoseScore:
    """Percentages of all pairs of frames; pairs with a frame that was not placed count as wrong."""

    placed: int
    total: int
    rra5: float
    """Pairs whose relative rotation is within 5 degrees."""
    rra15: float
    rta5: float
    """Pairs whose relative translation direction is within 5 degrees."""
    rta15: float
    auc30: float
    """Mean percentage of pairs with both within 1, 2, … 30 degrees."""
    median_rotation_deg: float
    """Median over the pairs that were placed."""
    median_direction_deg: float
    focal_error: float
    """Median ratio of estimated and true focal length, minus 1."""


def score_poses(estimated_cameras: Cameras, truth: Cameras, placed: Int[np.ndarray, "K"]) -> PoseScore:
    """Return the score of estimated cameras; `placed` are the indices of their frames in `truth`."""
    total, count = len(truth) * (len(truth) - 1) // 2, len(placed)
    rotations, directions = [], []
    estimated, expected = (
        estimated_cameras.cam_from_world.astype(np.float64),
        truth.cam_from_world[placed].astype(np.float64),
    )
    for i, j in combinations(range(count), 2):
        relative, expected_relative = (
            estimated[j] @ np.linalg.inv(estimated[i]),
            expected[j] @ np.linalg.inv(expected[i]),
        )
        rotations.append(_rotation_angle(relative[:3, :3] @ expected_relative[:3, :3].T))
        directions.append(_angle_between(relative[:3, 3], expected_relative[:3, 3]))
    rotation, direction = np.rad2deg(np.array(rotations)), np.rad2deg(np.array(directions))
    both = np.maximum(rotation, direction)
    percent = 100.0 / total
    return PoseScore(
        placed=count,
        total=len(truth),
        rra5=percent * float((rotation < 5).sum()),
        rra15=percent * float((rotation < 15).sum()),
        rta5=percent * float((direction < 5).sum()),
        rta15=percent * float((direction < 15).sum()),
        auc30=percent * float(np.mean([(both < limit).sum() for limit in range(1, AUC_LIMIT + 1)])),
        median_rotation_deg=float(np.median(rotation)) if count > 1 else 180.0,
        median_direction_deg=float(np.median(direction)) if count > 1 else 180.0,
        focal_error=float(np.median(estimated_cameras.intrinsics[:, 0, 0] / truth.intrinsics[placed, 0, 0]) - 1)
        if count
        else 0.0,
    )


def _rotation_angle(rotation: Float64[np.ndarray, "3 3"]) -> float:
    """Return the angle of a rotation in radians."""
    return float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))


def _angle_between(a: Float64[np.ndarray, "3"], b: Float64[np.ndarray, "3"]) -> float:
    """Return the angle between two vectors in radians; a right angle where one has no length."""
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.arccos(np.clip(a @ b / length, -1, 1))) if length > 1e-12 else np.pi / 2
