"""Estimate how likely each pixel shows the subject, by the cut-out network, the support behind it, and colour."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from img2world.core.cameras import Cameras
from img2world.isolation.plate import Plate, plate_in_view
from img2world.layered.saliency import CutoutModel, find_saliency

MAX_LOGIT = 4.0
"""Certainty of the network that counts, as a logit; it is often sure of what is wrong."""

CLOSE_WEIGHT = 0.5
"""Weight of the network's answer to a picture cropped to the subject, against that to the whole picture."""

CROP_MARGIN = 0.3
"""Room around the subject in such a picture, relative to the subject."""

LEVELS = 16
"""Levels of each colour channel in a histogram."""

BLUR = 0.8
"""Standard deviation in such levels by which histograms are blurred."""

FLOOR = 0.1
"""Frequency of a colour that was never seen, relative to that in an even histogram."""

RING = 0.15
"""Width of the surroundings whose colours are compared with the subject's, relative to the size of the picture."""

CHANGED = 0.05
"""Fraction of the support that shows something else than in most views, such as a thing on it or a moving shadow."""

SUPPORT_LOGIT = (-3.0, 2.0)
"""Least and largest evidence from the support, as a logit."""

TEXTURE_LOGIT = -5.0
"""Further evidence where the texture of the support is seen: more than the network can be certain of."""

COLOR_LOGIT = 1.5
"""Largest evidence from colour alone."""


@dataclass(frozen=True, kw_only=True)
class Colors:
    """Histograms of the colours on the subject and around it; each sums to 1."""

    subject: Float32[np.ndarray, "L L L"]
    around: Float32[np.ndarray, "L L L"]


