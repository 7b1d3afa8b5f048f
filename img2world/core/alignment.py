"""How one set of cameras lies in the world of another."""

import numpy as np
from jaxtyping import Float64

from img2world.core.cameras import Cameras


def similarity(source: Cameras, target: Cameras) -> Float64[np.ndarray, "4 4"]:
    """The turn, scale and shift (target from source) that best bring cameras onto others of the same pictures.

    The turn is that nearest to all of the cameras' own turns, so that centres in a row do not matter; scale and shift
    then have the least square error of the centres (Umeyama 1991, equations 41 and 42). Centres in one place have
    scale 1.
    """
    turns = np.einsum(
        "vij,vkj->ik",
        target.world_from_cam[:, :3, :3].astype(np.float64),
        source.world_from_cam[:, :3, :3].astype(np.float64),
    )
    u, _, vt = np.linalg.svd(turns)
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    turned = source.centers_in_world.astype(np.float64) @ rotation.T
    wanted = target.centers_in_world.astype(np.float64)
    mean, wanted_mean = turned.mean(0), wanted.mean(0)
    spread = float(np.square(turned - mean).sum())
    scale = float(((turned - mean) * (wanted - wanted_mean)).sum()) / spread if spread > 1e-12 else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = wanted_mean - scale * mean
    return matrix
