"""A small scene in which one of two balls moves is reconstructed at its times."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import SplatError
from img2world.core.views import Views
from img2world.render import render_each
from img2world.splat.dynamic import DynamicSplat
from img2world.splat.metrics import psnr, unit_rgb

SIZE, CAMERAS, TIMES = 64, 6, 4
STEP = np.array([0.04, 0.0, 0.03])
"""Way of the ball from one time to the next."""


def ball(
    center: np.ndarray, color: tuple[float, float, float], cameras: Cameras, i: int, contrast: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """Shaded picture [H, W, 3] and depth [H, W] (inf beside it) of a striped ball of radius 0.12 in one camera."""
    row, column = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(cameras.intrinsics[i]).T
    pose = cameras.world_from_cam[i].astype(np.float64)
    directions = rays @ pose[:3, :3].T
    towards = center - pose[:3, 3]
    along = (directions @ towards) / np.square(directions).sum(-1)
    inside = along**2 - (towards @ towards - 0.12**2) / np.square(directions).sum(-1)
    depth = np.where(inside > 0, along - np.sqrt(np.maximum(inside, 0)), np.inf)
    place = pose[:3, 3] + np.where(np.isfinite(depth), depth, 0)[..., None] * directions - center
    stripes = 0.6 + contrast * np.sign(np.sin(40 * place[..., :1]) * np.sin(40 * place[..., 1:2]))
    return stripes * np.array(color), depth


@pytest.fixture(scope="module")
def moving() -> Views:
    """Views of each camera at each time of a ball that stands still and one that moves."""
    return views_of_balls(
        lambda time: [
            (np.array([-0.13, 0.0, 0.0]), (1.0, 0.4, 0.2)),
            (np.array([0.1, 0.0, -0.05]) + 2 * time * STEP, (0.2, 0.5, 1.0)),
        ]
    )


Balls = list[tuple[np.ndarray, tuple[float, float, float]]]


def views_of_balls(balls_at: Callable[[float], Balls], contrast: float = 0.4) -> Views:
    """Views of each camera at each time of the balls that there are then: their centres and colours."""
    azimuths = np.repeat(np.arange(CAMERAS) * 2 * np.pi / CAMERAS, TIMES)
    cameras = Cameras(
        world_from_cam=on_sphere(azimuths, np.full(len(azimuths), 0.3)).astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(0.6, SIZE, SIZE)[None], len(azimuths), 0),
        width=SIZE,
        height=SIZE,
    )
    times = np.tile(np.arange(TIMES) / 2.0, CAMERAS)
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

    views = views_of_balls(balls_at, contrast=0.1)
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
        picture = next(render_each(gaussians, views.cameras.select([i]), background=scene.background))[0]
        assert psnr(picture, unit_rgb(views.rgb[i])) > 18


def test_views_without_times_do_not_move(moving):
    for times in (None, np.zeros(len(moving))):
        with pytest.raises(SplatError, match="nothing moves between them"):
            DynamicSplat().optimize(replace(moving, times=times))


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