def network_map(
    rgb: UInt8[np.ndarray, "H W 3"], shape: tuple[int, int], model: CutoutModel, area: tuple[slice, slice] | None = None
) -> Float32[np.ndarray, "h w"]:
    """Return the probability that a pixel shows what stands out, at the size `shape`; elsewhere than in the area, 0.

    The area is in pixels of the picture. Raises what `find_saliency` raises.
    """
    import cv2

    part = rgb if area is None else rgb[area]
    found = find_saliency(np.ascontiguousarray(part), model)
    full = np.zeros(rgb.shape[:2], np.float32)
    full[area or (slice(None), slice(None))] = cv2.resize(found, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.resize(full, shape[::-1], interpolation=cv2.INTER_AREA).clip(0, 1)


def crop_to(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> tuple[slice, slice] | None:
    """Return the area around a mask in the pixels of a picture of another size (height, width); None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    scale = size[0] / mask.shape[0], size[1] / mask.shape[1]
    ends = []
    margin = CROP_MARGIN * max(np.ptp(rows) * scale[0], np.ptp(columns) * scale[1])
    for found, factor, length in zip((rows, columns), scale, size, strict=True):
        low, high = found[0] * factor - margin, (found[-1] + 1) * factor + margin
        ends.append(slice(max(int(low), 0), min(int(np.ceil(high)), length)))
    return ends[0], ends[1]


def closer(whole: Float32[np.ndarray, "h w"], close: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the answer to a whole picture, improved by that to its part around the subject, in more detail."""
    return (1 - CLOSE_WEIGHT) * whole + CLOSE_WEIGHT * close


def count_colors(
    rgb: list[Float32[np.ndarray, "h w 3"]],
    masks: list[Bool[np.ndarray, "h w"]],
    counted: list[Bool[np.ndarray, "h w"]],
) -> Colors:
    """Return the colours of the subject, given roughly by masks, and of its surroundings."""
    import cv2

    inside, outside = np.zeros((2, LEVELS**3))
    for picture, mask, valid in zip(rgb, masks, counted, strict=True):
        radius = round(RING * max(mask.shape)) // 2 * 2 + 1
        index = _bins(picture)
        # The outline is uncertain.
        core = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        ring = (cv2.dilate(mask.astype(np.uint8), np.ones((radius, radius), np.uint8)) > 0) & ~(
            cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        )
        inside += np.bincount(index[core & valid], minlength=LEVELS**3)
        outside += np.bincount(index[ring & valid], minlength=LEVELS**3)
    return Colors(subject=_frequencies(inside), around=_frequencies(outside))


def _bins(picture: Float32[np.ndarray, "h w 3"]) -> np.ndarray:
    """Return the index of the bin of each pixel's colour."""
    level = np.clip(picture * (LEVELS / 256), 0, LEVELS - 1).astype(np.int32)
    return (level[..., 0] * LEVELS + level[..., 1]) * LEVELS + level[..., 2]


def _frequencies(counts: Float64[np.ndarray, "K"]) -> Float32[np.ndarray, "L L L"]:
    """Return the blurred histogram with sum 1."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(counts.reshape((LEVELS,) * 3), BLUR, mode="nearest")
    blurred = blurred / max(blurred.sum(), 1e-9) + FLOOR / LEVELS**3
    return (blurred / blurred.sum()).astype(np.float32)


def cover_of(
    network: Float32[np.ndarray, "h w"],
    rgb: Float32[np.ndarray, "h w 3"],
    camera: Cameras,
    plate: Plate | None,
    colors: Colors | None,
) -> Float32[np.ndarray, "h w"]:
    """Return the probability that a pixel shows the subject, by all that is known.

    `camera` has the size of the picture, `rgb` is 0 to 255. Where the support is known, a colour is compared with what
    the support shows there, elsewhere with the colours around the subject.
    """
    logit = np.clip(_logit(network), -MAX_LOGIT, MAX_LOGIT)
    even = np.full(rgb.shape[:2], 1 / LEVELS**3, np.float32)
    index = _bins(rgb)
    on_subject = even if colors is None else colors.subject.ravel()[index]
    around = even if colors is None else colors.around.ravel()[index]
    more = np.clip(np.log(on_subject / around), -COLOR_LOGIT, COLOR_LOGIT)
    if plate is not None:
        seen = plate_in_view(plate, camera)
        known = np.isfinite(seen.spread)
        sigma = np.where(known, seen.spread, 1)
        apart = np.maximum(np.maximum(seen.low - rgb, rgb - seen.high), 0) / sigma[..., None]
        # Densities per bin of the histogram.
        density = (256 / LEVELS / sigma) ** 3 / (2 * np.pi) ** 1.5 * np.exp(-0.5 * (apart**2).sum(-1))
        on_support = (1 - CHANGED) * density + CHANGED * around
        low, high = SUPPORT_LOGIT
        # Without knowing the colours of the subject, only a match with a texture is no chance.
        low = (low * seen.texture if colors is None else low) + TEXTURE_LOGIT * seen.texture
        more = np.where(known, np.clip(np.log(on_subject / on_support), low, high), more)
    return (1 / (1 + np.exp(-(logit + more)))).astype(np.float32)


def _logit(probability: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the logarithm of the odds."""
    p = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def match_exposures(
    rgb: list[Float32[np.ndarray, "h w 3"]], plate: Plate, free: list[Bool[np.ndarray, "h w"]], cameras: Cameras
) -> list[Float32[np.ndarray, "h w 3"]]:
    """Return the pictures with the support as bright in each as in the others."""
    matched = []
    for i, picture in enumerate(rgb):
        seen = plate_in_view(plate, cameras.select([i]))
        counted = np.isfinite(seen.spread) & free[i] & (picture.min(-1) > 5) & (picture.max(-1) < 250)
        ratio = ((seen.low + seen.high)[counted] / 2) / np.maximum(picture[counted], 1)
        gain = np.median(ratio, axis=0) if len(ratio) > 100 else np.ones(3)
        matched.append(np.clip(picture * gain.astype(np.float32), 0, 255))
    return matched
