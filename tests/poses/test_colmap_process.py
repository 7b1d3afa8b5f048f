"""Which pairs of frames COLMAP matches."""

from itertools import combinations

import pytest

from img2world.poses.colmap_process import KEY_FRAME_STEP, NUM_NEIGHBORS, select_pairs


@pytest.mark.parametrize(("count", "ordered"), [(10, True), (40, True), (60, False)])
def test_photos_and_short_videos_are_matched_in_all_pairs(count, ordered):
    assert select_pairs(count, ordered) == list(combinations(range(count), 2))


def test_long_videos_are_matched_between_neighbours_and_key_frames():
    pairs = select_pairs(60, True)
    assert len(pairs) == len(set(pairs)) < 600
    neighbors = {(i, i + step) for i in range(60) for step in range(1, NUM_NEIGHBORS + 1) if i + step < 60}
    key_frames = {*combinations(range(0, 60, KEY_FRAME_STEP), 2)}
    assert set(pairs) == neighbors | key_frames
    assert (0, 54) in pairs  # Closes the loop.
