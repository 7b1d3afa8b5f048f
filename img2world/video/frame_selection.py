"""Measure the camera's motion in a video, so that frames can be selected at equal steps of it.

Frames at equal steps of time show nearly the same where the camera rests, and too little in common where it hurries.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, UInt8

MAX_COMPARED = 600
"""Number of frames that are compared; the motion between them is interpolated."""

COMPARED_SIDE = 320
"""Longest side in pixels at which frames are compared."""

PARALLAX_WEIGHT = 3.0
"""Weight of motion that no rotation of the camera explains: it is what shows depth."""

TIME_FRACTION = 0.1
"""Fraction of the curve that rises evenly in time, for what moves too little or too much to be followed."""

USEFUL_STEP, NEEDED_STEP = 0.004, 0.1
"""Distance in diagonals of the frame below which frames show the same, and that selected ones shall not exceed."""

MIN_FRAMES, PLENTY = 12, 48
"""Number of frames that are selected from a video that hardly moves, and up to which frames need only differ."""

MAX_SHIFT = 0.35
"""Distance from its even position at which a sharper frame may be selected, in steps between selected frames."""

MAX_GAP = 0.3
"""Motion in diagonals between two frames that show enough in common, if those between them are left out."""

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


def useful_count(curve: Float64[np.ndarray, "N"], maximum: int) -> int:
    """Return how many frames the motion needs: those that differ, up to PLENTY, and more only if it goes far."""
    motion = float(curve[-1] - curve[0])
    differ = max(MIN_FRAMES, int(motion / USEFUL_STEP))
    return min(maximum, max(min(differ, PLENTY), int(motion / NEEDED_STEP)))


def assign_slots(curve: Float[np.ndarray, "N"], count: int) -> Int[np.ndarray, "N"]:
    """Return the slot, 0 to count - 1, for which each frame is a candidate, or -1.

    Slots lie in even steps on the rising `curve` of times or motion. The first frame alone is a candidate for the first
    slot, because it often is the photo that the video was made from.
    """
    if len(curve) <= count:
        return np.arange(len(curve))
    positions = (curve - curve[0]) / (curve[-1] - curve[0]) * (count - 1)
    nearest = np.round(positions).astype(np.int64)
    slots = np.where(np.abs(positions - nearest) <= MAX_SHIFT, nearest, -1)
    slots[1:][slots[1:] == 0] = -1
    for empty in sorted(set(range(count)) - set(slots.tolist())):
        # Where frames are rare, the nearest frame, unless it has a slot already.
        frame = int(np.argmin(np.abs(positions - empty)))
        if slots[frame] < 0:
            slots[frame] = empty
    return slots


def runs_of(flags: Bool[np.ndarray, "N"]) -> list[tuple[int, int]]:
    """Return start and end of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


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
