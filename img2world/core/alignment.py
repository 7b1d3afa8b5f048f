"""Alignment of two sets of cameras."""

import numpy as np
from jaxtyping import Float64

from img2world.core.cameras import Cameras


def similarity(source: Cameras, target: Cameras) -> Float64[np.ndarray, "4 4"]:
    """Return the similarity transform (target from source) that aligns cameras with others of the same pictures.

    The rotation is the one nearest to the relative rotations of all cameras, so it is defined even if all centres lie
    on a line; scale and translation then minimise the squared error of the centres (Umeyama 1991, equations 41 and
    42). The scale is 1 if all centres coincide.
    """
    relative = np.einsum(
        "vij,vkj->ik",
        target.world_from_cam[:, :3, :3].astype(np.float64),
        source.world_from_cam[:, :3, :3].astype(np.float64),
    )
    u, _, vt = np.linalg.svd(relative)
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    rotated = source.centers_in_world.astype(np.float64) @ rotation.T
    centers = target.centers_in_world.astype(np.float64)
    rotated_mean, mean = rotated.mean(0), centers.mean(0)
    spread = float(np.square(rotated - rotated_mean).sum())
    scale = float(((rotated - rotated_mean) * (centers - mean)).sum()) / spread if spread > 1e-12 else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = mean - scale * rotated_mean
    return matrix
