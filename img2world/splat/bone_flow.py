"""How bones move from one time to the next, by optical flow in all views: where a dynamic training starts from.

For small motions, what a Gaussian shows moves in a picture as flow tells; the six degrees of freedom of a bone that
explain this best for all its Gaussians in all views are a linear least-squares problem.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from img2world.core.cameras import Cameras

FLOW_SCALE = 1.5
"""Scale in pixels of the Cauchy weights: flow that a bone's motion does not explain counts less."""

ROUNDS = 4
"""Rounds of reweighting."""

DAMPING = 1e-3
"""Weight of no motion, relative to the best known direction: what no view tells stays as it is."""

MIN_GAUSSIANS = 8
"""Bones of fewer visible Gaussians stay as they are."""


@dataclass(frozen=True, kw_only=True)
class FlowObservations:
    """Where Gaussians are seen to move to in one view."""

    gaussians: Int[np.ndarray, "M"]
    """Indices of the visible Gaussians."""
    targets: Float64[np.ndarray, "M 2"]
    """Pixels of the view at the later time."""
    camera: Cameras
    """The one camera at the later time."""


def observe_flow(
    points: Float[np.ndarray, "N 3"],
    depth: Float[np.ndarray, "H W"],
    flow: Float[np.ndarray, "H W 2"],
    camera: Cameras,
    next_camera: Cameras,
    *,
    same_depth: float,
) -> FlowObservations:
    """Return where flow takes the points that a view shows: those within `same_depth` of what it was rendered to show.

    `flow` leads from the picture of `camera` to that of `next_camera`.
    """
    distance, xy, inside = camera.project(0, points)
    height, width = depth.shape
    column, row = np.floor(xy.clip(0, [width - 1, height - 1])).astype(np.int64).T
    chosen = np.flatnonzero(inside & (np.abs(depth[row, column] - distance) < same_depth))
    return FlowObservations(
        gaussians=chosen, targets=xy[chosen] + flow[row[chosen], column[chosen]], camera=next_camera
    )


def bone_twists(
    points: Float[np.ndarray, "N 3"],
    owners: Int[np.ndarray, "N"],
    pivots: Float[np.ndarray, "B 3"],
    observations: list[FlowObservations],
) -> Float64[np.ndarray, "B 6"]:
    """Return the rotation vector about its pivot and the shift of each bone that take its Gaussians where flow does."""
    count = len(pivots)
    indices = np.concatenate([each.gaussians for each in observations]) if observations else np.zeros(0, np.int64)
    if not len(indices):
        return np.zeros((count, 6))
    bones = owners[indices]
    arms = points[indices] - pivots[bones]
    jacobians, residuals = [], []
    for each in observations:
        depth, xy, _ = each.camera.project(0, points[each.gaussians])
        jacobians.append(_projection_gradient(depth, xy, each.camera))
        residuals.append(each.targets - xy)
    gradient, residual = np.concatenate(jacobians), np.concatenate(residuals)  # [M, 2, 3], [M, 2]
    design = np.concatenate([gradient @ -_cross_matrices(arms), gradient], -1)  # [M, 2, 6]
    enough = np.bincount(bones, minlength=count) >= MIN_GAUSSIANS
    twists = np.zeros((count, 6))
    for _ in range(ROUNDS):
        left = residual - np.einsum("mij,mj->mi", design, twists[bones])
        weights = 1 / (1 + np.square(left).sum(1) / FLOW_SCALE**2)
        twists = _solve(design, residual, weights, bones, enough)
    return twists


def _solve(
    design: Float64[np.ndarray, "M 2 6"],
    residual: Float64[np.ndarray, "M 2"],
    weights: Float64[np.ndarray, "M"],
    bones: Int[np.ndarray, "M"],
    enough: Bool[np.ndarray, "B"],
) -> Float64[np.ndarray, "B 6"]:
    """Return the weighted least-squares solution of each bone; zero where there is not enough to tell."""
    count = len(enough)
    squares = np.einsum("m,mik,mil->mkl", weights, design, design).reshape(-1, 36)
    products = np.einsum("m,mik,mi->mk", weights, design, residual)
    normal = np.stack([np.bincount(bones, column, count) for column in squares.T], -1).reshape(count, 6, 6)
    right = np.stack([np.bincount(bones, column, count) for column in products.T], -1)
    # Turns and shifts have different units, so that each is damped by its own scale.
    scale = np.concatenate([_largest(normal[:, :3, :3]), _largest(normal[:, 3:, 3:])], -1)
    normal += DAMPING * (scale + 1e-9)[:, :, None] * np.eye(6)
    return np.where(enough[:, None], np.linalg.solve(normal, right[..., None])[..., 0], 0.0)


def _largest(blocks: Float64[np.ndarray, "B 3 3"]) -> Float64[np.ndarray, "B 3"]:
    """Return the largest diagonal value of each block, three times."""
    return np.repeat(np.diagonal(blocks, axis1=1, axis2=2).max(1, keepdims=True), 3, 1)


def _projection_gradient(
    depth: Float[np.ndarray, "M"], xy: Float[np.ndarray, "M 2"], camera: Cameras
) -> Float64[np.ndarray, "M 2 3"]:
    """Return the gradient of the pixels of points by their positions in the world, from their depth and pixels."""
    focal, center = camera.intrinsics[0, [0, 1], [0, 1]].astype(np.float64), camera.intrinsics[0, :2, 2]
    depth = np.maximum(depth, 1e-9)[:, None]
    gradient = np.zeros((len(depth), 2, 3))
    gradient[:, [0, 1], [0, 1]] = focal / depth
    gradient[:, :, 2] = -(xy - center) / depth
    return gradient @ camera.cam_from_world[0, :3, :3].astype(np.float64)


def _cross_matrices(vectors: Float64[np.ndarray, "M 3"]) -> Float64[np.ndarray, "M 3 3"]:
    """Return the matrices that multiply by the cross product with each vector from the left."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
