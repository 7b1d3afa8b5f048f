"""Fill what is not known from what is beside it: no network, no smearing."""

import numpy as np
from jaxtyping import Bool, Float32

GRAIN = 1 / 30
"""Standard deviation of the blur that parts grain from shapes, relative to the reach of the continued texture."""

MIN_GRAIN = 0.5
"""The same in pixels."""


def nearest_known(known: Bool[np.ndarray, "H W"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance in pixels to the nearest known pixel, and its row and column, for each pixel."""
    from scipy.ndimage import distance_transform_edt

    distance = np.empty(known.shape)
    place = np.empty((2, *known.shape), np.int32)
    distance_transform_edt(~known, return_indices=True, distances=distance, indices=place)
    return distance, place[0], place[1]


def fill_smooth(values: Float32[np.ndarray, "H W C"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W C"]:
    """Known values kept, the others from ever coarser averages of the known ones.

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


def with_grain(
    smooth: Float32[np.ndarray, "H W 3"],
    rgb: Float32[np.ndarray, "H W 3"],
    known: Bool[np.ndarray, "H W"],
    reach: float,
) -> Float32[np.ndarray, "H W 3"]:
    """The picture where it is known; elsewhere the smooth colours, with the grain mirrored at the border of the known.

    Grain is what is finer than GRAIN of `reach`, in pixels; larger shapes, mirrored, would be wrong more often than
    right. It goes on for about `reach` and fades, where a mirrored copy would be recognised. What mirrors onto
    something unknown is smooth, too.
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
    low = cv2.GaussianBlur(smooth, (0, 0), max(GRAIN * reach, MIN_GRAIN))
    grain = np.where(usable[..., None], (rgb - low)[mirror_y, mirror_x], 0)
    fade = np.exp(-((distance / reach) ** 2)) * usable
    fade = cv2.GaussianBlur(fade.astype(np.float32), (0, 0), 1.5)[..., None] * (~known)[..., None]
    return np.clip(np.where(known[..., None], rgb, low) + fade * grain, 0, 1)
