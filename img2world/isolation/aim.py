"""Find what the cameras turn around: the point at which they look, and how large a thing there can be."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from img2world.core.cameras import Cameras
from img2world.core.errors import SubjectError

MIN_VIEWS = 3
"""Two silhouettes bound a shape in one plane only."""

MIN_TURN_DEG = 25.0
"""Largest angle between two directions from which the subject is seen, below which nothing is turned around."""

CENTRAL = 0.7
"""Part of the picture, in width and height, in which what a camera aims at lies."""

MIN_AIMED = 0.7
"""Fraction of the cameras that aim at the subject."""

ROUNDS = 20
"""Rounds of the robust fit of the point."""

MARGIN = 0.95
"""Part of the distance to the nearest camera that may belong to the subject."""

FILL = 1.15
"""Radius of the region in which the subject is looked for, relative to that of what a picture shows there."""

HINT = (
    "film or photograph one thing from all around, with the thing in the middle of every picture; leave --subject out "
    "for a scene"
)


@dataclass(frozen=True, kw_only=True)
class Aim:
    """The place where the cameras look."""

    point: Float64[np.ndarray, "3"]
    radius: float
    """Radius of the ball about the point that holds the subject, in world units."""
    aimed: Bool[np.ndarray, "V"]
    """Cameras that look at the point."""


def find_aim(cameras: Cameras) -> Aim:
    """Return the point nearest to the optical axes of most cameras.

    Raises SubjectError when there are fewer than three views, when the cameras do not look at one point, or when they
    see it from one direction only.
    """
    if len(cameras) < MIN_VIEWS:
        raise SubjectError(f"{len(cameras)} views, --subject needs at least {MIN_VIEWS}", hint=HINT)
    poses = cameras.world_from_cam.astype(np.float64)
    centers, axes = poses[:, :3, 3], poses[:, :3, 2]
    point = _meeting_point(centers, axes)
    aimed = _looks_at(cameras, point)
    if aimed.mean() < MIN_AIMED:
        raise SubjectError(
            f"the cameras turn around nothing: {np.count_nonzero(aimed)} of {len(aimed)} look at one point, --subject "
            f"needs {MIN_AIMED:.0%}",
            hint=HINT,
        )
    away = centers[aimed] - point
    distances = np.linalg.norm(away, axis=1)
    directions = away / distances[:, None]
    turn = float(np.degrees(np.arccos(np.clip(directions @ directions.T, -1, 1))).max())
    if turn < MIN_TURN_DEG:
        raise SubjectError(
            f"the cameras turn around nothing: they see it within {turn:.0f}°, --subject needs {MIN_TURN_DEG:.0f}°",
            hint=HINT,
        )
    focal = cameras.intrinsics[aimed][:, [0, 1], [0, 1]].astype(np.float64)
    half = (distances[:, None] * np.array([cameras.width, cameras.height]) / 2 / focal).max(1)
    radius = min(FILL * float(np.median(half)), MARGIN * float(distances.min()))
    return Aim(point=point, radius=radius, aimed=aimed)


def _meeting_point(centers: Float64[np.ndarray, "V 3"], axes: Float64[np.ndarray, "V 3"]) -> Float64[np.ndarray, "3"]:
    """Return the point with the least sum of distances to the axes, by iteratively reweighted least squares."""
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # [V, 3, 3]
    weights = np.ones(len(centers))
    point = centers.mean(0)
    for _ in range(ROUNDS):
        system = np.einsum("v,vij->ij", weights, across)
        # Parallel axes leave the distance open: the nearest of the possible points is behind or beside the cameras.
        point = np.linalg.lstsq(system, np.einsum("v,vij,vj->i", weights, across, centers), rcond=1e-6)[0]
        misses = np.linalg.norm(np.einsum("vij,vj->vi", across, point - centers), axis=1)
        weights = 1 / np.maximum(misses, 0.1 * max(float(np.median(misses)), 1e-9))
    return point


def _looks_at(cameras: Cameras, point: Float64[np.ndarray, "3"]) -> Bool[np.ndarray, "V"]:
    """Return which cameras have a point in the middle of their picture."""
    cam_from_world = cameras.cam_from_world.astype(np.float64)
    in_cam = cam_from_world[:, :3, :3] @ point + cam_from_world[:, :3, 3]
    depth = np.maximum(in_cam[:, 2:], 1e-9)
    focal = cameras.intrinsics[:, [0, 1], [0, 1]].astype(np.float64)
    offset = np.abs(in_cam[:, :2] / depth) * focal / (np.array([cameras.width, cameras.height]) / 2)
    return (in_cam[:, 2] > 0) & (offset < CENTRAL).all(1)
