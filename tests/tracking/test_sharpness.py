"""Blur is told from texture and from exposure."""

from itertools import pairwise

import numpy as np
import pytest
from skimage import data

from img2world.tracking.sharpness import blurred_among, detail_map, sharpness_step

ROOM = data.coffee().mean(-1).astype(np.uint8)


def shaken(x, length):
    """Return the photo from column `x`, blurred along rows by a motion of so many pixels."""
    return np.mean([ROOM[40:360, x + i : x + i + 400].astype(float) for i in range(length)], 0).astype(np.uint8)


def sharpness_of(frames):
    maps = [detail_map(frame) for frame in frames]
    return np.cumsum([0.0, *(sharpness_step(a, b) for a, b in pairwise(maps))])


def test_blur_is_told_from_texture():
    # The camera turns from rich texture to a plain wall, which is sharper than the blurred frames before it, although
    # it has far less detail.
    rows = np.random.default_rng(0).integers(0, 255, (80, 400), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    contrast = np.where(np.arange(rows.shape[1]) < 700, 1, 0.1)
    world = 128 + (rows - 128.0) * contrast
    frames = []
    for i in range(110):
        length = 9 if 20 <= i < 26 else 1
        frames.append(np.mean([world[:, 10 * i + k :][:, :400] for k in range(length)], 0).round().astype(np.uint8))
    sharpness = sharpness_of(frames)
    plain_detail = [float(detail_map(frame).mean()) for frame in frames]
    assert max(plain_detail[85:]) < min(plain_detail[20:26])
    assert min(sharpness[85:]) > max(sharpness[20:26]) + 0.5


@pytest.mark.parametrize("brightness", [0.5, 1.6])
def test_exposure_is_no_sharpness(brightness):
    frames = [shaken(x, 1) for x in range(10)]
    brighter = [
        (frame * (brightness / 2 if i >= 5 else 0.5)).clip(0, 255).astype(np.uint8) for i, frame in enumerate(frames)
    ]
    assert np.abs(sharpness_of(brighter) - sharpness_of(frames)).max() < 0.6  # A blur of 5 pixels changes it by 3.
    assert sharpness_of([shaken(0, 1), shaken(0, 5)])[-1] < -2


def test_one_among_many():
    assert blurred_among(np.where(np.arange(50) == 20, -3.0, 0.0)).nonzero()[0].tolist() == [20]
