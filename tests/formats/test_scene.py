"""Cameras around the content of a splat file, which knows none."""

import numpy as np
import pytest

from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.formats.scene import scene_from_gaussians, viewer_scene
from img2world.render import render


def gaussians_at(means: np.ndarray, scale: float = 0.01) -> Gaussians:
    count = len(means)
    return Gaussians(
        means=means.astype(np.float32),
        quats=np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        log_scales=np.full((count, 3), np.log(scale), np.float32),
        logit_opacities=np.full(count, 3, np.float32),
        sh=np.ones((count, 1, 3), np.float32),
    )


def person() -> np.ndarray:
    """Points of something tall, with most detail at one end, and a few floaters."""
    rng = np.random.default_rng(0)
    body = rng.uniform((-0.3, -1.8, -0.2), (0.3, 0, 0.2), (2000, 3))
    head = rng.uniform((-0.1, -2.0, -0.1), (0.1, -1.8, 0.1), (1500, 3))
    return np.concatenate([body, head, rng.uniform(-30, 30, (20, 3))]) + np.array([5, 1, 2])


def test_everything_but_floaters_is_in_every_picture():
    means = person()
    cameras = scene_from_gaussians(gaussians_at(means), views=8).cameras
    for cam_from_world, intrinsics in zip(cameras.cam_from_world, cameras.intrinsics, strict=True):
        points = means[:-20] @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
        pixels = points[:, :2] / points[:, 2:] * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
        assert points[:, 2].min() > 0
        assert (pixels >= 0).all()
        assert (pixels <= (cameras.width, cameras.height)).all()
        # And fills a good part of it.
        assert np.ptp(pixels[:, 1]) > 0.5 * cameras.height


def test_large_gaussians_are_seen_whole():
    """A few Gaussians that are larger than their distance."""
    gaussians = gaussians_at(np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0.0]]), scale=2.0)
    scene = scene_from_gaussians(gaussians, views=2, width=64, height=48)
    rendered = render(gaussians, scene.cameras)
    assert rendered.alpha[:, 24, 32].min() > 0.8
    assert rendered.alpha[:, [0, -1]].max() < 0.5


def test_the_viewer_has_its_own_units():
    scene = viewer_scene(scene_from_gaussians(gaussians_at(person())))
    np.testing.assert_allclose(np.linalg.norm(scene.cameras.centers_in_world, axis=1), 1, atol=1e-4)
    assert scene.supported is not None


def test_nothing_to_see_is_one_error():
    gaussians = gaussians_at(np.zeros((3, 3)))
    gaussians.logit_opacities[:] = -9
    with pytest.raises(FormatError, match="all are transparent"):
        scene_from_gaussians(gaussians)
