"""Which pairs of pictures are matched: promising ones of many, and those that a sparse graph needs."""

from itertools import combinations

import numpy as np
import pytest

from img2world.poses.match_store import Match
from img2world.poses.pairs import (
    ENOUGH,
    KEY_FRAME_STEP,
    MAX_KEY_FRAMES,
    NUM_NEIGHBORS,
    NUM_SIMILAR,
    STRONG,
    extend_pairs,
    needs_similarities,
    pairs_of_left_out,
    select_pairs,
    weak_pairs,
)


def matches(count: int) -> Match:
    return Match(geometry=3, inliers=np.zeros((count, 2), np.uint32))


def on_circle(count: int) -> np.ndarray:
    """Similarities of pictures around an object: the nearer, the more alike."""
    steps = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    return (1 - np.minimum(steps, count - steps) / count).astype(np.float32)


@pytest.mark.parametrize(("count", "ordered"), [(10, True), (40, True), (60, False)])
def test_few_are_matched_in_all_pairs(count, ordered):
    assert not needs_similarities(count, ordered=ordered)
    assert select_pairs(count, ordered=ordered) == list(combinations(range(count), 2))


def test_long_videos_are_matched_between_neighbours_and_key_frames():
    pairs = select_pairs(60, ordered=True)
    assert len(pairs) == len(set(pairs)) < 600
    neighbors = {(i, i + step) for i in range(60) for step in range(1, NUM_NEIGHBORS + 1) if i + step < 60}
    key_frames = {*combinations(range(0, 60, KEY_FRAME_STEP), 2)}
    assert set(pairs) == neighbors | key_frames
    assert (0, 54) in pairs  # Closes the loop.


def test_the_number_of_pairs_of_a_very_long_video_grows_with_its_length():
    count = 2 * KEY_FRAME_STEP * MAX_KEY_FRAMES
    assert needs_similarities(count, ordered=True)
    pairs = select_pairs(count, ordered=True, similarity=on_circle(count))
    assert len(pairs) < count * (NUM_NEIGHBORS + NUM_SIMILAR / KEY_FRAME_STEP + 1)
    assert (0, count - KEY_FRAME_STEP) in pairs  # Closes the loop.
    assert all(j - i <= NUM_NEIGHBORS or i % KEY_FRAME_STEP == j % KEY_FRAME_STEP == 0 for i, j in pairs)


def test_many_photos_are_matched_with_similar_ones_in_any_order():
    count = 100
    shuffled = np.random.default_rng(0).permutation(count)
    similarity = on_circle(count)[np.ix_(shuffled, shuffled)]
    np.fill_diagonal(similarity, -1)
    assert needs_similarities(count, ordered=False)
    pairs = select_pairs(count, ordered=False, similarity=similarity)
    assert len(pairs) == len(set(pairs)) <= count * (NUM_SIMILAR + 2)
    place = np.argsort(shuffled)
    for position in range(count):
        i, j = sorted((int(place[position]), int(place[(position + 1) % count])))
        assert (i, j) in pairs
    # The most promising come first, so that a time limit leaves a graph of all.
    steps = np.array([abs(int(shuffled[i]) - int(shuffled[j])) for i, j in pairs if j - i > 2])
    assert np.median(np.minimum(steps, count - steps)[:200]) < np.median(np.minimum(steps, count - steps)[-500:])


def test_photos_taken_nearby_are_matched_although_they_look_different():
    count = 80
    random = np.random.default_rng(1)
    similarity = random.random((count, count)).astype(np.float32)
    np.fill_diagonal(similarity, -1)
    locations = random.uniform(0, 100, (count, 3))
    locations[7] = np.nan
    pairs = select_pairs(count, ordered=False, similarity=similarity, locations=locations)
    distances = np.linalg.norm(locations[:, None] - locations, axis=2)
    np.fill_diagonal(distances, np.nan)
    for i in range(count):
        if i != 7:
            nearest = int(np.nanargmin(distances[i]))
            assert (min(i, nearest), max(i, nearest)) in pairs


def test_pictures_with_a_common_neighbour_are_matched_next():
    known = {(0, 1): matches(200), (1, 2): matches(200), (2, 3): matches(STRONG - 1), (0, 4): matches(60)}
    extended = extend_pairs(known, 5)
    assert extended[0] == (0, 2)  # By the strongest chain.
    assert set(extended) == {(0, 2), (1, 4)}


def test_guidance_is_for_the_pairs_of_pictures_that_lack_strong_ones():
    dense = {pair: matches(STRONG) for pair in combinations(range(6), 2)}
    assert weak_pairs(dense, 6) == []
    assert weak_pairs(dense, 6, left_out=[2]) == [pair for pair in combinations(range(6), 2) if 2 in pair]
    sparse = {(0, 1): matches(20), (0, 2): matches(0), (1, 2): matches(STRONG), (2, 3): matches(ENOUGH)}
    assert weak_pairs(sparse, 4) == [(0, 1), (1, 2)]


def test_pictures_left_out_are_matched_with_all_others():
    assert pairs_of_left_out([1], 4, {(0, 1)}) == [(1, 2), (1, 3)]
