from dataclasses import dataclass

import numpy as np
import pytest

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.quality.views import View


@dataclass(frozen=True)
class Wall:
    """A plane z = depth + slope · x in the world, which begins at `left`."""

    depth: float
    slope: float = 0.0
    left: float = -np.inf


def cast(camera: Cameras, walls: list[Wall]) -> View:
    """Return the exact depth at which the rays of one camera hit the nearest of some walls, and a plain color."""
    pose, (fx, _, cx), (_, fy, cy) = camera.world_from_cam[0], *camera.intrinsics[0, :2]
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], -1) @ pose[:3, :3].T
    start, depth = pose[:3, 3], np.full(x.shape, np.inf)
    for wall in walls:
        # start.z + t ray.z = depth + slope (start.x + t ray.x), where t is the depth along the camera's +Z.
        t = (wall.depth + wall.slope * start[0] - start[2]) / (rays[..., 2] - wall.slope * rays[..., 0])
        hit = (t > 0) & (start[0] + t * rays[..., 0] >= wall.left)
        depth = np.where(hit & (t < depth), t, depth)
    hit = np.isfinite(depth)
    return View(
        camera=camera,
        rgb=np.full((*x.shape, 3), 0.5, np.float32),
        alpha=hit.astype(np.float32),
        depth=np.where(hit, depth, 0).astype(np.float32),
    )


@pytest.fixture
def make_wall():
    """Makes a plane: `make_wall(depth, slope=0.0, left=-inf)`."""
    return Wall


@pytest.fixture
def cast_walls():
    """Makes the exact view of walls: `cast_walls(camera, walls)`."""
    return cast


@pytest.fixture
def make_cameras():
    """Makes cameras that look along +Z from positions in the world: `make_cameras([(0, 0, 0), …])`."""

    def make(centers, width: int = 160, height: int = 120) -> Cameras:
        poses = np.tile(np.eye(4, dtype=np.float32), (len(centers), 1, 1))
        poses[:, :3, 3] = centers
        intrinsics = np.tile(intrinsics_from_fov(np.radians(60), width, height), (len(centers), 1, 1))
        return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=width, height=height)

    return make
