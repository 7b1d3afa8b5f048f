"""Frames that are far more blurred than most around them."""

from collections.abc import Collection, Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from img2world.core.frames import Frames
from img2world.doctor.findings import VideoFinding
from img2world.tracking.sharpness import AROUND, SHARPNESS_SIDE, detail_map, sharpness_step

SHARP_PERCENTILE = 75
"""Percentile of the sharpness of the frames around one that counts as sharp: up to three in four may be blurred."""

MAX_BLUR = 2.2
"""Logarithm of the contrast of fine detail by which a frame may be less sharp. Warps, noise and compression of
generated frames reach 2.0, and a blur of 9 of 256 pixels 2.5 and more."""

MIN_CHANGE = 1.1
"""Change of the same from one frame to the next with which blur begins or ends. What turns or passes by and shows a
smoother side changes by up to 1.0 a frame, and is sharp."""

MIN_LENGTH = 6
"""Frames of a part without a broken link in which blurred ones are told from sharp ones."""

MANY = 0.1
"""Fraction of blurred frames from which the result suffers."""


def find_blur(frames: Frames, broken: Collection[int] = ()) -> Iterator[VideoFinding]:
    """Yield a finding when frames are blurred and others are not.

    Across the `broken` links, named by their second frames, nothing tells which side is sharper.
    """
    steps = _sharpness_steps(frames)
    edges = [0, *sorted(broken), len(frames)]
    blurred = np.concatenate([_blurred(steps[start : end - 1]) for start, end in pairwise(edges)])
    if not blurred.any():
        return
    count = int(blurred.sum())
    yield VideoFinding(
        kind="blur",
        severity="warning" if blurred.mean() >= MANY else "note",
        frames=tuple(np.flatnonzero(blurred).tolist()),
        sure=0.85,
        found=f"{count} of {len(frames)} frames {'is' if count == 1 else 'are'} far more blurred than the others",
        advice="move the camera more slowly, in more light; with a generator, ask for less motion",
    )


def _blurred(steps: Float[np.ndarray, "S"]) -> Bool[np.ndarray, "N"]:
    """Tell which frames of a part are far less sharp than the sharp ones around them."""
    sharpness = np.concatenate([[0.0], np.cumsum(steps)])
    if len(sharpness) < MIN_LENGTH:
        return np.zeros(len(sharpness), bool)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(sharpness, AROUND, mode="reflect"), 2 * AROUND + 1)
    blurred = sharpness < np.percentile(around, SHARP_PERCENTILE, axis=1) - MAX_BLUR
    for first, last in _runs(blurred):
        change = max(-steps[first - 1] if first else 0.0, steps[last] if last < len(steps) else 0.0)
        if change < MIN_CHANGE:
            blurred[first : last + 1] = False
    return blurred


def _runs(flags: Bool[np.ndarray, "N"]) -> list[tuple[int, int]]:
    """Return the first and last index of each run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(start), int(end) - 1) for start, end in edges.reshape(-1, 2)]


def _sharpness_steps(frames: Frames) -> Float[np.ndarray, "S"]:
    """Return by how much each frame is sharper than the one before it, as a logarithm."""
    import cv2

    height, width = frames.rgb.shape[1:3]
    scale = min(1.0, SHARPNESS_SIDE / max(height, width))
    size = (round(width * scale), round(height * scale))
    details = (
        detail_map(cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA))
        for picture in frames.rgb
    )
    return np.array([sharpness_step(before, after) for before, after in pairwise(details)])
