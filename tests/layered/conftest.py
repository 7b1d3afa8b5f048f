"""Shapes and pictures that several modules are tested with; what is costly is built once."""

from types import SimpleNamespace

import numpy as np
import pytest

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.core.subject import Subject
from img2world.layered.build import build_layers, input_camera
from img2world.layered.layers import rays_in_cam
from img2world.layered.solids import up_in_cam
from img2world.layered.subject import AutoSubject
from img2world.layered.warp import Warper


def disc(size: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return np.hypot(x, y) < radius


def ball_picture(background: tuple[int, int, int], *, alpha: bool = False, size: int = 160) -> Image:
    """A shaded orange ball in front of a plain background, or cut out."""
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    inside = disc(size, 0.3 * size)
    light = 0.6 + 0.4 * np.clip(-(x + y) / (0.6 * size), -1, 1)
    rgb = np.where(inside[..., None], light[..., None] * np.array([240, 130, 30]), background).astype(np.uint8)
    return Image(rgb=rgb, alpha=inside.astype(np.uint8) * 255 if alpha else None)


def heights_seen(shape, camera) -> np.ndarray:
    """The position along the axis of a solid of what each pixel shows."""
    near, _ = shape.depths(camera)
    points = rays_in_cam(camera) * np.nan_to_num(near, nan=1.0)[..., None] - (0, 0, INPUT_DISTANCE)
    return points @ up_in_cam(shape.elevation)


@pytest.fixture(scope="session")
def shapes() -> SimpleNamespace:
    """Functions that make shapes and pictures: `shapes.disc(160, 48)`."""
    return SimpleNamespace(disc=disc, ball_picture=ball_picture, heights_seen=heights_seen)


def built(subject: Subject, size: int) -> SimpleNamespace:
    """A subject, its layered image and camera, and `look`, which draws it from a pose."""
    layered, camera = build_layers(subject, size), input_camera(subject, size)
    warper = Warper(layered)

    def look(pose):
        here = Cameras(
            world_from_cam=pose[None].astype(np.float32),
            intrinsics=camera.intrinsics,
            width=camera.width,
            height=camera.height,
        )
        return warper.draw(here)

    return SimpleNamespace(subject=subject, layered=layered, camera=camera, look=look)


@pytest.fixture(scope="session")
def ball() -> SimpleNamespace:
    """A ball that is cut out, as layers of 96 pixels; to be read, never to be changed."""
    return built(AutoSubject().find(ball_picture((255, 255, 255), alpha=True)), 96)


@pytest.fixture(scope="session")
def coffee(photo_subject) -> SimpleNamespace:
    """The photo of a cup, as layers of 160 pixels; to be read, never to be changed."""
    return built(photo_subject("coffee"), 160)
