"""The table of tracks against lists of lists."""

import numpy as np
import pytest

from img2world.tracking.tracks import Tracks, concatenate_tracks, tracks_from_observations


def as_lists(tracks: Tracks) -> list[list[tuple[int, float, float]]]:
    """Frame and position of the observations of each track."""
    rows = np.column_stack([tracks.frame_ids, tracks.xy]).tolist()
    return [[tuple(row) for row in rows[a : a + n]] for a, n in zip(tracks.starts, tracks.lengths, strict=True)]


@pytest.fixture
def lists() -> list[list[tuple[int, float, float]]]:
    random = np.random.default_rng(3)
    return [[(int(i), *random.random(2)) for i in range(a, a + n)] for a, n in [(0, 3), (2, 5), (1, 2), (4, 4)]]


@pytest.fixture
def tracks(lists) -> Tracks:
    """The lists as observations in the order of the frames; the list of two observations is too short."""
    loose = sorted((row[0], track, row[1:]) for track, rows in enumerate(lists) for row in rows)
    frame_ids, track_ids, xy = zip(*loose, strict=True)
    return tracks_from_observations(np.array(track_ids), np.array(frame_ids), np.array(xy))


def test_observations_become_tracks(tracks, lists):
    assert as_lists(tracks) == [rows for rows in lists if len(rows) > 2]
    assert len(tracks) == 3
    assert tracks.track_ids.tolist() == [0] * 3 + [1] * 5 + [2] * 4
    assert tracks.count_per_frame(9).tolist() == [1, 1, 2, 1, 2, 2, 2, 1, 0]


def test_parts_and_whole(tracks):
    chosen = tracks.select(np.array([True, False, True]))
    assert as_lists(chosen) == [as_lists(tracks)[0], as_lists(tracks)[2]]
    assert as_lists(concatenate_tracks([chosen, tracks])) == as_lists(chosen) + as_lists(tracks)
    one, two = tracks.split(0.5, np.random.default_rng(1))
    assert sorted(as_lists(one) + as_lists(two)) == sorted(as_lists(tracks))


def test_a_split_has_about_the_asked_fraction(tracks):
    many = concatenate_tracks([tracks] * 200)
    rest, part = many.split(0.25, np.random.default_rng(0))
    assert len(rest) + len(part) == 600
    assert len(part) == pytest.approx(150, abs=30)


def test_observations_in_some_frames_are_renumbered(tracks):
    chosen = np.array([0, 2, 4, 5, 6])
    expected = [
        [(chosen.tolist().index(frame), *xy) for frame, *xy in rows if frame in chosen] for rows in as_lists(tracks)
    ]
    # The first track is left with two observations.
    assert as_lists(tracks.in_frames(chosen, 9)) == [rows for rows in expected if len(rows) > 2]
    assert len(expected[0]) == 2
    assert len(tracks.in_frames(np.array([8]), 9)) == 0


def test_an_empty_table():
    empty = Tracks.empty()
    assert len(empty) == len(empty.track_ids) == len(empty.lengths) == 0
    assert len(empty.select(np.zeros(0, bool))) == len(empty.in_frames(np.arange(2), 3)) == 0
    assert empty.count_per_frame(2).tolist() == [0, 0]
