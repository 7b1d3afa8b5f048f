"""Feature tracks in cut-outs of a photo, whose true positions are known."""

from itertools import combinations

import numpy as np
import pytest
import skimage

from img2world.tracking.features import count_matches, select_video_pairs, track_by_features
from img2world.tracking.tracks import Tracks


@pytest.fixture(scope="module")
def shots() -> tuple[np.ndarray, np.ndarray]:
    """Three cut-outs of a photo, each moved by 10 pixels, and their positions in the photo."""
    photo = skimage.data.astronaut()
    corners = np.array([[100 + 10 * i, 60 + 4 * i] for i in range(3)])
    return np.stack([photo[y : y + 160, x : x + 200] for x, y in corners]), corners


@pytest.mark.parametrize("kind", ["blobs", "corners"])
def test_tracks_are_where_they_belong(shots, kind):
    rgb, corners = shots
    tracks = track_by_features(rgb, None, [(0, 1), (1, 2), (0, 2)], kind=kind, max_features=600)
    assert len(tracks) > 50
    in_photo = tracks.xy + corners[tracks.frame_ids]
    mean = np.add.reduceat(in_photo, tracks.starts) / tracks.lengths[:, None]
    error = np.linalg.norm(in_photo - mean[tracks.track_ids], axis=1)
    # Blobs are found to a fraction of a pixel, corners to about one of the enlarged pixels.
    assert np.median(error) < 0.3
    assert (error < 2).mean() > 0.95
    for start, length in zip(tracks.starts, tracks.lengths, strict=True):
        assert (np.diff(tracks.frame_ids[start : start + length]) > 0).all()


def test_masks_keep_features_out(shots):
    rgb, _ = shots
    masks = np.zeros(rgb.shape[:3], bool)
    masks[:, :, :110] = True
    tracks = track_by_features(rgb, masks, [(0, 1), (1, 2), (0, 2)], max_features=1000)
    assert len(tracks) > 10
    assert tracks.xy[:, 0].max() < 112


def test_frames_that_are_not_matched_share_no_tracks(shots):
    rgb, _ = shots
    assert len(track_by_features(rgb[:2], None, [(0, 1)], max_features=300)) == 0  # Two observations are too few.
    assert isinstance(track_by_features(rgb[:2], None, [], max_features=300), Tracks)


def test_only_pictures_of_one_scene_have_matches(shots):
    rgb, _ = shots
    assert count_matches(rgb[0], rgb[2]) > 50
    assert count_matches(rgb[0], skimage.data.coffee()[:160, :200]) == 0
    assert count_matches(rgb[0], np.full((160, 200, 3), 90, np.uint8)) == 0


def test_pairs_of_a_video():
    expected = {(i, j) for i, j in combinations(range(13), 2) if j - i in (4, 8)} | {(0, 6), (0, 12), (6, 12)}
    pairs = select_video_pairs(13)
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected
