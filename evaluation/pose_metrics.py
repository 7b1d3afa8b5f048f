"""Accuracy of camera poses, independent of the world frame.

Angles between pairs of views, as in Wang et al., "PoseDiffusion" (ICCV 2023). The absolute trajectory error (ATE) is
not used: on an orbit it stays small for cameras that look the wrong way.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Float64, Int

from img2world.core.cameras import Cameras

AUC_LIMIT = 30
"""Largest threshold in degrees."""


MIN_AUC, MAX_ROTATION_DEG, MAX_POSITION_ERROR, MIN_PLACED = 80.0, 5.0, 0.1, 0.8
"""Limits of right cameras."""


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
    position_error: float = float("inf")
    """RMS distance of the positions after the best similarity, relative to the RMS size of the path."""

    @property
    def is_right(self) -> bool:
        """True if 80 % of the pairs agree in direction and rotation (AUC@30), or all cameras do as a whole.

        Where a path is short beside the distance of what it shows, the direction from one camera to the next is noise.
        """
        as_a_whole = self.median_rotation_deg <= MAX_ROTATION_DEG and self.position_error <= MAX_POSITION_ERROR
        return self.auc30 >= MIN_AUC or (as_a_whole and self.placed >= MIN_PLACED * self.total)


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
        position_error=_position_error(estimated_cameras.centers_in_world, truth.centers_in_world[placed]),
    )


def _position_error(estimated: Float[np.ndarray, "K 3"], truth: Float[np.ndarray, "K 3"]) -> float:
    """Return the RMS distance after the best similarity, relative to the size of the path; infinite without one."""
    size = float(np.sqrt(np.square(truth - truth.mean(0)).sum(1).mean())) if len(truth) > 2 else 0.0
    if size < 1e-6:
        return float("inf")
    # Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns".
    source, target = (points.astype(np.float64) - points.mean(0) for points in (estimated, truth))
    u, singular, v = np.linalg.svd(target.T @ source)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    scale = (singular * signs).sum() / max(np.square(source).sum(), 1e-12)
    aligned = scale * source @ (u * signs @ v).T
    return float(np.sqrt(np.square(aligned - target).sum(1).mean())) / size


def _rotation_angle(rotation: Float64[np.ndarray, "3 3"]) -> float:
    """Return the angle of a rotation in radians."""
    return float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))


def _angle_between(a: Float64[np.ndarray, "3"], b: Float64[np.ndarray, "3"]) -> float:
    """Return the angle between two vectors in radians; a right angle where one has no length."""
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.arccos(np.clip(a @ b / length, -1, 1))) if length > 1e-12 else np.pi / 2
