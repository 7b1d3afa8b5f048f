"""What changes from each frame of a video to the next: the figures that all findings are made of."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from img2world.core.frames import Frames
from img2world.tracking.flow import SAME_PLACE, dense_flow, sample
from img2world.tracking.object_masks import object_masks

SIDE = 256
"""Longest side in pixels at which frames are compared."""

GRID = 5
"""Pixels between points that are followed."""

TEXTURE = 2e-5
"""Least corner measure of a point that is worth following, of a picture 0 to 1."""

LEAST_POINTS = 30
COLOUR_BINS = 8


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Frames made small."""

    rgb: UInt8[np.ndarray, "V H W 3"]
    grey: UInt8[np.ndarray, "V H W"]
    even: UInt8[np.ndarray, "V H W 3"]
    """The colours, each with the same mean and spread in every frame, so that flicker hides nothing."""
    even_grey: UInt8[np.ndarray, "V H W"]
    masks: Bool[np.ndarray, "V H W"] | None

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def diagonal(self) -> float:
        """Pixels."""
        return float(np.hypot(*self.grey.shape[1:]))


@dataclass(frozen=True, kw_only=True)
class Step:
    """One frame compared with another."""

    difference: float
    """Mean change of a pixel in grey levels, where the object is."""
    followed: float
    """Share of textured points that are found there and back; NaN without texture."""
    colours: float
    """Bhattacharyya distance of the colour histograms, 0 to 1."""
    gain: float
    """Brightness of the second over the first at the same points; 1 where unknown."""
    start: Float64[np.ndarray, "P 2"]
    """Points that were followed, in pixels of the small frames."""
    end: Float64[np.ndarray, "P 2"]

    @property
    def motion(self) -> float:
        """Median way of the points, in pixels."""
        return float(np.median(np.linalg.norm(self.end - self.start, axis=1))) if len(self.start) else 0.0


def small_clip(frames: Frames) -> Clip:
    """The frames at the size at which they are compared."""
    import cv2

    height, width = frames.rgb.shape[1:3]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    rgb = np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in frames.rgb])
    masks = object_masks(frames)
    if masks is not None:
        masks = np.stack([cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0 for m in masks])
    even = _evened(rgb, masks)
    greys, even_greys = (np.stack([cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in stack]) for stack in (rgb, even))
    return Clip(rgb=rgb, grey=greys, even=even, even_grey=even_greys, masks=masks)


def _evened(rgb: UInt8[np.ndarray, "V H W 3"], masks: np.ndarray | None) -> UInt8[np.ndarray, "V H W 3"]:
    """The frames with the mean and spread of the first, channel by channel, where the object is."""
    evened, wanted = [], None
    for i, picture in enumerate(rgb):
        inside = picture.reshape(-1, 3) if masks is None or not masks[i].any() else picture[masks[i]]
        mean, spread = inside.mean(0), inside.std(0) + 1
        wanted = (mean, spread) if wanted is None else wanted
        even = np.clip((picture - mean) / spread * wanted[1] + wanted[0], 0, 255).astype(np.uint8)
        evened.append(even if masks is None else np.where(masks[i][..., None], even, picture))
    return np.stack(evened)


def compare(clip: Clip, i: int, j: int, *, flipped: bool = False) -> Step:
    """Frame i against frame j, which may be mirrored first."""
    after_rgb, after, after_grey = clip.even[j], clip.even_grey[j], clip.grey[j]
    inside = np.ones(after.shape, bool) if clip.masks is None else clip.masks[i] | clip.masks[j]
    if flipped:
        after_rgb, after, after_grey = (np.ascontiguousarray(one[:, ::-1]) for one in (after_rgb, after, after_grey))
        inside = np.ones(after.shape, bool) if clip.masks is None else clip.masks[i] | clip.masks[j][:, ::-1]
    change = np.abs(clip.even[i].astype(np.float32) - after_rgb)[inside]
    start, end, followed = _follow(clip.even_grey[i], after, None if clip.masks is None else clip.masks[i])
    return Step(
        difference=float(change.mean()) if change.size else 0.0,
        followed=followed,
        colours=_colour_distance(clip.even[i][inside], after_rgb[inside]),
        gain=_gain(clip.grey[i], after_grey, start, end),
        start=start,
        end=end,
    )


def _follow(before: np.ndarray, after: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Points, where they went, and the share that could be followed."""
    import cv2

    row, column = (
        axis.reshape(-1) for axis in np.mgrid[4 : before.shape[0] - 4 : GRID, 4 : before.shape[1] - 4 : GRID]
    )
    textured = cv2.cornerMinEigenVal(before, 5)[row, column] > TEXTURE
    if mask is not None:
        textured &= mask[row, column]
    start = np.stack([column, row], -1)[textured].astype(np.float64)
    if len(start) < LEAST_POINTS:
        return np.zeros((0, 2)), np.zeros((0, 2)), float("nan")
    there, back = dense_flow(before, after, finest=1), dense_flow(after, before, finest=1)
    end = start + sample(there, start)
    good = np.linalg.norm(end + sample(back, end) - start, axis=1) < SAME_PLACE
    return start[good], end[good], float(good.mean())


def _gain(before: np.ndarray, after: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Median ratio of brightness at points that were followed."""
    if len(start) < LEAST_POINTS:
        return 1.0
    one, two = (sample(grey[..., None].astype(np.float32), at)[:, 0] for grey, at in ((before, start), (after, end)))
    return float(np.median((two + 5) / (one + 5)))


def _colour_distance(one: UInt8[np.ndarray, "N 3"], two: UInt8[np.ndarray, "N 3"]) -> float:
    """Bhattacharyya distance of two sets of colours."""
    if not len(one) or not len(two):
        return 0.0
    shares = []
    for colours in (one, two):
        bins = (colours.astype(np.int64) * COLOUR_BINS // 256) @ np.array([COLOUR_BINS**2, COLOUR_BINS, 1])
        shares.append(np.bincount(bins, minlength=COLOUR_BINS**3) / len(colours))
    return float(np.sqrt(max(0.0, 1 - np.sqrt(shares[0] * shares[1]).sum())))
