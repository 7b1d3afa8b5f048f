"""Convert cameras between our convention and that of each model that takes cameras: the only place where it is done.

All have OpenCV axes and camera-to-world poses.

| model | world | unit | intrinsics |
|---|---|---|---|
| ours | the origin is the centre of the scene | distance of the input camera from the origin | 3x3, pixels |
| SANA-WM | the first camera is the identity | metre | fx fy cx cy, pixels |

Source: diffusers, SanaWMPipeline and its cam_utils.
"""

import numpy as np
from jaxtyping import Float32

from img2world.core.cameras import Cameras


def sana_wm_from_cameras(
    cameras: Cameras, *, scale: float
) -> tuple[Float32[np.ndarray, "V 4 4"], Float32[np.ndarray, "V 4"]]:
    """Return `c2w` and `intrinsics` for SanaWMPipeline; `scale` is metres per unit of ours."""
    poses = cameras.cam_from_world[0].astype(np.float64) @ cameras.world_from_cam.astype(np.float64)
    poses[:, :3, 3] *= scale
    intrinsics = cameras.intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]  # [V, 4]
    return poses.astype(np.float32), np.ascontiguousarray(intrinsics)


def cameras_from_sana_wm(c2w: Float32[np.ndarray, "V 4 4"], requested: Cameras, *, scale: float) -> Cameras:
    """Return the cameras of a clip of SanaWMPipeline, in the world of the requested ones.

    The pipeline returns poses alone, for the first frames of those requested; intrinsics are the requested ones.
    """
    poses = c2w.astype(np.float64)
    poses[:, :3, 3] /= scale
    world_from_first = requested.world_from_cam[0].astype(np.float64)
    return Cameras(
        world_from_cam=(world_from_first @ poses).astype(np.float32),
        intrinsics=requested.intrinsics[: len(poses)],
        width=requested.width,
        height=requested.height,
    )
