"""Comparison of frames that were moved, brightened or recoloured by known amounts."""

import cv2
import numpy as np
import pytest

from img2world.core.frames import Frames
from img2world.doctor.transitions import compare_frames, downscale


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """A smooth random texture, [100, 200, 3]."""
    blurred = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8), (0, 0), 2.0)
    return np.clip((blurred.astype(float) - 128) * 3 + 128, 0, 255).astype(np.uint8)


def test_frames_are_downscaled_with_their_masks(frames_of):
    rgb = np.full((3, 400, 512, 3), 230, np.uint8)
    rgb[:, 100:300, 100:400] = np.random.default_rng(0).integers(0, 100, (3, 200, 300, 3))
    clip = downscale(frames_of(rgb))
    assert clip.rgb.shape == (3, 200, 256, 3)
    assert clip.diagonal == pytest.approx(np.hypot(200, 256))
    assert clip.masks is not None
    assert clip.masks.mean() == pytest.approx(200 * 300 / (400 * 512), rel=0.05)
    alpha = np.zeros((3, 400, 512), np.uint8)
    clip = downscale(Frames(rgb=rgb, alpha=alpha, times=np.arange(3.0)))
    assert clip.masks is not None
    assert not clip.masks.any()


def test_small_frames_keep_their_size(frames_of):
    assert downscale(frames_of(np.zeros((3, 20, 50, 3), np.uint8))).gray.shape == (3, 20, 50)


def test_motion_and_tracked_fraction(frames_of, texture):
    clip = downscale(frames_of(np.stack([texture[:, :160], texture[:, 4:164]])))
    transition = compare_frames(clip, 0, 1)
    assert transition.motion == pytest.approx(4, abs=0.1)
    assert transition.tracked_fraction > 0.9
    assert np.median(np.abs(transition.end - transition.start - [-4, 0])) < 0.1
    assert transition.gain == pytest.approx(1, abs=0.02)
    assert transition.histogram_distance < 0.2


def test_a_gain_is_measured_and_does_not_count_as_a_difference(frames_of, texture):
    darker = (texture[:, :160] * 0.8).astype(np.uint8)
    clip = downscale(frames_of(np.stack([texture[:, :160], darker])))
    transition = compare_frames(clip, 0, 1)
    assert transition.gain == pytest.approx(0.8, abs=0.02)
    assert transition.difference < 2
    assert np.abs(clip.rgb[0].astype(int) - clip.rgb[1]).mean() > 15


def test_other_colors_and_other_content(frames_of, texture):
    """Stripes of black and white have the mean and contrast of a texture, but other colours."""
    stripes = np.repeat(np.where(np.arange(160) // 20 % 2, 255, 0).astype(np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    other = np.random.default_rng(1).integers(0, 255, (100, 160, 3), dtype=np.uint8)
    clip = downscale(frames_of(np.stack([texture[:, :160], stripes, other])))
    same, striped = compare_frames(clip, 0, 0), compare_frames(clip, 0, 1)
    assert same.difference == same.histogram_distance == same.motion == 0
    assert striped.histogram_distance > 0.5
    assert compare_frames(clip, 0, 2).tracked_fraction < 0.3


def test_a_mirror_image_is_recognised_when_it_is_flipped_back(frames_of, texture):
    clip = downscale(frames_of(np.stack([texture[:, :160], texture[:, 159::-1]])))
    assert compare_frames(clip, 0, 1).tracked_fraction < 0.5
    flipped = compare_frames(clip, 0, 1, flipped=True)
    assert flipped.tracked_fraction > 0.99
    assert flipped.difference < 0.1  # Rounding of the sums of brightness.


def test_without_texture_nothing_is_known(frames_of):
    transition = compare_frames(downscale(frames_of(np.full((2, 64, 64, 3), 90, np.uint8))), 0, 1)
    assert np.isnan(transition.tracked_fraction)
    assert (len(transition.start), transition.motion, transition.gain) == (0, 0.0, 1.0)
