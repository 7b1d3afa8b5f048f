"""Parts of decoding that need no video; test_file.py decodes whole videos."""

import numpy as np
import pytest

from img2world.video.frame_selection import assign_slots
from img2world.video.pixels import apply_display_matrix


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
