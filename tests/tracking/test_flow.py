"""Optical flow and its tracks against known motion."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from img2world.tracking.flow import (
    TRACK_LENGTH_RANGE,
    compute_flow,
    prepare_gray_frames,
    sample_bilinear,
    single_threaded,
    track_by_flow,
)
from img2world.tracking.tracks import Tracks


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """A smooth random texture, [96, 200, 3]."""
    blurred = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (96, 200, 3), np.uint8), (0, 0), 2.0)
    return np.clip((blurred.astype(float) - 128) * 4 + 128, 0, 255).astype(np.uint8)


def slide(texture: np.ndarray, count: int = 6, step: int = 3) -> np.ndarray:
    """Frames 128 pixels wide of a texture that moves to the left."""
    return np.stack([texture[:, step * i : step * i + 128] for i in range(count)])


def steps_of(tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """Difference of frame [S] and position [S, 2] between consecutive observations of a track."""
    inner = np.diff(tracks.track_ids) == 0
    return np.diff(tracks.frame_ids)[inner], np.diff(tracks.xy, axis=0)[inner]


def test_interpolation_is_that_of_scipy():
    random = np.random.default_rng(0)
    field = random.random((5, 7, 2)).astype(np.float32)
    xy = random.random((40, 2)) * [6, 4]
    expected = [map_coordinates(field[..., i], xy[:, ::-1].T, order=1) for i in range(2)]
    assert np.allclose(sample_bilinear(field, xy), np.stack(expected, -1), atol=1e-6)
    assert np.allclose(sample_bilinear(field, np.array([[-3.0, -3.0]])), field[0, 0], atol=1e-6)


@pytest.mark.parametrize("closed", [False, True])
def test_a_sliding_picture_is_followed_through_flicker(texture, closed):
    brightness = 0.85 + 0.05 * (np.arange(6) % 3)
    rgb = (slide(texture) * brightness[:, None, None, None]).astype(np.uint8)
    tracks = track_by_flow(prepare_gray_frames(rgb, None), closed=closed)
    assert len(tracks) > 50
    frame_steps, motion = steps_of(tracks)
    forward = frame_steps == 1
    assert np.median(np.abs(motion[forward] - [-3.0, 0.0])) < 0.1
    assert forward.all() or closed


def test_tracks_of_a_closed_path_cross_the_seam(texture):
    """Frames that move to and fro end where they began."""
    shifts = [0, 3, 6, 9, 6, 3]
    rgb = np.stack([texture[:, shift : shift + 128] for shift in shifts])
    frame_steps, motion = steps_of(track_by_flow(prepare_gray_frames(rgb, None), closed=True))
    seam = frame_steps == -5
    assert seam.sum() > 50
    assert np.median(np.abs(motion[seam] - [3.0, 0.0])) < 0.1


def test_positions_are_those_of_the_original_frames(texture):
    large = np.stack([cv2.resize(picture, (1024, 768)) for picture in slide(texture, 4, 2)])
    gray_frames = prepare_gray_frames(large, None)
    assert gray_frames.scale == 400 / 1024
    _, motion = steps_of(track_by_flow(gray_frames, closed=False))
    assert np.median(np.abs(motion - [-16.0, 0.0])) < 1


def test_tracks_end_before_their_drift_adds_up(texture):
    still = np.repeat(texture[None, :64, :96], 20, 0)
    tracks = track_by_flow(prepare_gray_frames(still, None), closed=False)
    assert tracks.lengths.max() == TRACK_LENGTH_RANGE[0]
    assert tracks.count_per_frame(20).min() > 20


def test_frames_get_equal_brightness_and_contrast_on_the_object():
    random = np.random.default_rng(0)
    object_texture = random.integers(60, 160, (40, 60, 1))
    masks = np.zeros((2, 40, 60), bool)
    masks[:, 5:30, 10:50] = True
    rgb = np.full((2, 40, 60, 3), 250, np.uint8)
    for i, gain in enumerate((1.0, 0.6)):
        rgb[i] = np.where(masks[i][..., None], gain * object_texture, rgb[i])
    gray_frames = prepare_gray_frames(rgb, masks)
    first, second = gray_frames.images
    assert np.abs(first[masks[0]].astype(int) - second[masks[0]]).max() <= 3
    assert first[masks[0]].mean() == pytest.approx(110, abs=1)
    assert first[masks[0]].std() == pytest.approx(45, abs=2)
    assert len(np.unique(first[~masks[0]])) == 1  # The background is flat.


def test_an_initial_flow_finds_motion_that_is_too_large(texture):
    before, after = (
        cv2.cvtColor(np.ascontiguousarray(texture[:, at : at + 120]), cv2.COLOR_RGB2GRAY) for at in (0, 45)
    )
    inner = np.s_[20:-20, 60:-20]
    alone = compute_flow(before, after)[inner]
    helped = compute_flow(before, after, np.full((96, 120, 2), [-44.0, 0.5], np.float32))[inner]
    assert np.median(np.abs(helped - [-45, 0])) < 0.1
    assert np.median(np.abs(alone[..., 0] + 45)) > 5


def test_threads_are_given_back():
    before = cv2.getNumThreads()
    with single_threaded():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


def test_nothing_is_followed_in_ignored_pixels(texture):
    rgb = slide(texture)
    rgb[:, 30:70, 40:90] = texture[30:70, 100:150]  # Somebody who walks along with the camera.
    mask = np.full(rgb.shape[:3], 255, np.uint8)
    mask[:, 30:70, 40:90] = 0

    def count_standing(tracks: Tracks) -> int:
        return int((np.abs(steps_of(tracks)[1][:, 0]) < 0.5).sum())

    assert count_standing(track_by_flow(prepare_gray_frames(rgb, None), closed=False)) > 20
    tracks = track_by_flow(prepare_gray_frames(rgb, None, mask), closed=False)
    assert count_standing(tracks) == 0
    column, row = tracks.xy.astype(int).T
    assert mask[tracks.frame_ids, row, column].all()
