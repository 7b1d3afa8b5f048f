"""Masks of drawn objects whose shapes are known."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.frames import Frames
from img2world.tracking.object_masks import combine_masks, find_background_color, object_masks

ROW, COLUMN = np.mgrid[:80, :100]


def frames_of(rgb: np.ndarray) -> Frames:
    return Frames(rgb=rgb, times=np.arange(float(len(rgb))))


def discs(count: int = 6) -> np.ndarray:
    """A disc that moves to the right."""
    return np.stack([(COLUMN - 30 - 5 * i) ** 2 + (ROW - 40) ** 2 < 20**2 for i in range(count)])


@pytest.fixture
def frames() -> Frames:
    """The discs, textured, on a noisy grey background."""
    random = np.random.default_rng(0)
    rgb = random.integers(200, 206, (6, 80, 100, 3))
    texture = random.integers(0, 150, (6, 80, 100, 3))
    return frames_of(np.where(discs()[..., None], texture, rgb).astype(np.uint8))


def test_the_object_is_found_but_for_its_outline(frames):
    masks = object_masks(frames)
    assert masks is not None
    assert (masks != discs()).mean() < 0.01


def test_highlights_are_filled_and_openings_and_specks_are_not_part_of_it(frames):
    rgb = frames.rgb.copy()
    highlight, opening = (COLUMN - 25) ** 2 + (ROW - 30) ** 2 < 4**2, (np.abs(ROW - 40) < 4) & (COLUMN > 40)
    rgb[:, highlight] = 203
    rgb[:, opening] = 203
    rgb[:, 5:8, 5:8] = 0
    mask = object_masks(frames_of(rgb))
    assert mask is not None
    assert mask[0, 30, 25]
    assert not mask[0, 40, 46]
    assert not mask[:, 5:8, 5:8].any()


def test_transparency_is_taken_as_it_is(frames):
    alpha = np.where(discs()[::-1], 200, 60).astype(np.uint8)
    assert np.array_equal(object_masks(replace(frames, alpha=alpha)), discs()[::-1])


def test_scenes_have_no_object(frames):
    noise = np.random.default_rng(1).integers(0, 256, frames.rgb.shape, dtype=np.uint8)
    assert object_masks(frames_of(noise)) is None
    empty = np.full_like(frames.rgb, 128)
    assert object_masks(frames_of(empty)) is None
    # An object that is there in half of the frames only.
    assert object_masks(frames_of(np.concatenate([frames.rgb[:3], empty[:3] + 75]))) is None


def test_background_color(frames):
    color = find_background_color(frames.rgb)
    assert color is not None
    assert np.allclose(color, 202.5, atol=1)
    two_colors = frames.rgb.copy()
    two_colors[:, :, :30] = 20
    assert find_background_color(two_colors) is None


def test_masks_are_combined():
    masks, valid = np.array([[[True, True], [False, False]]]), np.array([[[255, 0], [255, 0]]], np.uint8)
    assert combine_masks(None, None) is None
    assert combine_masks(masks, None) is masks
    assert combine_masks(None, valid).tolist() == [[[True, False], [True, False]]]
    assert combine_masks(masks, valid).tolist() == [[[True, False], [False, False]]]
