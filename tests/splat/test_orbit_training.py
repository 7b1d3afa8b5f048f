"""One camera that goes around while one of two balls moves: which one does, and where to."""

import numpy as np
import pytest

from img2world.core.views import Views
from img2world.render import render_each
from img2world.splat.dynamic import DynamicSplat
from img2world.splat.metrics import psnr, unit_rgb
from img2world.splat.optimize import GaussianSplat
from img2world.splat.still_part import tell_apart
from tests.striped_balls import RADIUS, Balls, views_of_balls

TIMES = 24
STILL, MOVER = np.array([-0.13, 0.0, 0.0]), np.array([0.1, 0.0, -0.05])
"""Centres of the balls, of the second at time 0."""

SPEED = np.array([0.1, -0.36, 0.1])


def balls_at(time: float) -> Balls:
    """A red ball that rests and a blue one that moves."""
    return [(STILL, (1.0, 0.4, 0.2)), (MOVER + time * SPEED, (0.2, 0.5, 1.0))]


@pytest.fixture(scope="module")
def orbit() -> Views:
    """One view a time."""
    return views_of_balls(np.arange(TIMES) * 2 * np.pi / TIMES, np.linspace(0, 1, TIMES), balls_at)


def blue(views: Views) -> np.ndarray:
    """True where a view shows the ball that moves."""
    return (views.rgb[..., 2] > views.rgb[..., 0]) & (views.alpha > 127)


def test_what_moves_is_told_from_what_rests(orbit):
    static = GaussianSplat(steps=150, max_gaussians=1000, holdout_every=0, stereo=False, sh_degree=0)
    parts = tell_apart(orbit, static, seed=0)
    assert parts is not None
    shown = blue(orbit)
    assert parts.moving[shown].mean() > 0.5
    assert np.linalg.norm(np.median(parts.still.means, axis=0) - STILL) < 0.5 * RADIUS
    # Its points are where it is in the middle of the window.
    time = orbit.times[parts.window].mean()
    distances = np.linalg.norm(parts.movers.means - (MOVER + time * SPEED), axis=1)
    assert np.mean(distances < 1.5 * RADIUS) > 0.4


def test_one_camera_finds_where_the_ball_goes(orbit):
    quick = {"static_steps": 120, "sweep_steps": 5, "steps": 150, "max_gaussians": 1000}
    scene = DynamicSplat(**quick, holdout_every=0).optimize(orbit, seed=0)
    # From sides that the camera was not at then.
    unseen = views_of_balls(np.full(4, 0.9), np.linspace(0, 1, 4), balls_at)
    values = []
    for i, time in enumerate(unseen.times.tolist()):
        picture = next(render_each(scene.at(time), unseen.cameras.select([i]), background=scene.background))[0]
        values.append(psnr(picture, unit_rgb(unseen.rgb[i])))
    assert np.mean(values) > 17
    indices = scene.motion.bone_indices
    mover = indices[np.arange(len(indices)), scene.motion.bone_weights.argmax(1)] > 0
    # Where those go that hardly show, no view tells.
    shown = mover & (scene.gaussians.opacities > 0.5)
    way = np.median(scene.at(0.9).means[shown], axis=0) - np.median(scene.at(0.1).means[shown], axis=0)
    assert np.linalg.norm(way - 0.8 * SPEED) < 0.2 * np.linalg.norm(0.8 * SPEED)
    np.testing.assert_allclose(scene.at(0.0).means[~mover], scene.at(1.0).means[~mover], atol=0.02)
