"""Points of an object at one time, from its outlines, and how well the outlines agree with the cameras."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from img2world.core.cameras import Cameras
from img2world.core.views import Views
from img2world.tracking.visual_hull import GRID_SIZE, MIN_VOXELS, carve_hull

SIDE = 96
"""Longest side in pixels at which outlines are compared: a voxel of a small object is about as large."""

MARGIN = 1.5
"""Voxels around the first hull in which a finer one is carved."""


@dataclass(frozen=True, kw_only=True)
class HullPoints:
    """The visual hull of an object."""

    points: Float32[np.ndarray, "P 3"]
    colors: UInt8[np.ndarray, "P 3"]
    agreement: float
    """Overlap of the hull and the outlines that it was carved from, 0 to 1: of wrong cameras, little is left of it."""


def hull_points(
    views: Views, *, max_misses: int = 0, hidden_behind: Float32[np.ndarray, "V H W"] | None = None
) -> HullPoints | None:
    """Return the visual hull of what the views' alpha shows, in two steps from coarse to fine; None without any.

    A voxel may be outside of `max_misses` outlines, each of which is a pixel wider than it is seen. Behind the depths
    `hidden_behind` it may be anywhere.
    """
    import cv2

    assert views.alpha is not None
    outlines, cameras = views.alpha > 127, views.cameras
    window = np.ones((3, 3), np.uint8)
    masks = np.stack([cv2.dilate(outline.astype(np.uint8), window) > 0 for outline in outlines])
    coarse = carve_hull(masks, cameras, max_misses=max_misses, hidden_behind=hidden_behind)
    if len(coarse) < 2:
        return None
    spacing = _spacing(coarse)
    bounds = (coarse.min(0) - MARGIN * spacing, coarse.max(0) + MARGIN * spacing)
    voxels = carve_hull(masks, cameras, bounds=bounds, max_misses=max_misses, hidden_behind=hidden_behind)
    if len(voxels) < MIN_VOXELS:
        return None
    size = float((bounds[1] - bounds[0]).max()) / (GRID_SIZE - 1)
    overlaps = [
        _overlap(views, i, mask, _shown(voxels, cameras, i, hidden_behind), size) for i, mask in enumerate(masks)
    ]
    return HullPoints(
        points=voxels.astype(np.float32),
        colors=mean_colors(views, voxels),
        agreement=float(np.mean(overlaps)),
    )


def with_hull_points(views: Views, hull: HullPoints) -> Views:
    """Return the views with the points of the hull instead of their own."""
    return replace(views, points=hull.points, point_colors=hull.colors)


def _spacing(voxels: Float64[np.ndarray, "N 3"]) -> Float64[np.ndarray, "3"]:
    """Return the distance of neighbouring voxels along each axis."""
    steps = [np.diff(np.unique(voxels[:, axis])) for axis in range(3)]
    known = [float(step.min()) for step in steps if len(step)]
    return np.full(3, min(known, default=1e-3))


def mean_colors(views: Views, points: Float64[np.ndarray, "N 3"]) -> UInt8[np.ndarray, "N 3"]:
    """Return the mean colour of the pixels onto which each point falls."""
    sums, counts = np.zeros((len(points), 3)), np.zeros(len(points))
    for i in range(len(views)):
        _, pixels, inside = views.cameras.project(i, points)
        column, row = pixels[inside].astype(np.int64).T
        sums[inside] += views.rgb[i, row, column]
        counts[inside] += 1
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], 128).round().astype(np.uint8)


def _shown(
    voxels: Float64[np.ndarray, "N 3"], cameras: Cameras, i: int, hidden_behind: Float32[np.ndarray, "V H W"] | None
) -> Float64[np.ndarray, "M 3"]:
    """Return the voxels that nothing hides in view i."""
    if hidden_behind is None:
        return voxels
    depth, pixels, inside = cameras.project(i, voxels)
    column, row = np.where(inside[:, None], pixels, 0).astype(np.int64).T
    return voxels[~inside | (depth <= hidden_behind[i, row, column])]


def _overlap(
    views: Views, i: int, mask: Bool[np.ndarray, "H W"], voxels: Float64[np.ndarray, "N 3"], size: float
) -> float:
    """Return intersection over union of an outline and of voxels of a size in one view."""
    import cv2

    scale = min(1.0, SIDE / max(mask.shape))
    width, height = max(round(mask.shape[1] * scale), 1), max(round(mask.shape[0] * scale), 1)
    outline = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5
    depth, pixels, inside = views.cameras.resized(width, height).project(i, voxels)
    covered = np.zeros((height, width), np.uint8)
    column, row = pixels[inside].astype(np.int64).T
    covered[row, column] = 1
    # A voxel is larger than a pixel where the picture shows it large.
    focal = float(views.cameras.intrinsics[i, 0, 0]) * width / views.cameras.width
    side = int(np.ceil(size * focal / max(float(np.median(depth[inside])) if inside.any() else 1.0, 1e-6)))
    window = np.ones((side | 1, side | 1), np.uint8)
    filled = cv2.morphologyEx(covered, cv2.MORPH_CLOSE, window) > 0
    return float((filled & outline).sum() / max((filled | outline).sum(), 1))
