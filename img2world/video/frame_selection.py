"""How much new each frame of a video shows: what a choice of frames should be even in.

Frames even in time are many alike where the camera rests, and too far apart where it hurries.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, UInt8

LOOKED_AT = 600
"""At most so many frames are compared; the motion of those between is shared out evenly."""

LONG_SIDE = 320
"""Size in pixels at which frames are compared."""

PARALLAX_WEIGHT = 3.0
"""How much more motion counts that no turning of the camera explains: it is what shows depth."""

TIME_SHARE = 0.1
"""Share of the choice that stays even in time, for what moves too little or too much to be followed."""

USEFUL_STEP = 0.004
"""Frames closer than this, in diagonals of the picture, show the same."""

MIN_FRAMES = 12
"""At least so many are kept of a video that hardly moves."""

SAME_PLACE = 1.0
"""A corner that is followed there and back comes back to within so many pixels, or it was lost."""

MIN_TRACKS = 8
"""Fewer followed corners than this say nothing; a homography needs four."""


def news_curve(
    frames: Iterable[UInt8[np.ndarray, "h w"]], seconds: Float64[np.ndarray, "N"]
) -> Float64[np.ndarray, "N"]:
    """A rising number for each grey frame: the difference of two says how much the later shows beyond the earlier.

    `seconds` are when the frames are shown. The unit is the diagonal of the picture.
    """
    found, before = [], None
    for frame in frames:
        if before is not None:
            found.append(step_between(before, frame))
        before = frame
    steps = np.array(found)
    known = np.isfinite(steps)
    # A blurred frame or a cut hides how far the camera went; it is taken to have gone on as usual.
    steps[~known] = np.median(steps[known]) if known.any() else 0.0
    # One frame that is blurred or flickers seems to jump there and back: two steps, which a median of five drops.
    around = np.lib.stride_tricks.sliding_window_view(np.pad(steps, 2, mode="edge"), 5)
    moved = np.concatenate([[0.0], np.cumsum(np.median(around, axis=1))])
    span = max(float(seconds[-1] - seconds[0]), 1e-9)
    total = max(float(moved[-1]), USEFUL_STEP)
    return (1 - TIME_SHARE) * moved + TIME_SHARE * total * (seconds - seconds[0]) / span


def useful_count(curve: Float64[np.ndarray, "N"], wanted: int) -> int:
    """How many frames are worth taking of those wanted."""
    return min(wanted, max(MIN_FRAMES, int((curve[-1] - curve[0]) / USEFUL_STEP)))


def step_between(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> float:
    """How far corners have moved, in diagonals; what a turn of the camera does not explain counts more.

    NaN where nothing can be followed. Corners are followed by Lucas and Kanade's method (1981), there and back.
    A camera that turns in place, or looks at a flat thing, moves them by a homography; the rest is parallax, or
    something that moves by itself.
    """
    import cv2

    diagonal = float(np.hypot(*before.shape))
    if not cv2.absdiff(before, after).any():
        return 0.0
    corners = cv2.goodFeaturesToTrack(before, 200, 0.01, 6)
    if corners is None or len(corners) < MIN_TRACKS:
        return 0.0
    there, _, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners))
    back, _, _ = cv2.calcOpticalFlowPyrLK(after, before, there, np.empty_like(corners))
    followed = np.linalg.norm(back - corners, axis=-1)[:, 0] < SAME_PLACE
    start, end = corners[followed, 0], there[followed, 0]
    if len(start) < max(MIN_TRACKS, 0.3 * len(corners)):
        return float("nan")
    moved = float(np.median(np.linalg.norm(end - start, axis=1)))
    cv2.setRNGSeed(0)
    turn, _ = cv2.findHomography(start, end, cv2.LMEDS)
    if turn is None:
        return moved / diagonal
    expected = cv2.perspectiveTransform(start[:, None], turn)[:, 0]
    parallax = float(np.mean(np.linalg.norm(end - expected, axis=1).clip(0, moved)))
    return (moved + PARALLAX_WEIGHT * parallax) / diagonal
