"""Which pixels of a video's frames belong to an object before a plain background."""

import numpy as np
from jaxtyping import Bool, UInt8

from img2world.core.frames import Frames

PLAIN_SPREAD = 9.0
"""Grey levels by which the rim of the frames may differ from its own median colour."""

PLAIN_SHARE = 0.9
"""Share of the rim that must have that colour."""

OBJECT_DIFFERENCE = 14.0
"""Grey levels, in any channel, by which an object differs from its background."""

OBJECT_RANGE = (0.01, 0.8)
"""Share of the frame that an object may take."""

HOLE = 0.1
"""Holes smaller than this share of the object are lights on it that are as bright as the background."""

SPECK = 0.03
"""Parts smaller than this share of the largest are noise."""


def object_masks(frames: Frames) -> Bool[np.ndarray, "V H W"] | None:
    """Where the object is in each frame: by the frames' own transparency, or before one plain colour.

    None when the frames show a whole scene.
    """
    if frames.alpha is not None:
        return frames.alpha > 127
    colour = plain_colour(frames.rgb)
    if colour is None:
        return None
    masks = np.stack([_cut(picture, colour) for picture in frames.rgb])
    low, high = OBJECT_RANGE
    usual = ((shares := masks.mean((1, 2))) > low) & (shares < high)
    return masks if usual.mean() > 0.9 else None


def to_look_at(
    masks: Bool[np.ndarray, "V H W"] | None, mask: UInt8[np.ndarray, "V H W"] | None
) -> Bool[np.ndarray, "V H W"] | None:
    """Where points may be looked for: on the object, and not where pictures are to be ignored. None is everywhere."""
    if mask is None:
        return masks
    return mask > 127 if masks is None else masks & (mask > 127)


def plain_colour(rgb: UInt8[np.ndarray, "V H W 3"]) -> np.ndarray | None:
    """The colour [3] of the rim of all frames, if it has but one."""
    width = max(2, round(0.02 * min(rgb.shape[1:3])))
    parts = [rgb[:, :width], rgb[:, -width:], rgb[:, :, :width], rgb[:, :, -width:]]
    rim = np.concatenate([part.reshape(-1, 3) for part in parts]).astype(np.float32)
    colour = np.median(rim, 0)
    plain = np.abs(rim - colour).max(1) <= PLAIN_SPREAD
    return colour if plain.mean() >= PLAIN_SHARE else None


def _cut(picture: UInt8[np.ndarray, "H W 3"], colour: np.ndarray) -> Bool[np.ndarray, "H W"]:
    """What differs from the colour, without noise."""
    import cv2

    mask = (np.abs(picture.astype(np.float32) - colour).max(-1) > OBJECT_DIFFERENCE).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask > 0
    areas = stats[1:, cv2.CC_STAT_AREA]
    return _without_holes(np.isin(labels, 1 + np.flatnonzero(areas > SPECK * areas.max())))


def _without_holes(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The mask with its small holes closed."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    small = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < HOLE * mask.sum())
    return mask | np.isin(labels, np.setdiff1d(small, rim))
