"""Fill unknown pixels from known ones next to them, without a network."""

import numpy as np
from jaxtyping import Bool, Float32, Shaped

GRAIN_BLUR = 1 / 30
"""Standard deviation of the blur that separates grain from larger shapes, relative to `reach` of `add_grain`."""

MIN_GRAIN_BLUR = 0.5
"""Minimum of that standard deviation in pixels."""


def nearest_known(known: Bool[np.ndarray, "H W"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each pixel the distance in pixels to the nearest known pixel, its row and its column, each [H, W]."""
    from scipy.ndimage import distance_transform_edt

    distance = np.empty(known.shape)
    indices = np.empty((2, *known.shape), np.int32)
    distance_transform_edt(~known, return_indices=True, distances=distance, indices=indices)
    return distance, indices[0], indices[1]


def extend_nearest(
    values: Shaped[np.ndarray, "H W ..."], known: Bool[np.ndarray, "H W"]
) -> Shaped[np.ndarray, "H W ..."]:
    """Replace each unknown value by that of the nearest known pixel; at least one has to be known."""
    _, rows, columns = nearest_known(known)
    return values[rows, columns]


def extend_colors(rgb: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W 3"]:
    """Replace each unknown color by that of the nearest known pixel, or by gray (0.5) where none is known."""
    return extend_nearest(rgb, known) if known.any() else np.full_like(rgb, 0.5)


def fill_smooth(values: Float32[np.ndarray, "H W C"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W C"]:
    """Fill unknown values from ever coarser averages of the known ones, which are kept.

    Source: pull-push interpolation, Gortler et al., "The Lumigraph", 1996.
    """
    import cv2

    weights = [known.astype(np.float32)[..., None]]
    colors: list[np.ndarray] = [values * weights[0]]
    while max(weights[-1].shape[:2]) > 1:
        size = (max(colors[-1].shape[1] // 2, 1), max(colors[-1].shape[0] // 2, 1))
        weight = cv2.resize(weights[-1], size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 1)
        color = cv2.resize(colors[-1], size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        full = np.minimum(1, 4 * weight).astype(np.float32)
        weights.append(full)
        colors.append(color * full / np.maximum(weight, 1e-8))
    filled = colors[-1] / np.maximum(weights[-1], 1e-8)
    for color, weight in zip(colors[-2::-1], weights[-2::-1], strict=True):
        size = (color.shape[1], color.shape[0])
        coarse = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR).reshape(color.shape)
        filled = color + (1 - weight) * coarse
    return filled


def add_grain(
    smooth: Float32[np.ndarray, "H W 3"],
    rgb: Float32[np.ndarray, "H W 3"],
    known: Bool[np.ndarray, "H W"],
    reach: float,
) -> Float32[np.ndarray, "H W 3"]:
    """Add fine texture to the smooth colors of unknown pixels: the grain of known ones, mirrored at their border.

    Known pixels keep `rgb`. Grain is what is finer than GRAIN_BLUR times `reach` (in pixels): larger shapes, mirrored,
    would be wrong more often than right. It fades out over about `reach`, before a mirrored copy is recognized. Where
    the mirror image of a pixel is unknown, colors stay smooth.
    """
    import cv2

    height, width = known.shape
    distance, rows, columns = nearest_known(known)
    y, x = np.mgrid[0:height, 0:width]
    mirror_y, mirror_x = 2 * rows - y, 2 * columns - x
    inside = (mirror_y >= 0) & (mirror_y < height) & (mirror_x >= 0) & (mirror_x < width)
    mirror_y, mirror_x = mirror_y.clip(0, height - 1), mirror_x.clip(0, width - 1)
    usable = inside & known[mirror_y, mirror_x]
    # The mirror's seams (where the nearest border changes) vanish when only its grain is taken.
    low = cv2.GaussianBlur(smooth, (0, 0), max(GRAIN_BLUR * reach, MIN_GRAIN_BLUR))
    grain = np.where(usable[..., None], (rgb - low)[mirror_y, mirror_x], 0)
    fade = np.exp(-((distance / reach) ** 2)) * usable
    fade = cv2.GaussianBlur(fade.astype(np.float32), (0, 0), 1.5)[..., None] * (~known)[..., None]
    return np.clip(np.where(known[..., None], rgb, low) + fade * grain, 0, 1)
