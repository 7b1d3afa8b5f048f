import numpy as np
import pytest

from img2world.core.frames import Frames
from img2world.runs.stages import seen_fractions


def test_of_an_object_only_its_own_pixels_are_counted_by_origin():
    seen = np.zeros((2, 10, 10), np.uint8)
    seen[:, :5, :5], seen[:, :5, 5:] = 2, 1
    frames = Frames(rgb=np.zeros((2, 10, 10, 3), np.uint8), times=np.zeros(2), seen=seen)
    assert seen_fractions(frames) == pytest.approx({"invented": 0.5, "continued": 0.25, "seen": 0.25})
    alpha = np.zeros_like(seen)
    alpha[:, :6] = 255
    frames = Frames(rgb=frames.rgb, times=frames.times, seen=seen, alpha=alpha)
    fractions = seen_fractions(frames)
    assert fractions == pytest.approx({"invented": 1 / 6, "continued": 25 / 60, "seen": 25 / 60})
    assert seen_fractions(Frames(rgb=frames.rgb, times=frames.times)) == {}
