"""Comparison of frames: the measurements that all findings about a video are made from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from img2world.core.frames import Frames
from img2world.tracking.flow import MAX_ROUND_TRIP_ERROR, compute_flow, sample_bilinear
from img2world.tracking.object_masks import object_masks

MAX_SIDE = 256
"""Longest side in pixels at which frames are compared."""

MIN_SIDE = 16

GRID_STEP = 5
"""Pixels between the points that are followed."""

GRID_MARGIN = 4
"""Pixels at the edge without such points."""

MIN_CORNER_RESPONSE = 2e-5
"""Smallest eigenvalue below which a point has too little texture to follow, for images from 0 to 1."""

MIN_POINTS = 30
HISTOGRAM_BINS = 8
"""Per colour channel."""

CHROMATICITY_BINS = 11
"""Per channel: about as fine, since hardly any colour is more than three quarters red or green."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Downscaled frames of a video."""

    rgb: UInt8[np.ndarray, "V H W 3"]
    gray: UInt8[np.ndarray, "V H W"]
    equalized: UInt8[np.ndarray, "V H W 3"]
    """The frames with the mean and standard deviation of the first in each channel, so that flicker hides nothing."""
    equalized_gray: UInt8[np.ndarray, "V H W"]
    masks: Bool[np.ndarray, "V H W"] | None
    """True on the object; None for a whole scene."""

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def diagonal(self) -> float:
        """Length of the diagonal in pixels."""
        return float(np.hypot(*self.gray.shape[1:]))


@dataclass(frozen=True, kw_only=True)
class Transition:
    """The change from one frame to another."""

    difference: float
    """Mean absolute difference of the pixels on the object, in grey levels."""
    tracked_fraction: float
    """Fraction of the textured points that flow follows there and back; NaN without texture."""
    histogram_distance: float
    """Hellinger distance of the colour histograms, 0 to 1."""
    gain: float
    """Brightness of the second frame relative to the first at the same points; 1 where it is unknown."""
    start: Float64[np.ndarray, "P 2"]
    """Followed points in the first frame, in pixels of the clip; the centre of the first pixel is (0, 0)."""
    end: Float64[np.ndarray, "P 2"]
    """The same points in the second frame."""

    @property
    def motion(self) -> float:
        """Median displacement of the points, in pixels."""
        return float(np.median(np.linalg.norm(self.end - self.start, axis=1))) if len(self.start) else 0.0


def downscale(frames: Frames) -> Clip:
    """Return the frames at the size at which they are compared."""
    import cv2

    height, width = frames.rgb.shape[1:3]
    scale = min(1.0, MAX_SIDE / max(height, width))
    size = (max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale)))
    rgb = np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in frames.rgb])
    masks = object_masks(frames)
    if masks is not None:
        masks = np.stack([cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0 for m in masks])
    equalized = _equalize(rgb, masks)
    gray, equalized_gray = (
        np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]) for pictures in (rgb, equalized)
    )
    return Clip(rgb=rgb, gray=gray, equalized=equalized, equalized_gray=equalized_gray, masks=masks)


def _equalize(
    rgb: UInt8[np.ndarray, "V H W 3"], masks: Bool[np.ndarray, "V H W"] | None
) -> UInt8[np.ndarray, "V H W 3"]:
    """Give each frame the mean and standard deviation of the first, channel by channel, on the object."""
    equalized, target = [], None
    for i, picture in enumerate(rgb):
        inside = picture.reshape(-1, 3) if masks is None or not masks[i].any() else picture[masks[i]]
        mean, std = inside.mean(0), inside.std(0) + 1
        target = (mean, std) if target is None else target
        equal = np.clip((picture - mean) / std * target[1] + target[0], 0, 255).astype(np.uint8)
        equalized.append(equal if masks is None else np.where(masks[i][..., None], equal, picture))
    return np.stack(equalized)


def compare_frames(clip: Clip, i: int, j: int, *, flipped: bool = False) -> Transition:
    """Compare frame i with frame j, or with its mirror image when `flipped`."""
    after_rgb, after, after_gray = clip.equalized[j], clip.equalized_gray[j], clip.gray[j]
    after_mask = None if clip.masks is None else clip.masks[j]
    if flipped:
        after_rgb, after, after_gray = (np.ascontiguousarray(each[:, ::-1]) for each in (after_rgb, after, after_gray))
        after_mask = None if after_mask is None else after_mask[:, ::-1]
    mask = None if clip.masks is None else clip.masks[i]
    inside = np.ones(after.shape, bool) if mask is None or after_mask is None else mask | after_mask
    change = np.abs(clip.equalized[i].astype(np.float32) - after_rgb)[inside]
    start, end, tracked_fraction = _follow_points(clip.equalized_gray[i], after, mask)
    return Transition(
        difference=float(change.mean()) if change.size else 0.0,
        tracked_fraction=tracked_fraction,
        histogram_distance=_histogram_distance(clip.equalized[i][inside], after_rgb[inside]),
        gain=_brightness_gain(clip.gray[i], after_gray, start, end),
        start=start,
        end=end,
    )


