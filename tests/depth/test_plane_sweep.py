"""Stereo between views, against scenes whose depth is known by ray casting."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import look_at
from img2world.core.cameras import Cameras
from img2world.core.views import Views
from img2world.depth.plane_sweep import sweep_depth

WIDTH, HEIGHT, FOCAL = 96, 72, 90.0
FLOOR, SPHERE = 0.6, (np.array([0.1, 0.1, 3.0]), 0.5)


def texture(points: np.ndarray) -> np.ndarray:
    """Return a colour [..., 3] for each world position: waves in many directions."""
    random = np.random.default_rng(5)
    waves = random.normal(size=(24, 3)) * random.uniform(4, 22, (24, 1))
    shades = np.sin(points @ waves.T + random.uniform(0, 6, 24)) @ random.uniform(-1, 1, (24, 3))
    return np.clip(shades / 6 + 0.5, 0, 1)


def cast(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return colours [H, W, 3] and depth [H, W] of a floor, a wall at z = 5 and a sphere."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([(columns - WIDTH / 2) / FOCAL, (rows - HEIGHT / 2) / FOCAL, np.ones_like(rows)], -1)
    directions, origin = rays @ pose[:3, :3].T, pose[:3, 3]
    with np.errstate(divide="ignore"):
        floor = (FLOOR - origin[1]) / directions[..., 1]
        wall = (5 - origin[2]) / directions[..., 2]
    center, radius = SPHERE
    a, b = (directions**2).sum(-1), (directions @ (origin - center))
    inside = b * b - a * (((origin - center) ** 2).sum() - radius**2)
    sphere = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
    depth = np.minimum.reduce([np.where(floor > 0, floor, np.inf), wall, sphere])
    return texture(origin + depth[..., None] * directions), depth


@pytest.fixture(scope="module")
def scene() -> tuple[Views, np.ndarray]:
    """Views without depth, and their true depth."""
    random = np.random.default_rng(1)
    poses = [look_at(np.array([x, y, 0.0]), np.array([0.1 * x, 0.1, 3.5])) for x in (-0.5, 0, 0.5) for y in (-0.3, 0.1)]
    colors, depths = zip(*(cast(pose) for pose in poses), strict=True)
    intrinsics = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]], np.float32)
    cameras = Cameras(
        world_from_cam=np.stack(poses).astype(np.float32),
        intrinsics=np.repeat(intrinsics[None], len(poses), 0),
        width=WIDTH,
        height=HEIGHT,
    )
    rows, columns = random.integers(0, [HEIGHT, WIDTH], (60, 2)).T
    rays = np.stack([(columns + 0.5 - WIDTH / 2) / FOCAL, (rows + 0.5 - HEIGHT / 2) / FOCAL, np.ones(60)], -1)
    points = rays * depths[2][rows, columns, None] @ poses[2][:3, :3].T + poses[2][:3, 3]
    rgb = np.round(255 * np.stack(colors)).astype(np.uint8)
    views = Views(
        rgb=rgb,
        cameras=cameras,
        confidence=np.ones(len(poses), np.float32),
        points=points.astype(np.float32),
        point_colors=rgb[2][rows, columns],
        solver="truth",
    )
    return views, np.stack(depths)


def test_depth_is_that_of_the_scene(scene):
    views, truth = scene
    depth = sweep_depth(views)
    known = depth > 0
    error = np.abs(depth / truth - 1)[known]
    assert known.mean() > 0.5
    assert np.median(error) < 0.005
    assert (error < 0.02).mean() > 0.85  # Windows reach across edges.


def test_exposures_do_not_matter(scene):
    views, truth = scene
    gains = np.array([1, 0.7, 1, 0.8, 0.9, 0.75])[:, None, None, None]
    depth = sweep_depth(replace(views, rgb=np.round(views.rgb * gains).astype(np.uint8)))
    known = depth > 0
    assert known.mean() > 0.5
    assert (np.abs(depth / truth - 1)[known] < 0.02).mean() > 0.85


def test_nothing_is_known_of_pictures_that_have_nothing_in_common(scene):
    views, _ = scene
    noise = np.random.default_rng(2).integers(0, 256, views.rgb.shape).astype(np.uint8)
    assert (sweep_depth(replace(views, rgb=noise)) > 0).mean() < 0.02
    assert not sweep_depth(replace(views, rgb=np.full_like(views.rgb, 90))).any()


def test_nothing_is_known_of_views_without_points_in_common(scene):
    views, _ = scene
    assert not sweep_depth(replace(views, points=views.points + np.float32([0, 0, -50]))).any()
