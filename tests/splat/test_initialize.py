from dataclasses import replace

import numpy as np
import pytest

from img2world.core.errors import SplatError
from img2world.core.progress import silent
from img2world.core.rotation import matrix_from_quat
from img2world.core.sh import rgb_from_dc
from img2world.render import render
from img2world.splat.initialize import initialize, median_scene_depth, with_stereo_depth
from img2world.splat.metrics import psnr

WALL_NORMAL = np.array([0.3, 0, -1]) / np.hypot(0.3, 1)
"""Of the plane z = 2 + 0.3 x, towards the cameras."""


def test_discs_lie_in_the_surface(wall_gaussians):
    means = wall_gaussians.means.astype(np.float64)
    np.testing.assert_allclose(means[:, 2], 2 + 0.3 * means[:, 0], atol=1e-5)  # float32 of numbers around 2
    thin = np.argmin(wall_gaussians.log_scales, axis=1)
    axes = matrix_from_quat(wall_gaussians.quats.astype(np.float64))
    normals = np.take_along_axis(axes, thin[:, None, None], 2)[..., 0]
    assert np.abs(normals @ WALL_NORMAL).min() > 0.9999


def test_the_start_already_looks_like_the_views(wall_views, wall_gaussians):
    drawn = render(wall_gaussians, wall_views.cameras.select([2]))
    inside = slice(4, -4)
    assert psnr(drawn.rgb[0][inside, inside], wall_views.rgb[2][inside, inside] / np.float32(255)) > 20
    np.testing.assert_allclose(drawn.depth[0][inside, inside], wall_views.depth[2][inside, inside], rtol=0.02)


@pytest.mark.parametrize("budget", [60, 400, 2000])
def test_the_budget_is_kept_and_used(wall_views, budget):
    # A stride is a whole number, so up to three quarters may stay unused: going from 1 to 2 pixels drops them.
    assert budget / 4 < len(initialize(wall_views, budget)) <= budget


def test_a_second_view_of_the_same_surface_adds_only_what_is_new(wall_views):
    def count(index):
        views = replace(
            wall_views,
            rgb=wall_views.rgb[index],
            cameras=wall_views.cameras.select(index),
            confidence=wall_views.confidence[index],
            depth=wall_views.depth[index],
        )
        return len(initialize(views, 10_000))

    assert count([0, 0]) == count([0])
    # The outer cameras are half a unit apart and see 1.9 units: a quarter of what each sees is its own.
    assert 1.15 < count([0, 4]) / count([0]) < 1.5


def test_what_is_not_the_object_gets_nothing(wall_views):
    alpha = np.zeros(wall_views.rgb.shape[:3], np.uint8)
    alpha[:, 20:40, 24:44] = 255
    gaussians = initialize(replace(wall_views, alpha=alpha), 2000)
    in_first = (
        gaussians.means @ wall_views.cameras.cam_from_world[0, :3, :3].T + wall_views.cameras.cam_from_world[0, :3, 3]
    )
    rows = in_first[:, 1] / in_first[:, 2] * wall_views.cameras.intrinsics[0, 1, 1] + 32
    assert len(gaussians) > 50
    assert rows.min() > 18
    assert rows.max() < 42


def test_depth_edges_make_no_gaussians_in_between(wall_views):
    depth = wall_views.depth.copy()
    depth[:, :, 32:] = 4
    gaussians = initialize(replace(wall_views, depth=depth), 20_000)
    z = gaussians.means[:, 2]
    wall = np.abs(z - 2 - 0.3 * gaussians.means[:, 0]) < 1e-4
    assert (wall | (np.abs(z - 4) < 1e-4)).all()


def test_sparse_points_start_as_wide_as_their_neighbours_are_far(wall_views):
    views = replace(wall_views, depth=None)
    gaussians = initialize(views, 10_000)
    distances = np.linalg.norm(views.points[:, None] - views.points[None], axis=-1)
    nearest = np.sort(distances, 1)[:, 1:4]
    np.testing.assert_allclose(gaussians.scales[:, 0], np.sqrt((nearest**2).mean(1)), rtol=1e-3)
    np.testing.assert_allclose(255 * rgb_from_dc(gaussians.sh[:, 0]), views.point_colors, atol=1e-3)
    assert len(initialize(views, 100)) == 100


def test_equal_points_do_no_harm(wall_views):
    views = replace(wall_views, depth=None, points=np.repeat(wall_views.points[:5], 180, 0))
    assert np.isfinite(initialize(views, 10_000).log_scales).all()


def test_views_with_nothing_to_start_from_are_refused(wall_views):
    few = replace(wall_views, depth=None, points=wall_views.points[:9], point_colors=wall_views.point_colors[:9])
    with pytest.raises(SplatError, match="no depth and 9 points") as error:
        initialize(few, 1000)
    assert "colmap" in error.value.hint


def test_a_depth_that_is_all_edges_is_refused(wall_views):
    noise = np.random.default_rng(0).uniform(1, 100, wall_views.depth.shape).astype(np.float32)
    alpha = np.zeros(noise.shape, np.uint8)
    alpha[:, ::2, ::2] = 255
    with pytest.raises(SplatError, match="no surface"):
        initialize(replace(wall_views, depth=noise, alpha=alpha), 1000)


def test_the_scene_depth_is_that_of_what_is_in_view(wall_views, wall_gaussians):
    assert median_scene_depth(wall_views.cameras, wall_gaussians.means) == pytest.approx(2, abs=0.1)
    behind = np.float32([[0, 0, -3]])
    assert median_scene_depth(wall_views.cameras, behind) == pytest.approx(3, abs=0.1)


def test_stereo_that_finds_nothing_leaves_the_points(wall_views):
    points_only = replace(wall_views, depth=None)
    blind = replace(wall_views, depth=np.zeros_like(wall_views.depth))
    expected = initialize(points_only, 500)
    np.testing.assert_array_equal(initialize(points_only, 500, blind).means, expected.means)
    assert len(initialize(points_only, 500, wall_views)) > len(expected)


def test_stereo_knows_no_depth_where_pixels_are_masked(wall_views):
    mask = np.full(wall_views.rgb.shape[:3], 255, np.uint8)
    mask[:, :, :20] = 0
    depth = with_stereo_depth(replace(wall_views, depth=None, mask=mask), silent).depth
    assert not depth[:, :, :20].any()
    assert (depth[:, :, 20:] > 0).mean() > 0.3
