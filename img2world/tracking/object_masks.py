"""Masks of an object in front of a plain background in the frames of a video."""

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.core.frames import Frames

MAX_BACKGROUND_DEVIATION = 9.0
"""Grey levels by which the border of the frames may differ from its median colour and still be plain."""

MIN_BACKGROUND_FRACTION = 0.9
"""Fraction of the border that must have the background colour."""

MIN_OBJECT_DIFFERENCE = 14.0
"""Grey levels, in any channel, by which an object differs from the background."""

OBJECT_FRACTION_RANGE = (0.01, 0.8)
"""Fraction of the frame that an object may cover."""

MIN_USUAL_FRAMES = 0.9
"""Fraction of the frames in which an object must be of such a size."""

MAX_HOLE = 0.1
"""Holes smaller than this fraction of the object are highlights as bright as the background."""

MIN_PART = 0.03
"""Parts smaller than this fraction of the largest part are noise."""


def object_masks(frames: Frames) -> Bool[np.ndarray, "V H W"] | None:
    """Segment the object in each frame by the frames' own transparency, or by its plain background.

    Return None when the frames show a whole scene.
    """
    if frames.alpha is not None:
        return frames.alpha > 127
    color = find_background_color(frames.rgb)
    if color is None:
        return None
    masks = np.stack([_segment(picture, color) for picture in frames.rgb])
    low, high = OBJECT_FRACTION_RANGE
    fractions = masks.mean((1, 2))
    usual = (fractions > low) & (fractions < high)
    return masks if usual.mean() > MIN_USUAL_FRAMES else None


def combine_masks(
    masks: Bool[np.ndarray, "V H W"] | None, valid: UInt8[np.ndarray, "V H W"] | None
) -> Bool[np.ndarray, "V H W"] | None:
    """Return where points may be: on the object, and not where `valid` is 0. None means everywhere."""
    if valid is None:
        return masks
    return valid > 127 if masks is None else masks & (valid > 127)


def find_background_color(rgb: UInt8[np.ndarray, "V H W 3"]) -> Float32[np.ndarray, "3"] | None:
    """Return the colour of the border of all frames, or None when it is not plain."""
    width = max(2, round(0.02 * min(rgb.shape[1:3])))
    sides = [rgb[:, :width], rgb[:, -width:], rgb[:, :, :width], rgb[:, :, -width:]]
    border = np.concatenate([side.reshape(-1, 3) for side in sides]).astype(np.float32)
    color = np.median(border, 0)
    plain = np.abs(border - color).max(1) <= MAX_BACKGROUND_DEVIATION
    return color if plain.mean() >= MIN_BACKGROUND_FRACTION else None


def _segment(picture: UInt8[np.ndarray, "H W 3"], color: Float32[np.ndarray, "3"]) -> Bool[np.ndarray, "H W"]:
    """Return the pixels that differ from the background colour, without specks and small holes."""
    import cv2

    mask = (np.abs(picture.astype(np.float32) - color).max(-1) > MIN_OBJECT_DIFFERENCE).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask > 0
    areas = stats[1:, cv2.CC_STAT_AREA]
    return _fill_holes(np.isin(labels, 1 + np.flatnonzero(areas > MIN_PART * areas.max())))


def _fill_holes(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the mask with its small holes filled."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    small = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < MAX_HOLE * mask.sum())
    return mask | np.isin(labels, np.setdiff1d(small, border))
