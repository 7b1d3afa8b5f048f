"""A small scene in which one of two balls moves is reconstructed at its times."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from img2world.core.errors import SplatError
from img2world.core.views import Views
from img2world.render import render_each
from img2world.splat.dynamic import DynamicSplat
from img2world.splat.metrics import psnr, unit_rgb
from tests.striped_balls import Balls, views_of_balls

CAMERAS, TIMES = 6, 4
STEP = np.array([0.04, 0.0, 0.03])
"""Way of the ball from one time to the next."""


@pytest.fixture(scope="module")
def moving() -> Views:
    """Views of each camera at each time of a ball that stands still and one that moves."""
    return views_at_times(
        lambda time: [
            (np.array([-0.13, 0.0, 0.0]), (1.0, 0.4, 0.2)),
            (np.array([0.1, 0.0, -0.05]) + 2 * time * STEP, (0.2, 0.5, 1.0)),
        ]
    )


def views_at_times(balls_at: Callable[[float], Balls], contrast: float = 0.4) -> Views:
    """Views of each camera at each time of the balls that there are then: their centres and colours."""
    azimuths = np.repeat(np.arange(CAMERAS) * 2 * np.pi / CAMERAS, TIMES)
    return views_of_balls(azimuths, np.tile(np.arange(TIMES) / 2.0, CAMERAS), balls_at, contrast)


def test_what_moves_is_where_it_goes(moving):
    splat = DynamicSplat(static_steps=120, sweep_steps=15, steps=150, max_gaussians=900, num_bones=6, holdout_every=0)
    scene = splat.optimize(moving, seed=0)
    values = []
    for i, time in enumerate(moving.times):
        picture = next(render_each(scene.at(float(time)), moving.cameras.select([i]), background=scene.background))[0]
        at_rest = next(render_each(scene.at(0.0), moving.cameras.select([i]), background=scene.background))[0]
        truth = unit_rgb(moving.rgb[i])
        values.append((time, psnr(picture, truth), psnr(at_rest, truth)))
    # Nothing appears, so there is nothing to say of it.
    assert scene.motion is not None
    assert scene.motion.windows is None
    late = np.array([row[1:] for row in values if row[0] == moving.times.max()]).mean(0)
    assert late[0] > 20
    assert late[0] > late[1] + 4
    # The blue ball has gone along; the other stands still.
    rest, moved = scene.at(0.0).means, scene.at(float(moving.times.max())).means
    right = rest[:, 0] > 0.03
    np.testing.assert_allclose(np.median(moved[right] - rest[right], axis=0), 3 * STEP, atol=0.03)
    assert np.linalg.norm(np.median(moved[~right] - rest[~right], axis=0)) < 0.02


def test_what_appears_and_vanishes_is_there_in_its_time_only():
    changed_at = 1.0

    def balls_at(time: float) -> Balls:
        other = (
            (np.array([-0.2, 0.02, -0.1]) + time * STEP, (0.2, 0.5, 1.0))
            if time < changed_at
            else (np.array([0.2, -0.02, -0.1]) - time * STEP, (0.1, 0.8, 0.2))
        )
        return [(np.array([0.0, 0.0, 0.13]), (1.0, 0.4, 0.2)), other]

    views = views_at_times(balls_at, contrast=0.1)
    splat = DynamicSplat(static_steps=80, sweep_steps=12, steps=60, max_gaussians=900, num_bones=9, holdout_every=0)
    scene = splat.optimize(views, seed=0)
    assert len(scene.gaussians) <= 900
    assert scene.motion is not None
    assert scene.motion.windows is not None
    begins, ends = scene.motion.windows.T
    assert scene.motion.fade == 0.5
    for chosen, edges, time in ((ends < 1.5, ends, 0.5), (begins > 0, begins, 1.0)):
        # Half way between the last time without it and the first with it.
        np.testing.assert_allclose(edges[chosen], changed_at - 0.25)
        place = np.median(scene.at(time).means[chosen], 0)
        np.testing.assert_allclose(place, balls_at(time)[1][0], atol=0.05)
    # Only that which is there all the time is where the third ball is.
    assert np.linalg.norm(scene.gaussians.means[(ends > 1.5) & (begins < 0)] - balls_at(0)[0][0], axis=1).max() < 0.2
    for i in np.flatnonzero(np.isin(views.times, [0.5, 1.0])).tolist():
        gaussians = scene.at(float(views.times[i]))
        picture = next(render_each(gaussians, views.cameras.select([int(i)]), background=scene.background))[0]
        assert psnr(picture, unit_rgb(views.rgb[i])) > 18


def test_views_without_times_do_not_move(moving):
    for times in (None, np.zeros(len(moving))):
        with pytest.raises(SplatError, match="nothing moves between them"):
            DynamicSplat().optimize(replace(moving, times=times))


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"alpha": 0}, {}, "in none of the views"),
        ({}, {"holdout_every": 1}, "show a single time"),
        ({}, {"max_gaussians": 9}, "9 Gaussians make no scene"),
    ],
)
def test_views_that_nothing_can_be_made_of_are_one_error(moving, changes, options, message):
    views = replace(moving, **{name: np.full_like(getattr(moving, name), value) for name, value in changes.items()})
    with pytest.raises(SplatError, match=message):
        DynamicSplat(static_steps=1, **options).optimize(views)


def test_times_are_kept_with_the_views(moving, tmp_path):
    (tmp_path / "views").mkdir()
    moving.save(tmp_path / "views")
    np.testing.assert_array_equal(Views.load(tmp_path / "views").times, moving.times)
    np.testing.assert_array_equal(moving.select(np.array([3, 1])).times, moving.times[[3, 1]])


def test_a_masked_mover_is_reconstructed_all_the_same_and_stiffness_holds_it_back(moving):
    blue = (moving.rgb[..., 2] > moving.rgb[..., 0]) & (moving.alpha > 127)
    masks = {"mask": np.where(blue, 0, 255).astype(np.uint8), "moving": np.where(blue, 255, 0).astype(np.uint8)}
    quick = {"static_steps": 40, "sweep_steps": 4, "steps": 30, "max_gaussians": 300, "num_bones": 4}
    free = DynamicSplat(**quick, rigidity=0.0, smoothness=0.0, alpha_weight=0.0, holdout_every=0)
    stiff = DynamicSplat(**quick, rigidity=50.0, smoothness=500.0, holdout_every=0)
    ways = []
    for options in (free, stiff):
        scene = options.optimize(replace(moving, **masks), seed=0)
        rest, moved = scene.at(0.0).means, scene.at(float(moving.times.max())).means
        ways.append(np.linalg.norm(moved - rest, axis=1))
    assert np.percentile(ways[0], 90) > 0.04
    # Unevenness and stretch are punished so hard that less of it remains.
    assert np.percentile(ways[0], 90) > np.percentile(ways[1], 90)
