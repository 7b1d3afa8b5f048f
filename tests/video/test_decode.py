"""The parts of decoding that need no video; whole videos are in test_file.py."""

import numpy as np
import pytest

from img2world.video.decode import choose, turn


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
        assert np.array_equal(turn(rgb, np.array([[a, b, 0], [c, d, 0], [0, 0, 1 << 30]], np.int32)), expected)


@pytest.mark.parametrize("count", [2, 5, 24, 48, 49, 60, 400])
def test_choose_gives_each_place_at_most_once_around_its_time(count):
    times = np.cumsum(np.random.default_rng(count).exponential(1, count))
    places = choose(times, 48)
    assert places[0] == 0
    if count <= 48:
        assert places.tolist() == list(range(count))
        return
    used = sorted(set(places.tolist()) - {-1})
    assert len(used) >= 24
    middles = [times[places == place].mean() for place in used]
    assert (np.diff(middles) > 0).all()
