"""The table of tracks against lists of lists, and flow tracks against known motion."""

import numpy as np
import pytest

from img2world.tracking.features import feature_tracks
from img2world.tracking.flow import flow_tracks, prepare, sample
from img2world.tracking.object_masks import to_look_at
from img2world.tracking.tracks import Tracks, join, tracks_from_steps


def as_lists(tracks: Tracks) -> list[list[tuple[int, float, float]]]:
    """Frame and place of the observations of each track."""
    rows = np.column_stack([tracks.frame, tracks.place]).tolist()
    return [[tuple(row) for row in rows[a : a + n]] for a, n in zip(tracks.starts, tracks.lengths, strict=True)]


@pytest.fixture
def lists() -> list[list[tuple[int, float, float]]]:
    random = np.random.default_rng(3)
    return [[(int(i), *random.random(2)) for i in range(a, a + n)] for a, n in [(0, 3), (2, 5), (1, 2), (4, 4)]]


@pytest.fixture
def tracks(lists) -> Tracks:
    """Of the lists, as observations that came frame by frame; the one of two frames is too short."""
    loose = sorted((row[0], owner, row[1:]) for owner, rows in enumerate(lists) for row in rows)
    frame, owner, place = zip(*loose, strict=True)
    return tracks_from_steps(np.array(owner), np.array(frame), np.array(place))


def test_loose_observations_become_tracks(tracks, lists):
    assert as_lists(tracks) == [rows for rows in lists if len(rows) > 2]
    assert tracks.owner.tolist() == [0] * 3 + [1] * 5 + [2] * 4
    assert tracks.seen_in(8).sum() == 12


def test_parts_and_whole(tracks):
    chosen = tracks.select(np.array([True, False, True]))
    assert as_lists(chosen) == [as_lists(tracks)[0], as_lists(tracks)[2]]
    assert as_lists(join([chosen, tracks])) == as_lists(chosen) + as_lists(tracks)
    one, two = tracks.split(0.5, np.random.default_rng(1))
    assert sorted(as_lists(one) + as_lists(two)) == sorted(as_lists(tracks))
    assert np.allclose(tracks.scaled(2.0).place, 2 * tracks.place)


def test_values_between_pixels():
    field = np.stack(np.meshgrid(np.arange(6.0), np.arange(4.0)), -1).astype(np.float32)
    places = np.array([[0.0, 0.0], [2.5, 1.25], [4.9, 2.9]])
    assert np.allclose(sample(field, places), places, atol=1e-6)


@pytest.mark.parametrize("closed", [False, True])
def test_flow_follows_a_picture_that_slides(closed):
    random = np.random.default_rng(0)
    import cv2

    wide = cv2.GaussianBlur(random.integers(0, 255, (96, 200, 3), np.uint8), (0, 0), 2.0)
    wide = np.clip((wide.astype(float) - 128) * 4 + 128, 0, 255).astype(np.uint8)
    # Brighter and darker from frame to frame, as flicker is.
    rgb = np.stack([np.clip(wide[:, 3 * i : 3 * i + 128] * (0.85 + 0.05 * (i % 3)), 0, 255) for i in range(6)])
    tracks = flow_tracks(prepare(rgb.astype(np.uint8), None), closed=closed)
    assert len(tracks) > 50
    inner = np.diff(tracks.owner) == 0
    steps = np.diff(tracks.frame)[inner]
    ways = np.diff(tracks.place, axis=0)[inner]
    forward = steps == 1
    assert np.median(np.abs(ways[forward] - [-3.0, 0.0])) < 0.1
    assert forward.all() or closed


def test_nothing_is_followed_in_what_is_to_be_ignored():
    import cv2

    random = np.random.default_rng(0)
    wide = cv2.GaussianBlur(random.integers(0, 255, (96, 200, 3), np.uint8), (0, 0), 2.0)
    wide = np.clip((wide.astype(float) - 128) * 4 + 128, 0, 255).astype(np.uint8)
    rgb = np.stack([wide[:, 3 * i : 3 * i + 128] for i in range(6)])
    rgb[:, 30:70, 40:90] = wide[30:70, 100:150]  # somebody who walks along with the camera
    mask = np.full(rgb.shape[:3], 255, np.uint8)
    mask[:, 30:70, 40:90] = 0

    def standing(tracks: Tracks) -> int:
        steps = np.diff(tracks.place, axis=0)[np.diff(tracks.owner) == 0]
        return int((np.abs(steps[:, 0]) < 0.5).sum())

    assert standing(flow_tracks(prepare(rgb, None), closed=False)) > 20
    masked = flow_tracks(prepare(rgb, None, mask), closed=False)
    assert standing(masked) == 0
    column, row = masked.place.astype(int).T
    assert mask[masked.frame, row, column].all()
    blobs = feature_tracks(rgb, to_look_at(None, mask), [(0, 4), (1, 5), (0, 5), (4, 5)])
    column, row = blobs.place.astype(int).T
    assert len(blobs)
    assert mask[blobs.frame, row, column].all()
    both = to_look_at(mask > 0, 255 - mask)
    assert both is not None
    assert not both.any()
