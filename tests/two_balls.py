"""Views of two striped balls, of which one moves evenly, ray-cast from cameras around them."""

import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.views import Views

SIZE = 64
STILL, MOVER = np.array([-0.13, 0.0, 0.0]), np.array([0.1, 0.0, -0.05])
"""Centres of the balls, of the second at time 0."""

RADIUS = 0.12


def ball(
    center: np.ndarray, color: tuple[float, float, float], cameras: Cameras, i: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shaded picture [H, W, 3] and depth [H, W] (inf beside it) of a striped ball in one camera."""
    row, column = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(cameras.intrinsics[i]).T
    pose = cameras.world_from_cam[i].astype(np.float64)
    directions = rays @ pose[:3, :3].T
    towards = center - pose[:3, 3]
    along = (directions @ towards) / np.square(directions).sum(-1)
    inside = along**2 - (towards @ towards - RADIUS**2) / np.square(directions).sum(-1)
    depth = np.where(inside > 0, along - np.sqrt(np.maximum(inside, 0)), np.inf)
    place = pose[:3, 3] + np.where(np.isfinite(depth), depth, 0)[..., None] * directions - center
    stripes = 0.6 + 0.4 * np.sign(np.sin(40 * place[..., :1]) * np.sin(40 * place[..., 1:2]))
    return stripes * np.array(color), depth


def two_balls(azimuths: np.ndarray, times: np.ndarray, speed: np.ndarray) -> Views:
    """What a camera at each azimuth, in radians, sees at its time; the blue ball moves at a speed per second."""
    cameras = Cameras(
        world_from_cam=on_sphere(azimuths, np.full(len(azimuths), 0.3)).astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(0.6, SIZE, SIZE)[None], len(azimuths), 0),
        width=SIZE,
        height=SIZE,
    )
    rgb, alpha = [], []
    for i, time in enumerate(times):
        still = ball(STILL, (1.0, 0.4, 0.2), cameras, i)
        mover = ball(MOVER + time * speed, (0.2, 0.5, 1.0), cameras, i)
        depth = np.minimum(still[1], mover[1])
        seen = np.isfinite(depth)
        picture = np.where((still[1] <= mover[1])[..., None], still[0], mover[0])
        rgb.append(np.where(seen[..., None], 255 * picture, 255).astype(np.uint8))
        alpha.append(np.where(seen, 255, 0).astype(np.uint8))
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.06, (300, 3)) + np.where(rng.random(300) < 0.5, -0.13, 0.1)[:, None] * np.eye(3)[0]
    return Views(
        rgb=np.stack(rgb), alpha=np.stack(alpha), cameras=cameras, times=times, solver="true",
        confidence=np.ones(len(times), np.float32), points=points.astype(np.float32),
        point_colors=np.full((300, 3), 128, np.uint8),
    )  # fmt: skip
