"""Frames that were blurred are told, and no others."""

import numpy as np
import pytest

from img2world.doctor.blur import _blurred, find_blur


def blurred(rgb: np.ndarray, which: list[int], length: int = 7) -> np.ndarray:
    """The frames, of which some are blurred by a motion along rows or columns."""
    import cv2

    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    frames = rgb.copy()
    for i in which:
        frames[i] = cv2.filter2D(rgb[i], -1, kernel if i % 2 else kernel.T)
    return frames


@pytest.mark.parametrize("which", [[5], [2, 3, 7, 8, 11, 14, 15]])
def test_blurred_frames_are_found(room, frames_of, which):
    (finding,) = find_blur(frames_of(blurred(room.rgb, which)))
    assert finding.frames == tuple(which)
    assert finding.severity == ("warning" if len(which) > 1 else "note")
    assert f"{len(which)} of {len(room)} frames" in finding.found


def test_objects_on_a_plain_background_too(thing, frames_of):
    (finding,) = find_blur(frames_of(blurred(thing.rgb, [4, 9])))
    assert {4, 9} <= set(finding.frames)


def test_sharp_frames_are_not(room, thing):
    assert not list(find_blur(room))
    assert not list(find_blur(thing))


def test_a_smooth_side_comes_gradually_and_blur_at_once():
    """Changes of fine detail, as logarithms: an object turns a smooth side to the camera, or two frames are blurred."""
    turning = np.concatenate([np.zeros(8), np.full(6, -0.8), np.zeros(4), np.full(6, 0.8), np.zeros(8)])
    assert not _blurred(turning).any()
    assert np.flatnonzero(_blurred(np.array([0.0] * 8 + [-3.0, 0.1, 2.9] + [0.0] * 8))).tolist() == [9, 10]
