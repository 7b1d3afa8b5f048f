"""Fixtures: three balls that reveal any mirroring or rotation, as a scene and as views."""

from dataclasses import dataclass

import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.gaussians import Gaussians
from img2world.core.rotation import quat_from_matrix
from img2world.core.scene import Scene
from img2world.core.sh import dc_from_rgb
from img2world.core.views import Views
from img2world.render import render


@dataclass(frozen=True)
class Ball:
    """A coloured ball; three of them reveal any mirroring or rotation."""

    center: tuple[float, float, float]
    radius: float
    rgb: tuple[float, float, float]


BALLS = (
    Ball((0.25, 0.02, 0.05), 0.10, (0.85, 0.15, 0.10)),  # red, to the right
    Ball((-0.05, -0.25, 0.0), 0.12, (0.10, 0.75, 0.20)),  # green, above: our +Y is down
    Ball((-0.10, 0.10, -0.20), 0.08, (0.15, 0.20, 0.90)),  # blue, towards the input camera
)


def directions(count: int) -> np.ndarray:
    """Return evenly spread unit vectors (Fibonacci points)."""
    i = np.arange(count) + 0.5
    z, angle = 1 - 2 * i / count, np.pi * (1 + 5**0.5) * i
    return np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], -1)


def shell(points: np.ndarray, normals: np.ndarray, rgb: np.ndarray, size: float) -> Gaussians:
    """Return flat Gaussians on a surface."""
    side = np.cross(np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]), normals)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    quats = quat_from_matrix(np.stack([side, np.cross(normals, side), normals], -1))
    scales = np.tile([size, size, 0.1 * size], (len(points), 1))
    return Gaussians(
        means=points.astype(np.float32),
        quats=quats.astype(np.float32),
        log_scales=np.log(scales).astype(np.float32),
        logit_opacities=np.full(len(points), 3.0, np.float32),
        sh=dc_from_rgb(rgb)[:, None].astype(np.float32),
    )


def joined(parts: list[Gaussians]) -> Gaussians:
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    return Gaussians(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def ball_gaussians(ball: Ball, count: int = 2000) -> Gaussians:
    normals = directions(count)
    points = np.asarray(ball.center) + ball.radius * normals
    return shell(points, normals, np.tile(ball.rgb, (count, 1)), 3 * ball.radius / count**0.5)


@pytest.fixture(scope="session")
def balls() -> tuple[Ball, ...]:
    return BALLS


@pytest.fixture(scope="session")
def make_shell():
    """Makes flat Gaussians on a surface: `make_shell(points, normals, rgb, size)`."""
    return shell


@pytest.fixture(scope="session")
def cameras() -> Cameras:
    """Twelve cameras on a circle around the origin; the first is the input camera."""
    intrinsics = np.tile(intrinsics_from_fov(np.radians(60), 96, 80), (12, 1, 1))
    return Cameras(world_from_cam=orbit(12), intrinsics=intrinsics, width=96, height=80)


@pytest.fixture(scope="session")
def balls_scene(cameras) -> Scene:
    """Three balls, red to the right, green above, blue in front."""
    gaussians = joined([ball_gaussians(ball) for ball in BALLS])
    return Scene(gaussians=gaussians, cameras=cameras, background=(1.0, 1.0, 1.0), is_object=True)


@pytest.fixture(scope="session")
def balls_views(balls_scene) -> Views:
    """Renderings of the balls by the scene's cameras, with sparse points on them."""
    seen = render(balls_scene.gaussians, balls_scene.cameras, background=balls_scene.background)
    index = slice(None, None, 50)
    return Views(
        rgb=np.round(255 * seen.rgb).astype(np.uint8),
        alpha=np.round(255 * seen.alpha).astype(np.uint8),
        depth=seen.depth,
        cameras=balls_scene.cameras,
        confidence=np.ones(len(balls_scene.cameras), np.float32),
        points=balls_scene.gaussians.means[index],
        point_colors=np.full((len(balls_scene.gaussians.means[index]), 3), (10, 100, 200), np.uint8),
        solver="commanded",
    )


@pytest.fixture
def random_gaussians():
    """Makes Gaussians of random values: `random_gaussians(count, bases)`."""

    def make(count: int, bases: int) -> Gaussians:
        rng = np.random.default_rng(0)
        shapes = {"means": (3,), "quats": (4,), "log_scales": (3,), "logit_opacities": (), "sh": (bases, 3)}
        return Gaussians(**{name: rng.normal(size=(count, *rest)).astype("f4") for name, rest in shapes.items()})

    return make
