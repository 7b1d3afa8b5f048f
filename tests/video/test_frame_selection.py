import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from skimage import data

from img2world.tracking.sharpness import detail_map, sharpness_step
from img2world.video.decode import Survey, select, selection_text
from img2world.video.frame_selection import (
    MIN_FRAMES,
    PLENTY,
    assign_slots,
    motion_between,
    motion_curve,
    runs_of,
    useful_count,
)

ROOM = data.coffee().mean(-1).astype(np.uint8)


def view(x, y=0, shift=0):
    """Return a part of a photo; a disc in front of it moves by `shift` more than the rest."""
    part = ROOM[100 + y : 260 + y, 100 + x : 340 + x].copy()
    rows, columns = np.mgrid[:160, :240]
    disc = (columns - 120 + x + shift) ** 2 + (rows - 80) ** 2 < 45**2
    part[disc] = ROOM[rows[disc] + 200, (columns[disc] + x + shift) % 200]
    return part


def test_motion_is_measured_in_diagonals():
    diagonal = np.hypot(160, 240)
    assert motion_between(view(0), view(0)) == 0
    flat = [ROOM[100:260, 100 + x : 340 + x].copy() for x in (0, 6)]
    assert motion_between(*flat) == pytest.approx(6 / diagonal, rel=0.1)
    assert motion_between(np.zeros((160, 240), np.uint8), np.full((160, 240), 9, np.uint8)) == 0


def test_parallax_counts_more_than_rotation():
    rotation = motion_between(view(0), view(4))
    parallax = motion_between(view(0), view(4, shift=6))
    assert parallax > 1.3 * rotation


def test_what_cannot_be_followed_is_not_a_number():
    noise = np.random.default_rng(0).integers(0, 256, (160, 240), dtype=np.uint8)
    assert np.isnan(motion_between(view(0), noise))


def test_slots_are_even_in_motion():
    # The camera moves, rests for half of the time, and hurries.
    at = np.concatenate([np.linspace(0, 20, 40), np.full(80, 20), np.linspace(20, 60, 40)]).round().astype(int)
    seconds = np.arange(len(at)) / 25
    curve = motion_curve([view(x) for x in at], seconds)
    assert (np.diff(curve) > 0).all()
    slots = assign_slots(curve, 13)
    selected = np.array([at[np.flatnonzero(slots == slot)].mean() for slot in sorted(set(slots.tolist()) - {-1})])
    by_time = at[np.linspace(0, len(at) - 1, 13).round().astype(int)]
    assert np.diff(selected).max() < 0.7 * np.diff(by_time).max()
    assert (np.diff(by_time) == 0).sum() >= 5
    assert (np.abs(selected - 20) < 0.5).sum() <= 3


def test_one_blurred_frame_does_not_count_as_motion():
    frames = [view(x) for x in range(0, 20, 2)]
    seconds = np.arange(10) / 10
    sharp = motion_curve(frames, seconds)
    frames[5] = np.full_like(frames[5], 128)
    blurred = motion_curve(frames, seconds)
    assert blurred[-1] == pytest.approx(sharp[-1], rel=0.25)


def test_a_video_that_hardly_moves_needs_few_frames():
    seconds = np.arange(100) / 25
    still = motion_curve([view(0)] * 100, seconds)
    assert useful_count(still, 48) == MIN_FRAMES
    moving = motion_curve([view(x) for x in range(100)], seconds)
    assert useful_count(moving, 48) == 48


def test_a_long_way_needs_more_frames_than_a_short_one():
    seconds = np.linspace(0, 10, 500)
    assert useful_count(0.1 * seconds, 300) == PLENTY
    assert 90 < useful_count(seconds, 300) < 200
    assert useful_count(seconds, 60) == 60
    assert useful_count(100 * seconds, 300) == 300


def shaken(x, length):
    """Return the photo from column `x`, blurred along rows by a motion of so many pixels."""
    return np.mean([ROOM[40:360, x + i : x + i + 400].astype(float) for i in range(length)], 0).astype(np.uint8)


def sharpness_of(frames):
    maps = [detail_map(frame) for frame in frames]
    return np.cumsum([0.0, *(sharpness_step(a, b) for a, b in pairwise(maps))])


def test_a_jerk_there_and_back_is_left_out():
    at = np.concatenate([np.arange(0, 60), 60 + np.array([8, 24, 40, 40, 24, 8]), np.arange(60, 120)])
    length = np.concatenate([np.ones(60), [9, 16, 9, 9, 16, 9], np.ones(60)]).astype(int)
    frames = [shaken(x, n) for x, n in zip(at, length, strict=True)]
    seconds = np.arange(len(frames)) / 25
    survey = Survey(
        stamps=np.arange(len(frames)),
        shapes=np.ones(len(frames)),
        sharpness=sharpness_of(frames),
        curve=motion_curve(frames, seconds),
        greys=frames,
        stride=1,
    )
    selected = select(survey, 40)
    assert len(selected) >= 25
    assert not set(selected) & set(range(60, 66))
    said = selection_text(survey, selected, 40, len(frames) + 2, 120)
    numbers = [int(number) for number in re.findall(r"\d+", said)]
    # Taken, of all, then of another shape, blurred, and close to others.
    assert numbers[:3] == [len(selected), len(frames) + 2, 2]
    assert numbers[0] + sum(numbers[2:]) == numbers[1]
    assert "2 of another shape" in said
    assert "blurred" in said
    assert said.endswith("close to frames that show nearly the same or are sharper")
    assert selection_text(survey, list(range(len(frames))), 120, len(frames), 120) == ""
    # A jerk to another place is kept, or the chain of frames would break.
    survey = replace(survey, greys=[*frames[:66], *(np.rot90(frame, 2).copy() for frame in frames[66:])])
    assert set(select(survey, 40)) & set(range(60, 66))


def test_runs():
    assert runs_of(np.array([True, False, True, True, False, False, True])) == [(0, 1), (2, 4), (6, 7)]
    assert runs_of(np.zeros(3, bool)) == []
