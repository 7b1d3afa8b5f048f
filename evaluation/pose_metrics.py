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


def score_poses(found: Cameras, truth: Cameras, placed: Int[np.ndarray, "K"]) -> PoseScore:
    """Return the score of estimated cameras; `placed` are the indices of their frames in `truth`."""
    total, count = len(truth) * (len(truth) - 1) // 2, len(placed)
    rotations, directions = [], []
    mine, true = found.cam_from_world.astype(np.float64), truth.cam_from_world[placed].astype(np.float64)
    for i, j in combinations(range(count), 2):
        step, true_step = mine[j] @ np.linalg.inv(mine[i]), true[j] @ np.linalg.inv(true[i])
        rotations.append(_turn(step[:3, :3] @ true_step[:3, :3].T))
        directions.append(_between(step[:3, 3], true_step[:3, 3]))
    turn, direction = np.rad2deg(np.array(rotations)), np.rad2deg(np.array(directions))
    both = np.maximum(turn, direction)
    share = 100.0 / total
    return PoseScore(
        placed=count,
        total=len(truth),
        rra5=share * float((turn < 5).sum()),
        rra15=share * float((turn < 15).sum()),
        rta5=share * float((direction < 5).sum()),
        rta15=share * float((direction < 15).sum()),
        auc30=share * float(np.mean([(both < limit).sum() for limit in range(1, AUC_LIMIT + 1)])),
        median_rotation_deg=float(np.median(turn)) if count > 1 else 180.0,
        median_direction_deg=float(np.median(direction)) if count > 1 else 180.0,
        focal_error=float(np.median(found.intrinsics[:, 0, 0] / truth.intrinsics[placed, 0, 0]) - 1) if count else 0.0,
    )


def _turn(rotation: Float64[np.ndarray, "3 3"]) -> float:
    """Return the angle of a rotation in radians."""
    return float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))


def _between(a: Float64[np.ndarray, "3"], b: Float64[np.ndarray, "3"]) -> float:
    """Return the angle between two vectors in radians; a right angle where one has no length."""
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.arccos(np.clip(a @ b / length, -1, 1))) if length > 1e-12 else np.pi / 2
