"""Parts of decoding that need no video; test_file.py decodes whole videos."""

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.video.frame_selection import assign_slots
from img2world.video.pixels import apply_display_matrix, without_dither


def test_mirrors_of_a_display_matrix():
    rgb = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    one = 1 << 16
    cases = {
        (one, 0, 0, one): rgb,
        (-one, 0, 0, one): rgb[:, ::-1],
        (one, 0, 0, -one): rgb[::-1],
        (0, one, one, 0): rgb.swapaxes(0, 1),
        (0, -one, -one, 0): np.rot90(rgb, 2).swapaxes(0, 1),
    }
    for (a, b, c, d), expected in cases.items():
        matrix = np.array([[a, b, 0], [c, d, 0], [0, 0, 1 << 30]], np.int32)
        assert np.array_equal(apply_display_matrix(rgb, matrix), expected)


def test_a_picture_of_few_dithered_colours_keeps_its_hues():
    down, across = np.mgrid[:96, :96] / 95
    true = np.stack([90 + 120 * across, 60 + 100 * down, 60 + 160 * (1 - across) * down], -1).astype(np.uint8)
    palette = PillowImage.new("P", (1, 1))
    steps = range(0, 256, 51)
    palette.putpalette([level for r in steps for g in steps for b in (0, 127, 255) for level in (r, g, b)])
    few = PillowImage.fromarray(true).quantize(palette=palette, dither=PillowImage.Dither.FLOYDSTEINBERG)
    dithered = np.asarray(few.convert("RGBA"))

    def error(rgba: np.ndarray) -> float:
        """The largest mean error of a channel, of medians over neighbours."""
        medians = np.dstack([cv2.medianBlur(np.ascontiguousarray(rgba[..., i]), 5) for i in range(3)])
        return float(np.abs(medians.astype(float) - true).mean((0, 1)).max())

    assert error(dithered) > 30
    assert error(without_dither(dithered)) < 7
    whole = np.dstack([true, np.full(true.shape[:2], 255, np.uint8)])
    assert without_dither(whole) is whole
    holes = dithered.copy()
    holes[:9, :9, 3] = 0
    assert without_dither(holes) is holes


@pytest.mark.parametrize("count", [2, 5, 24, 48, 49, 60, 400])
def test_slots_follow_each_other_in_time(count):
    times = np.cumsum(np.random.default_rng(count).exponential(1, count))
    slots = assign_slots(times, 48)
    assert slots[0] == 0
    if count <= 48:
        assert slots.tolist() == list(range(count))
        return
    used = sorted(set(slots.tolist()) - {-1})
    assert len(used) >= 24
    means = [times[slots == slot].mean() for slot in used]
    assert (np.diff(means) > 0).all()
