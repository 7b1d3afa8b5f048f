import numpy as np
import pytest
from skimage.data import coffee

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.views import Views
from img2world.splat.initialize import initialize

WALL_SLOPE = 0.3
"""The wall is the plane z = 2 + WALL_SLOPE x."""


def wall_colors(points: np.ndarray) -> np.ndarray:
    """Colours 0 to 1 of places on the wall: a photo, bilinearly."""
    texture = coffee()[100:300, 150:350].astype(np.float64) / 255
    place = (points[:, :2] + 1.2) / 2.4 * (np.array(texture.shape[1::-1]) - 1)
    x, y = np.clip(place, 0, 198.999).T
    column, row = x.astype(int), y.astype(int)
    along, down = (x - column)[:, None], (y - row)[:, None]
    upper = texture[row, column] * (1 - along) + texture[row, column + 1] * along
    lower = texture[row + 1, column] * (1 - along) + texture[row + 1, column + 1] * along
    return upper * (1 - down) + lower * down


def wall_cameras(num_views: int, size: int) -> Cameras:
    """Cameras in a row that look at the wall."""
    poses = np.tile(np.eye(4, dtype=np.float32), (num_views, 1, 1))
    poses[:, 0, 3] = np.linspace(-0.25, 0.25, num_views)
    poses[:, 1, 3] = 0.05 * np.cos(np.arange(num_views))
    intrinsics = np.tile(intrinsics_from_fov(np.radians(50), size, size), (num_views, 1, 1))
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=size, height=size)


def views_of_wall(num_views: int = 5, size: int = 64, oversample: int = 3) -> Views:
    """A slanted wall with a photo on it, ray-cast: exact depth and poses."""
    cameras = wall_cameras(num_views, size)
    fine = cameras.resized(size * oversample, size * oversample)
    rows, columns = np.mgrid[: fine.height, : fine.width] + 0.5
    rgb, depth = [], []
    for pose, intrinsics, coarse in zip(fine.world_from_cam, fine.intrinsics, cameras.intrinsics, strict=True):
        rays = rays_of(intrinsics, rows, columns)
        distance = to_wall(pose[:3, 3], rays)
        points = pose[:3, 3] + rays * distance[..., None]
        colors = wall_colors(points.reshape(-1, 3)).reshape(size, oversample, size, oversample, 3).mean((1, 3))
        rgb.append(np.round(255 * colors).astype(np.uint8))
        depth.append(to_wall(pose[:3, 3], rays_of(coarse, *(np.mgrid[:size, :size] + 0.5))))
    points = np.stack([np.linspace(-0.9, 0.9, 30).repeat(30), np.tile(np.linspace(-0.9, 0.9, 30), 30)], -1)
    points = np.concatenate([points, 2 + WALL_SLOPE * points[:, :1]], 1)
    return Views(
        rgb=np.stack(rgb),
        cameras=cameras,
        confidence=np.ones(num_views, np.float32),
        points=points.astype(np.float32),
        point_colors=np.round(255 * wall_colors(points)).astype(np.uint8),
        solver="truth",
        depth=np.stack(depth).astype(np.float32),
    )


def rays_of(intrinsics: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Directions with z = 1 of places on the picture."""
    x, y = (columns - intrinsics[0, 2]) / intrinsics[0, 0], (rows - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([x, y, np.ones_like(x)], -1)


def to_wall(center: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Depth along +Z at which rays from a place meet the wall."""
    return (2 + WALL_SLOPE * center[0] - center[2]) / (rays[..., 2] - WALL_SLOPE * rays[..., 0])


@pytest.fixture(scope="session")
def wall_views() -> Views:
    return views_of_wall()


@pytest.fixture(scope="session")
def wall_gaussians(wall_views):
    return initialize(wall_views, 2000)
