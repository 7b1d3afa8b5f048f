"""The blur of the frames of a video, told from the texture of what they show."""

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

SHARPNESS_SIDE, CELL = 640, 16
"""Longest side in pixels at which blur is measured, and side of the cells in which it is."""

AROUND, MAX_BLUR = 30, 1.5
"""Frames on either side with which one is compared, and the logarithm by which it may be less sharp than most."""

PLAIN = 1e-4
"""Contrast up to which a cell is plain: that of noise of one grey level in the middle tones."""

DARK = 8.0
"""Grey value that is added where detail is divided by brightness, so that noise in the dark does not count."""


def detail_map(grey: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "2 r c"]:
    """Return the contrast of the finest detail in each cell of a frame, along rows and along columns.

    It is the energy of the second difference by the square of the brightness. Motion blurs detail in its own direction
    only, which the sum of both directions would hide.
    """
    import cv2

    cells = (max(1, grey.shape[1] // CELL), max(1, grey.shape[0] // CELL))
    kernel = np.array([[-1, 2, -1]], np.float32)
    differences = [cv2.filter2D(grey, cv2.CV_32F, k) for k in (kernel, kernel.T)]
    energies = [cv2.resize(d * d, cells, interpolation=cv2.INTER_AREA).reshape(cells[::-1]) for d in differences]
    brightness = cv2.resize(grey, cells, interpolation=cv2.INTER_AREA).reshape(cells[::-1]).astype(np.float32)
    return np.stack(energies) / (brightness + DARK) ** 2


def sharpness_step(before: Float32[np.ndarray, "2 r c"], after: Float32[np.ndarray, "2 r c"]) -> float:
    """Return by how much a frame is sharper than the one before it, as a logarithm, from their `detail_map`s.

    Texture that enters the picture looks like sharpness, and what leaves it like blur. Neighbours show nearly the same
    in each cell, and the median of the cells ignores those that do not; the sum of the steps therefore tells blur from
    texture. Cells with less detail than most are left out, where noise hides the difference.
    """
    total = 0.0
    for old, new in zip(before, after, strict=True):
        both = old + new
        # On a plain background there is nothing to be sharp.
        textured = both >= np.median(both[both > PLAIN] if (both > PLAIN).any() else both)
        total += float(np.median(np.log((new[textured] + 1e-6) / (old[textured] + 1e-6))))
    return total


def blurred_among(sharpness: Float[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
    """Tell which frames are far more blurred than most around them; `sharpness` is logarithmic."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(sharpness, AROUND, mode="edge"), 2 * AROUND + 1)
    return sharpness < np.median(around, axis=1) - MAX_BLUR
