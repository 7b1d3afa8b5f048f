from itertools import pairwise

import numpy as np
import pytest

from img2world.layered.depth_slices import MAX_SLICES, slice_depth, slice_masks


def steps(*levels: float, width: int = 30) -> np.ndarray:
    """An inverse depth map of vertical stripes."""
    return np.tile(np.repeat(np.float32(levels), width), (60, 1))


@pytest.mark.parametrize("levels", [(1.0,), (0.5, 1.0), (1.5, 0.4, 0.9), (0.4, 0.45, 1.0, 1.02, 1.9, 2.0)])
def test_masks_cover_every_pixel_once_from_far_to_near(levels):
    depth = steps(*levels)
    masks = slice_masks(depth)
    assert len(masks) == min(len(levels), MAX_SLICES)
    np.testing.assert_array_equal(sum(masks), 1)
    ranges = [(depth[mask > 0].min(), depth[mask > 0].max()) for mask in masks]
    assert all(far[1] < near[0] for far, near in pairwise(ranges))


def test_slices_split_at_the_largest_steps():
    depth = steps(0.4, 0.5, 1.0, 1.1, 1.9, 2.0)
    depth += np.random.default_rng(0).uniform(-0.05, 0.05, depth.shape).astype(np.float32)
    for mask, columns in zip(slice_masks(depth), (slice(0, 60), slice(60, 120), slice(120, 180)), strict=True):
        assert mask[:, columns].mean() > 0.97  # thresholds are centers of bins


def test_a_tiny_slice_joins_the_one_behind_it():
    depth = steps(0.5, 1.0, width=40)
    depth[2:7, 2:7] = 1.9  # 0.5 % of the picture
    masks = slice_masks(depth)
    assert sum((mask > 0).any() for mask in masks) == len(masks) == 2
    assert masks[1][4, 4] == 1


def test_hidden_slices_continue_at_the_depth_next_to_them():
    depth = np.full((60, 60), 0.5, np.float32)
    depth[:, 30:] = 0.5004  # rounds to the same level
    depth[:, 20:40] = 2.0
    far, near = slice_depth(depth)
    np.testing.assert_array_equal(near.shown > 0, depth == 2)
    np.testing.assert_array_equal(near.extent, near.shown)
    np.testing.assert_array_equal(near.given, 1)
    np.testing.assert_array_equal(far.extent, 1)
    np.testing.assert_array_equal(far.given, far.shown)
    # The nearest visible pixel is at the left of the hole or at its right.
    np.testing.assert_array_equal(far.inverse_depth[30, 20:24], 0.5)
    np.testing.assert_array_equal(far.inverse_depth[30, 36:40], np.float32(0.5004))
    np.testing.assert_array_equal(near.inverse_depth, 2)
