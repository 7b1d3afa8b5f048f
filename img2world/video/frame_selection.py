"""Measure the camera's motion in a video, so that frames can be selected at equal steps of it.

Frames at equal steps of time show nearly the same where the camera rests, and too little in common where it hurries.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, UInt8

MAX_COMPARED = 600
"""Number of frames that are compared; the motion between them is interpolated."""

COMPARED_SIDE = 320
"""Longest side in pixels at which frames are compared."""

PARALLAX_WEIGHT = 3.0
"""Weight of motion that no rotation of the camera explains: it is what shows depth."""

TIME_FRACTION = 0.1
"""Fraction of the curve that rises evenly in time, for what moves too little or too much to be followed."""

USEFUL_STEP = 0.004
"""Frames closer than this, in diagonals of the frame, show the same."""

MIN_FRAMES = 12
"""Number of frames that are selected from a video that hardly moves."""

MAX_RETURN_ERROR = 1.0
"""Distance in pixels within which a corner returns to its start when it is followed forward and back."""

MIN_TRACKS = 8
"""Number of corners without which motion is not measured; a homography needs four."""


def motion_curve(
    frames: Iterable[UInt8[np.ndarray, "h w"]], seconds: Float64[np.ndarray, "N"]
) -> Float64[np.ndarray, "N"]:
    """Return a rising number for each grey frame; the difference of two is the motion between them.

    `seconds` are the times of the frames. The unit is the diagonal of the frame.
    """
    measured, before = [], None
    for frame in frames:
        if before is not None:
            measured.append(motion_between(before, frame))
        before = frame
    steps = np.array(measured)
    known = np.isfinite(steps)
    # A blurred frame or a cut hides the camera's motion, which is assumed to continue at its median.
    steps[~known] = np.median(steps[known]) if known.any() else 0.0
    # One frame that is blurred or flickers seems to jump there and back: two steps, which a median of five drops.
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(steps, 2, mode="edge"), 5)
    moved = np.concatenate([[0.0], np.cumsum(np.median(windows, axis=1))])
    duration = max(float(seconds[-1] - seconds[0]), 1e-9)
    total = max(float(moved[-1]), USEFUL_STEP)
    return (1 - TIME_FRACTION) * moved + TIME_FRACTION * total * (seconds - seconds[0]) / duration


def useful_count(curve: Float64[np.ndarray, "N"], wanted: int) -> int:
    """Return how many of the wanted frames are far enough apart to be useful."""
    return min(wanted, max(MIN_FRAMES, int((curve[-1] - curve[0]) / USEFUL_STEP)))


def motion_between(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> float:
    """Return the motion of corners between two frames in diagonals, with parallax weighted by PARALLAX_WEIGHT.

    NaN where nothing can be followed. Corners are followed forward and back by the method of Lucas and Kanade (1981).
    A camera that rotates in place, or looks at a plane, moves them by a homography; the rest is parallax, or something
    that moves by itself.
    """
    import cv2

    diagonal = float(np.hypot(*before.shape))
    if not cv2.absdiff(before, after).any():
        return 0.0
    corners = cv2.goodFeaturesToTrack(before, 200, 0.01, 6)
    if corners is None or len(corners) < MIN_TRACKS:
        return 0.0
    forward, _, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners))
    back, _, _ = cv2.calcOpticalFlowPyrLK(after, before, forward, np.empty_like(corners))
    followed = np.linalg.norm(back - corners, axis=-1)[:, 0] < MAX_RETURN_ERROR
    start, end = corners[followed, 0], forward[followed, 0]
    if len(start) < max(MIN_TRACKS, 0.3 * len(corners)):
        return float("nan")
    moved = float(np.median(np.linalg.norm(end - start, axis=1)))
    cv2.setRNGSeed(0)
    homography, _ = cv2.findHomography(start, end, cv2.LMEDS)
    if homography is None:
        return moved / diagonal
    predicted = cv2.perspectiveTransform(start[:, None], homography)[:, 0]
    parallax = float(np.mean(np.linalg.norm(end - predicted, axis=1).clip(0, moved)))
    return (moved + PARALLAX_WEIGHT * parallax) / diagonal
