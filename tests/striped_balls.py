"""Views of striped balls, ray-cast from cameras around them."""

from collections.abc import Callable

import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.views import Views

SIZE = 64
RADIUS = 0.12

Balls = list[tuple[np.ndarray, tuple[float, float, float]]]
"""Their centres and colours."""


def ball(
    center: np.ndarray, color: tuple[float, float, float], cameras: Cameras, i: int, contrast: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shaded picture [H, W, 3] and depth [H, W] (inf beside it) of a striped ball in one camera."""
    row, column = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(cameras.intrinsics[i]).T
    pose = cameras.world_from_cam[i].astype(np.float64)
    directions = rays @ pose[:3, :3].T
    towards = center - pose[:3, 3]
    along = (directions @ towards) / np.square(directions).sum(-1)
    inside = along**2 - (towards @ towards - RADIUS**2) / np.square(directions).sum(-1)
    depth = np.where(inside > 0, along - np.sqrt(np.maximum(inside, 0)), np.inf)
    place = pose[:3, 3] + np.where(np.isfinite(depth), depth, 0)[..., None] * directions - center
    stripes = 0.6 + contrast * np.sign(np.sin(40 * place[..., :1]) * np.sin(40 * place[..., 1:2]))
    return stripes * np.array(color), depth


def views_of_balls(
    azimuths: np.ndarray, times: np.ndarray, balls_at: Callable[[float], Balls], contrast: float = 0.4
) -> Views:
    """Return what a camera at each azimuth, in radians, sees of the balls at its time."""
    cameras = Cameras(
        world_from_cam=on_sphere(azimuths, np.full(len(azimuths), 0.3)).astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(0.6, SIZE, SIZE)[None], len(azimuths), 0),
        width=SIZE,
        height=SIZE,
    )
    rgb, alpha = [], []
    for i, time in enumerate(times):
        pictures, depths = zip(*(ball(*each, cameras, i, contrast) for each in balls_at(float(time))), strict=True)
        nearest = np.argmin(depths, 0)
        seen = np.isfinite(np.min(depths, 0))
        picture = np.take_along_axis(np.stack(pictures), nearest[None, ..., None], 0)[0]
        rgb.append(np.where(seen[..., None], 255 * picture, 255).astype(np.uint8))
        alpha.append(np.where(seen, 255, 0).astype(np.uint8))
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.06, (300, 3)) + np.where(rng.random(300) < 0.5, -0.13, 0.1)[:, None] * np.eye(3)[0]
    return Views(
        rgb=np.stack(rgb), alpha=np.stack(alpha), cameras=cameras, times=times, solver="true",
        confidence=np.ones(len(times), np.float32), points=points.astype(np.float32),
        point_colors=np.full((300, 3), 128, np.uint8),
    )  # fmt: skip
