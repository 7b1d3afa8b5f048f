"""Our cameras in each model's way of writing them, and back: the one place where they are converted.

All have OpenCV axes.

| model | poses | frame of reference | unit | lens |
|---|---|---|---|---|
| ours | camera to world | the scene's middle is the origin | input camera is 1 from it | 3x3, pixels |
| SANA-WM | camera to world | first camera is the identity | metres | fx fy cx cy, pixels of the picture |

Source: diffusers, SanaWMPipeline and its cam_utils.
"""

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.cameras import Cameras


def relative_poses(cameras: Cameras, *, scale: float) -> Float64[np.ndarray, "V 4 4"]:
    """Camera to first camera, with `scale` units of the model for one of ours."""
    poses = cameras.cam_from_world[0].astype(np.float64) @ cameras.world_from_cam.astype(np.float64)
    poses[:, :3, 3] *= scale
    return poses


def sana_wm_from_cameras(
    cameras: Cameras, *, scale: float
) -> tuple[Float32[np.ndarray, "V 4 4"], Float32[np.ndarray, "V 4"]]:
    """`c2w` and `intrinsics` as SanaWMPipeline takes them, for a picture of the cameras' size."""
    lens = cameras.intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]  # [V, 4]: fx fy cx cy
    return relative_poses(cameras, scale=scale).astype(np.float32), np.ascontiguousarray(lens)


def cameras_from_sana_wm(c2w: Float32[np.ndarray, "V 4 4"], wanted: Cameras, *, scale: float) -> Cameras:
    """The cameras of the frames that SanaWMPipeline gives back, in the world of those it was given.

    It gives back poses alone; they belong to the first frames it was asked for.
    """
    poses = c2w.astype(np.float64)
    poses[:, :3, 3] /= scale
    world_from_first = wanted.world_from_cam[0].astype(np.float64)
    return Cameras(
        world_from_cam=(world_from_first @ poses).astype(np.float32),
        intrinsics=wanted.intrinsics[: len(poses)],
        width=wanted.width,
        height=wanted.height,
    )