def _follow_points(
    before: UInt8[np.ndarray, "H W"], after: UInt8[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"] | None
) -> tuple[Float64[np.ndarray, "P 2"], Float64[np.ndarray, "P 2"], float]:
    """Follow textured points of a grid by flow; return their positions before and after, and the fraction followed."""
    import cv2

    rows, columns = (slice(GRID_MARGIN, side - GRID_MARGIN, GRID_STEP) for side in before.shape)
    row, column = (axis.reshape(-1) for axis in np.mgrid[rows, columns])
    textured = cv2.cornerMinEigenVal(before, 5)[row, column] > MIN_CORNER_RESPONSE
    if mask is not None:
        textured &= mask[row, column]
    start = np.stack([column, row], -1)[textured].astype(np.float64)
    if len(start) < MIN_POINTS:
        return np.zeros((0, 2)), np.zeros((0, 2)), float("nan")
    forward, backward = compute_flow(before, after, finest_level=1), compute_flow(after, before, finest_level=1)
    end = start + sample_bilinear(forward, start)
    returned = end + sample_bilinear(backward, end)
    followed = np.linalg.norm(returned - start, axis=1) < MAX_ROUND_TRIP_ERROR
    return start[followed], end[followed], float(followed.mean())


def _brightness_gain(
    before: UInt8[np.ndarray, "H W"],
    after: UInt8[np.ndarray, "H W"],
    start: Float64[np.ndarray, "P 2"],
    end: Float64[np.ndarray, "P 2"],
) -> float:
    """Return the median ratio of brightness at the followed points."""
    if len(start) < MIN_POINTS:
        return 1.0
    first, second = (
        sample_bilinear(gray[..., None].astype(np.float32), xy)[:, 0] for gray, xy in ((before, start), (after, end))
    )
    return float(np.median((second + 5) / (first + 5)))


def turning(transitions: list[Transition]) -> Float64[np.ndarray, "T"]:
    """Return the mean motion to the right across each transition, in pixels: the way in which an object turns."""
    return np.array([(each.end[:, 0] - each.start[:, 0]).mean() if len(each.start) else 0.0 for each in transitions])


def hue_distance(clip: Clip, first: range, second: range) -> float:
    """Return the Hellinger distance, 0 to 1, of the chromaticities in two parts of a clip, on the object.

    Chromaticity is the share of red and green in a colour: brightness does not change it, and the tints of many frames
    cancel out.
    """
    histograms = []
    for part in (first, second):
        pictures = clip.rgb[part.start : part.stop]
        rgb = pictures.reshape(-1, 3) if clip.masks is None else pictures[clip.masks[part.start : part.stop]]
        # Near black, compression makes colours up.
        shares = (rgb[:, :2] + 8.0) / (rgb.sum(1, keepdims=True, dtype=np.float64) + 24.0)
        bins = (shares * CHROMATICITY_BINS).astype(np.int64) @ np.array([CHROMATICITY_BINS, 1])
        histograms.append(np.bincount(bins, minlength=CHROMATICITY_BINS**2) / max(len(rgb), 1))
    return _hellinger(*histograms)


def _histogram_distance(first: UInt8[np.ndarray, "N 3"], second: UInt8[np.ndarray, "M 3"]) -> float:
    """Return the Hellinger distance of the histograms of two sets of colours."""
    if not len(first) or not len(second):
        return 0.0
    histograms = []
    for colors in (first, second):
        bins = (colors.astype(np.int64) * HISTOGRAM_BINS // 256) @ np.array([HISTOGRAM_BINS**2, HISTOGRAM_BINS, 1])
        histograms.append(np.bincount(bins, minlength=HISTOGRAM_BINS**3) / len(colors))
    return _hellinger(*histograms)


def _hellinger(first: Float64[np.ndarray, "B"], second: Float64[np.ndarray, "B"]) -> float:
    """Return the Hellinger distance of two histograms whose bins sum to 1."""
    return float(np.sqrt(max(0.0, 1 - np.sqrt(first * second).sum())))
