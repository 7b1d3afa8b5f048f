"""A checkered ball on a patterned table in front of a far wall, ray-traced, and what shows the ball in truth."""

import numpy as np

from img2world.core.camera_paths import look_at, orbit_center
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.views import Views

RADIUS, TABLE = 0.3, 0.3
"""Of the ball about the origin; height of the table below it, +Y being down."""


def cameras_around(count: int, size: tuple[int, int] = (96, 72)) -> Cameras:
    """Cameras on a circle, looking down at the ball."""
    poses = [look_at(orbit_center(2 * np.pi * i / count, 0.45, 1.6), np.zeros(3)) for i in range(count)]
    intrinsics = np.tile(intrinsics_from_fov(np.radians(50), *size), (count, 1, 1))
    return Cameras(
        world_from_cam=np.stack(poses).astype(np.float32), intrinsics=intrinsics, width=size[0], height=size[1]
    )


def noise(points: np.ndarray, cell: float, seed: int) -> np.ndarray:
    """A random value from 0 to 1 for each cell of a grid in space."""
    i, j, k = np.floor(points / cell + 1000).astype(np.int64).T
    return np.random.default_rng(seed).random(65536)[(i * 73856093 ^ j * 19349663 ^ k * 83492791) % 65536]


def trace(cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [V, H, W, 3] and where they show the ball [V, H, W]."""
    pictures, masks = [], []
    row, column = np.mgrid[: cameras.height, : cameras.width] + 0.5
    for pose, intrinsics in zip(cameras.world_from_cam.astype(float), cameras.intrinsics.astype(float), strict=True):
        rays = np.stack([column, row, np.ones_like(row)], -1).reshape(-1, 3) @ np.linalg.inv(intrinsics).T
        rays = rays / np.linalg.norm(rays, axis=1, keepdims=True) @ pose[:3, :3].T
        eye = pose[:3, 3]
        along = rays @ eye
        under = along**2 - (eye @ eye - RADIUS**2)
        on_ball = (under > 0) & (along < 0)
        ball = eye + (-along - np.sqrt(np.maximum(under, 0)))[:, None] * rays
        down = np.where(rays[:, 1] > 1e-3, (TABLE - eye[1]) / np.maximum(rays[:, 1], 1e-3), np.inf)
        table = eye + np.minimum(down, 100)[:, None] * rays
        on_table = np.isfinite(down) & (np.abs(table[:, [0, 2]]) < 2.0).all(1)
        color = np.full((len(rays), 3), (70.0, 80.0, 90.0))
        grain = noise(table, 0.09, 0)[:, None]
        color[on_table] = ((1 - grain) * (60, 110, 60) + grain * (150, 170, 110))[on_table]
        stripes = noise(ball, 0.12, 1)[:, None] > 0.5
        color[on_ball] = np.where(stripes, (220, 60, 40), (250, 210, 60))[on_ball]
        pictures.append(color.reshape(*row.shape, 3).astype(np.uint8))
        masks.append(on_ball.reshape(row.shape))
    return np.stack(pictures), np.stack(masks)


def sparse_points(seed: int = 0) -> np.ndarray:
    """Points on the table and on the upper part of the ball, with a little noise."""
    random = np.random.default_rng(seed)
    flat = random.uniform(-1.5, 1.5, (300, 2))
    table = np.stack([flat[:, 0], np.full(300, TABLE), flat[:, 1]], -1)
    ball = random.normal(size=(150, 3))
    ball[:, 1] = -np.abs(ball[:, 1])
    ball *= RADIUS / np.linalg.norm(ball, axis=1, keepdims=True)
    return (np.concatenate([table, ball]) + random.normal(0, 0.002, (450, 3))).astype(np.float32)


def ball_views(count: int) -> tuple[Views, np.ndarray]:
    """Views around the ball, and where they show it."""
    cameras = cameras_around(count)
    rgb, masks = trace(cameras)
    points = sparse_points()
    views = Views(
        rgb=rgb,
        cameras=cameras,
        confidence=np.ones(count, np.float32),
        points=points,
        point_colors=np.full((len(points), 3), 128, np.uint8),
        solver="test",
    )
    return views, masks
