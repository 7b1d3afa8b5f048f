"""Tell sky from walls that look like it."""

import numpy as np
from jaxtyping import Float32, UInt8

SIZE = 256
"""Longer side, in pixels, at which a sky is examined."""

MIN_PROBABILITY = 0.5
"""Minimum mean of the predicted probability in each connected region of a sky."""

MIN_LINED_PROBABILITY = 0.85
"""The same for a region with many straight lines, as clapboards and tiles have; cables before a sky are fewer."""

MAX_LINES = 5.0
"""Total length of straight lines in a region, relative to the square root of its area, above which it has many."""

MIN_LINE = 12.0
"""Length in pixels of the shortest line that counts."""

RIM = 9
"""Width in pixels of the square that erodes a region, so that roofs along its outline do not count as its lines."""


def keep_likely(
    sky: Float32[np.ndarray, "H W"], predicted: Float32[np.ndarray, "H W"], rgb: UInt8[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W"]:
    """Return the alpha of a sky without its regions that the network or straight lines speak against.

    `predicted` is the network's probability of sky.
    """
    import cv2

    scale = SIZE / max(sky.shape)
    small, probability = (cv2.resize(values, None, fx=scale, fy=scale) for values in (sky, predicted))
    mask = (small > 0.5).astype(np.uint8)
    colors = cv2.resize(rgb, mask.shape[::-1], interpolation=cv2.INTER_AREA)
    lines = find_lines(cv2.erode(mask, np.ones((RIM, RIM), np.uint8)), colors)
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    unlikely = np.zeros(mask.shape, np.uint8)
    for label in range(1, count):
        region = labels == label
        is_lined = lines[region].sum() > MAX_LINES * np.sqrt(region.sum())
        if probability[region].mean() < (MIN_LINED_PROBABILITY if is_lined else MIN_PROBABILITY):
            unlikely |= region.astype(np.uint8)
    if not unlikely.any():
        return sky
    # Soft outlines belong to the region that they surround.
    rejected = cv2.dilate(unlikely, np.ones((5, 5), np.uint8)) * ((labels == 0) | (unlikely > 0))
    return sky * (cv2.resize(rejected, sky.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0)


def find_lines(mask: UInt8[np.ndarray, "h w"], rgb: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """Return a map with the length of each straight line at its middle, for the lines within a mask."""
    import cv2

    lengths = np.zeros(mask.shape, np.float32)
    found = cv2.createLineSegmentDetector().detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))[0]
    for x0, y0, x1, y1 in [] if found is None else found.reshape(-1, 4).tolist():
        row, column = int((y0 + y1) / 2), int((x0 + x1) / 2)
        length = np.hypot(x1 - x0, y1 - y0)
        if length > MIN_LINE and 0 <= row < len(mask) and 0 <= column < mask.shape[1] and mask[row, column]:
            lengths[row, column] += length
    return lengths
