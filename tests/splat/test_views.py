from dataclasses import replace

import numpy as np
import pytest

from img2world.core.errors import SplatError
from img2world.splat.views import background_color, farthest_first, halve, held_out_mask, training_views


@pytest.mark.parametrize(
    ("num_views", "every", "held_out"),
    [(13, 8, [4, 12]), (36, 8, [4, 12, 20, 28]), (4, 8, [2]), (5, 8, [2]), (3, 8, []), (36, 0, []), (4, 1, [1, 2, 3])],
)
def test_held_out_mask(num_views, every, held_out):
    assert np.flatnonzero(held_out_mask(num_views, every)).tolist() == held_out


@pytest.mark.parametrize(
    ("cameras", "times", "every"), [(8, 12, 8), (7, 3, 8), (9, 3, 8), (12, 24, 8), (2, 2, 8), (5, 4, 2)]
)
@pytest.mark.parametrize("by_time", [True, False])
def test_of_what_moves_every_camera_and_every_time_is_trained_on(cameras, times, every, by_time):
    table = np.arange(times, dtype=np.float64)[:, None].repeat(cameras, 1)
    if not by_time:
        table = table.T
    held_out = held_out_mask(cameras * times, every, table.ravel()).reshape(table.shape)
    held_out = held_out if by_time else held_out.T
    assert not held_out.all(0).any()
    assert not held_out.all(1).any()
    assert not held_out[0, 0]
    assert held_out.sum() == held_out_mask(cameras * times, every).sum()
    assert np.ptp(held_out.sum(0)) <= 1  # No camera is tested more than others.


def test_times_that_one_view_shows_are_held_out_as_if_nothing_moved():
    np.testing.assert_array_equal(held_out_mask(36, 8, np.linspace(0, 1, 36)), held_out_mask(36, 8))


def test_training_views_are_all_others(wall_views):
    held_out = np.array([False, True, False, False, True])
    np.testing.assert_array_equal(training_views(wall_views, held_out).rgb, wall_views.rgb[[0, 2, 3]])


def test_one_view_is_refused(wall_views):
    with pytest.raises(SplatError, match="1 view, needs at least 2") as error:
        training_views(wall_views.select(np.array([0])), np.array([False]))
    assert "num_frames" in error.value.hint


def test_the_background_of_a_scene_is_what_is_at_the_borders(wall_views):
    rgb = np.full_like(wall_views.rgb, 9)
    rgb[:, [0, -1]] = rgb[:, :, [0, -1]] = [255, 51, 0]
    assert background_color(replace(wall_views, rgb=rgb)) == pytest.approx((1, 0.2, 0))


def test_the_background_of_an_object_is_white(wall_views):
    alpha = np.full(wall_views.rgb.shape[:3], 255, np.uint8)
    assert background_color(replace(wall_views, alpha=alpha)) == (1, 1, 1)


def test_halved_views_show_the_same_with_a_quarter_of_the_pixels(wall_views):
    views = replace(wall_views, alpha=np.tile(np.uint8([0, 255]), (5, 64, 32)))
    small = halve(views)
    blocks = wall_views.rgb.reshape(5, 32, 2, 32, 2, 3).astype(np.float64).mean((2, 4))
    np.testing.assert_allclose(small.rgb, blocks, atol=0.51)  # rounded
    np.testing.assert_allclose(small.alpha, 128, atol=1)
    # Depth is that of a pixel of the block, never a mean.
    assert np.isin(small.depth, wall_views.depth).all()
    np.testing.assert_allclose(small.depth, wall_views.depth[:, 1::2, 1::2])
    np.testing.assert_allclose(small.cameras.intrinsics[:, :2], wall_views.cameras.intrinsics[:, :2] / 2)


def test_a_halved_mask_ignores_all_that_touches_an_ignored_pixel(wall_views):
    mask = np.full(wall_views.rgb.shape[:3], 255, np.uint8)
    mask[:, 10, 20] = 0
    halved = halve(replace(wall_views, mask=mask)).mask
    assert halved is not None
    assert np.argwhere(halved == 0).tolist() == [[view, 5, 10] for view in range(5)]


def test_farthest_first_starts_with_the_first_and_takes_the_ends_next(wall_views):
    assert farthest_first(wall_views.cameras).tolist()[:3] == [0, 4, 2]
