"""Features of photos whose true places are known."""

import numpy as np
import pytest
import skimage

from img2world.tracking.features import common_points, feature_tracks, video_pairs


@pytest.fixture(scope="module")
def shots() -> tuple[np.ndarray, np.ndarray]:
    """Four cut-outs of a photo, each moved on by 10 pixels, and by how much they are moved."""
    photo = skimage.data.astronaut()
    moves = np.array([[10 * i, 4 * i] for i in range(4)])
    return np.stack([photo[60 + y : 260 + y, 100 + x : 340 + x] for x, y in moves]), moves


@pytest.mark.parametrize("kind", ["blobs", "corners"])
def test_points_are_where_they_belong(shots, kind):
    rgb, moves = shots
    tracks = feature_tracks(rgb, None, [(0, 1), (1, 2), (2, 3), (0, 3)], kind=kind)
    assert len(tracks) > 50
    in_photo = tracks.place + moves[tracks.frame]
    mean = np.add.reduceat(in_photo, tracks.starts) / tracks.lengths[:, None]
    error = np.linalg.norm(in_photo - mean[tracks.owner], axis=1)
    # Blobs are found to a fraction of a pixel, corners to about one of the enlarged pixels.
    assert np.median(error) < 0.3
    assert (error < 2).mean() > 0.95
    for start, length in zip(tracks.starts, tracks.lengths, strict=True):
        assert (np.diff(tracks.frame[start : start + length]) > 0).all()


def test_masks_keep_points_out(shots):
    rgb, _ = shots
    masks = np.zeros(rgb.shape[:3], bool)
    masks[:, :, :120] = True
    tracks = feature_tracks(rgb, masks, [(0, 1), (1, 2), (0, 2)])
    assert len(tracks) > 10
    assert tracks.place[:, 0].max() < 122


def test_another_picture_has_nothing_in_common(shots):
    rgb, _ = shots
    assert common_points(rgb[0], rgb[3]) > 50
    assert common_points(rgb[0], skimage.data.coffee()[:200, :240]) == 0
    assert common_points(rgb[0], np.full((200, 240, 3), 90, np.uint8)) == 0


def test_pairs_of_a_video():
    pairs = video_pairs(13)
    assert {(0, 4), (0, 12), (6, 12)} <= set(pairs)
    assert (0, 1) not in pairs
    assert all(i < j < 13 for i, j in pairs)
