"""A small scene that moves: a body that stands still, an arm that bends at its elbow, and a ball that appears."""

import numpy as np
from scipy.spatial.transform import Rotation

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.scene import Scene
from img2world.core.sh import dc_from_rgb

DURATION = 2.0
"""Seconds from the first key to the last."""


def moving_scene(count: int = 40, *, keys: int = 5, appears: bool = True, size: int = 64) -> Scene:
    """Return a scene of `count` Gaussians each in the body (red), both halves of the arm (green, blue) and the ball.

    The bones turn about places that are not the origin. The ball (yellow) is there in the second half of the time.
    """
    rng = np.random.default_rng(5)
    body = rng.normal(size=(count, 3)) * [0.06, 0.12, 0.06] + [-0.2, 0.1, 0]
    arm = np.stack(
        [np.linspace(-0.1, 0.5, 2 * count), rng.normal(0, 0.02, 2 * count), rng.normal(0, 0.02, 2 * count)], 1
    )
    ball = rng.normal(size=(count, 3)) * 0.03 + [0.2, -0.3, 0.1]
    colors = np.repeat([[0.8, 0.2, 0.2], [0.2, 0.7, 0.3], [0.2, 0.3, 0.9], [0.9, 0.8, 0.2]], count, 0)
    means = np.concatenate([body, arm, ball])
    gaussians = Gaussians(
        means=means.astype(np.float32),
        quats=rng.normal(size=(4 * count, 4)).astype(np.float32),
        log_scales=np.log(rng.uniform(0.01, 0.04, (4 * count, 3))).astype(np.float32),
        logit_opacities=np.full(4 * count, 2, np.float32),
        sh=dc_from_rgb(colors[:, None].astype(np.float32)),
    )
    # The body stands still, the upper arm turns about the shoulder, the lower arm about the elbow as well.
    parts = np.repeat([0, 1, 2, 0], count)
    indices = np.stack([parts, (parts == 2) * 1, np.zeros_like(parts), np.zeros_like(parts)], 1)
    elbow = np.clip((means[:, 0] - 0.2) / 0.1 + 0.5, 0, 1)
    first = np.where(parts == 2, elbow, 1)
    weights = np.stack([first, 1 - first, np.zeros_like(first), np.zeros_like(first)], 1)
    pivots = np.array([[0, 0, 0], [-0.1, 0, 0], [0.2, 0, 0]], np.float32)
    quats, shifts = _bones(pivots, np.linspace(0, 1, keys))
    window = np.where(np.arange(4 * count) < 3 * count, -1.0, DURATION / 2)
    motion = Motion(
        key_times=np.linspace(0, DURATION, keys),
        bone_pivots=pivots,
        bone_quats=quats,
        bone_translations=shifts,
        bone_indices=indices.astype(np.int32),
        bone_weights=weights.astype(np.float32),
        windows=np.stack([window, np.full_like(window, 9)], 1).astype(np.float32) if appears else None,
    )
    poses = orbit(8)
    cameras = Cameras(
        world_from_cam=poses,
        intrinsics=np.tile(intrinsics_from_fov(np.radians(60), size, size), (len(poses), 1, 1)),
        width=size,
        height=size,
    )
    return Scene(gaussians=gaussians, cameras=cameras, background=(1.0, 1.0, 1.0), is_object=True, motion=motion)


def _bones(pivots: np.ndarray, progress: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return quaternions [3, T, 4] and translations [3, T, 3] of the bones."""
    zero = np.zeros_like(progress)
    still, shoulder = (Rotation.from_euler("z", angle[:, None], degrees=True) for angle in (zero, 50 * progress))
    elbow = shoulder * Rotation.from_euler("y", -80 * progress[:, None], degrees=True)
    arm = pivots[2] - pivots[1]
    shifts = np.zeros((3, len(progress), 3), np.float32)
    shifts[2] = shoulder.apply(arm) - arm
    quats = np.stack([each.as_quat(scalar_first=True) for each in (still, shoulder, elbow)])
    return quats.astype(np.float32), shifts
