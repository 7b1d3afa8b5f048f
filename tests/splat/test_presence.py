"""Spans of times become windows of a motion, and what is gone is told from what is only somewhere else."""

import numpy as np
import pytest

from img2world.core.motion import Motion
from img2world.splat.presence import Observation, are_gone, suspects, windows_of_spans


@pytest.mark.parametrize("times", [np.linspace(0, 1, 5), np.array([2.0, 3.0, 4.0])])
def test_windows_are_open_at_the_times_of_their_span_and_closed_at_others(times):
    last = len(times) - 1
    spans = np.array([[0, last], [1, last], [0, last - 1], [1, 1]], np.int32)
    windows = windows_of_spans(spans, times)
    count = len(times)
    motion = Motion(
        key_times=times,
        bone_pivots=np.zeros((1, 3), np.float32),
        bone_quats=np.tile(np.float32([1, 0, 0, 0]), (1, count, 1)),
        bone_translations=np.zeros((1, count, 3), np.float32),
        bone_indices=np.zeros((len(spans), 4), np.int32),
        bone_weights=np.full((len(spans), 4), 0.25, np.float32),
        windows=windows,
    )
    for index, time in enumerate(times):
        there = (spans[:, 0] <= index) & (index <= spans[:, 1])
        np.testing.assert_allclose(motion.presence(float(time)), there, atol=1e-5)
    assert windows_of_spans(spans[:1], times) is None


def observed(wrong: list[float], num_wrong: float) -> Observation:
    return Observation(seen=np.full(4, 50.0), wrong=np.array(wrong, float), num_wrong=num_wrong, uncovered=None)


def test_bones_whose_pixels_are_wrong_are_gone_unless_a_hole_remains():
    # Two bones with two Gaussians each, of which those of the second are seen where there is something else.
    before, present = observed([2, 2, 2, 2], 10.0), observed([2, 2, 45, 45], 100.0)
    chosen, area = suspects(present, np.full(2, 100.0), np.array([0, 0, 1, 1]))
    assert chosen.tolist() == [1]
    assert area == 90
    assert are_gone(before, present, observed([2, 2, 0, 0], 12.0), area)
    # It has moved: where it is now, nothing is.
    moved = observed([2, 2, 45, 45], 190.0)
    assert not are_gone(before, moved, observed([2, 2, 0, 0], 100.0), area)
    # Of what was hidden nothing can be told.
    assert len(suspects(present, np.array([100.0, 5000.0]), np.array([0, 0, 1, 1]))[0]) == 0
