"""Bending and wobbling of the edges that the photo shows when the camera moves.

An edge belongs to the surface in front of it. Its pixels are lifted with the depth that the scene has in the photo's
view, and projected into other cameras. All lengths are relative to the longer side of the picture.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from img2world.core.cameras import Cameras
from img2world.quality.views import View, project

Points = Float[np.ndarray, "_ 2"]
"""Positions x and y of the pixels along an edge."""

MIN_SEGMENT, MIN_STRAIGHT = 0.02, 0.12
"""Minimum lengths of a segment and of the straight edge that segments on one line form."""

MAX_GAP, LINE_WIDTH = 0.05, 1.5
"""Maximum distance between segments of one edge along it; and, in pixels, from the line through the longest."""

CONTOUR_CELL = 0.1
"""Side of the cells into which contours are divided: over a larger distance a surface may curve."""

MIN_CONTOUR = 0.05
"""Minimum length of the part of a contour in a cell."""

CANNY = (40, 100)
"""Thresholds of the gradient for edges, in grey levels."""

FRONT_RADIUS = 0.004
"""Distance from an edge within which the nearest surface is the one that it belongs to."""


def find_straight_edges(
    picture: Float32[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"] | None = None
) -> list[Points]:
    """Return points along the long straight edges of a picture with values 0 to 1, those inside of the mask.

    Segments on one line, such as the windows of a tower, count as one edge. Source: von Gioi et al. 2010, "LSD: A fast
    line segment detector with a false detection control".
    """
    import cv2

    gray = _gray(picture)
    longer = max(gray.shape)
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD).detect(gray)[0]
    # OpenCV's first pixel has its center at (0, 0).
    segments = np.zeros((0, 2, 2)) if found is None else np.asarray(found, np.float64).reshape(-1, 2, 2) + 0.5
    lengths = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1)
    order = np.argsort(-lengths, kind="stable")
    segments = segments[order[lengths[order] >= MIN_SEGMENT * longer]]
    edges, is_free = [], np.ones(len(segments), bool)
    for i in range(len(segments)):
        if is_free[i]:
            members = _on_one_line(segments, i, is_free, MAX_GAP * longer)
            is_free[members] = False
            points = np.concatenate([_points_along(*segments[member]) for member in members])
            if mask is not None:
                columns, rows = np.clip(points.astype(int), 0, (mask.shape[1] - 1, mask.shape[0] - 1)).T
                points = points[mask[rows, columns]]
            if len(points) and np.linalg.norm(np.ptp(points, axis=0)) >= MIN_STRAIGHT * longer:
                edges.append(points)
    return edges


def _on_one_line(
    segments: Float[np.ndarray, "L 2 2"], i: int, is_free: Bool[np.ndarray, "L"], max_gap: float
) -> list[int]:
    """Return segment i and those that continue it in both directions, each less than `max_gap` from the next."""
    start, end = segments[i]
    direction = (end - start) / np.linalg.norm(end - start)
    along, across = (segments - start) @ direction, (segments - start) @ np.array([-direction[1], direction[0]])
    near = np.flatnonzero(is_free & (np.abs(across) < LINE_WIDTH).all(1))
    near = near[np.argsort(along[near].min(1), kind="stable")]
    low, high = along[near].min(1), np.maximum.accumulate(along[near].max(1))
    breaks = np.flatnonzero(low[1:] - high[:-1] > max_gap) + 1
    return next(part.tolist() for part in np.split(near, breaks) if i in part)


def _points_along(start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"]) -> Points:
    """Return points about a pixel apart from one position to another."""
    count = int(np.linalg.norm(end - start)) + 1
    return start + np.linspace(0, 1, count)[:, None] * (end - start)


def find_contours(picture: Float32[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"] | None = None) -> list[Points]:
    """Return the pixels of the contours in a picture with values 0 to 1, cell by cell, those inside of the mask."""
    import cv2

    gray = _gray(picture)
    longer = max(gray.shape)
    edges = cv2.Canny(cv2.GaussianBlur(gray, (0, 0), longer / 768), *CANNY)
    if mask is not None:
        edges[~mask] = 0
    cell = max(4, round(CONTOUR_CELL * longer))
    edges[cell // 2 :: cell] = 0
    edges[:, cell // 2 :: cell] = 0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(edges, connectivity=8)
    is_long = stats[:count, cv2.CC_STAT_AREA] >= MIN_CONTOUR * longer
    is_long[0] = False
    rows, columns = np.nonzero(is_long[labels])
    order = np.argsort(labels[rows, columns], kind="stable")
    points = np.column_stack([columns, rows])[order] + 0.5
    starts = np.flatnonzero(np.diff(labels[rows, columns][order])) + 1
    return np.split(points, starts) if len(points) else []


def measure_bending(edges: list[Points], photo: View, cameras: Cameras) -> Float[np.ndarray, "L"]:
    """Return how far each edge is from straight in the worst of some cameras.

    It is the 90th percentile of the distances of its points from the straight line through them.
    """
    return _worst(edges, photo, cameras, lambda before, after: _distances_from_line(after))


def measure_wobble(contours: list[Points], photo: View, cameras: Cameras) -> Float[np.ndarray, "L"]:
    """Return how far each contour is deformed in the worst of some cameras.

    It is the 90th percentile of the distances of its points from where the best affine map would take them, as it does
    with the contour of a plane.
    """
    return _worst(contours, photo, cameras, _distances_from_affine)


def lengths_of(edges: list[Points]) -> Float[np.ndarray, "L"]:
    """Return the number of points of each edge, which are about a pixel apart."""
    return np.array([len(edge) for edge in edges], float)


def worst_tenth(values: Float[np.ndarray, "L"], lengths: Float[np.ndarray, "L"]) -> float:
    """Return the mean of the largest values, of those edges that make up a tenth of the total length."""
    order = np.argsort(-values)
    # Of the edge at which a tenth is reached, only a part counts.
    left = 0.1 * lengths.sum() - np.cumsum(lengths[order]) + lengths[order]
    weights = np.clip(left, 0, lengths[order])
    return float((weights * values[order]).sum() / weights.sum())


def _worst(
    edges: list[Points], photo: View, cameras: Cameras, distances: Callable[[Points, Points], np.ndarray]
) -> Float[np.ndarray, "L"]:
    """Return the largest 90th percentile, over the cameras, of the distances from each edge to each moved edge."""
    worst = np.zeros(len(edges))
    if not edges:
        return worst
    before = np.concatenate(edges)
    points = _lift(before, photo)
    starts = np.cumsum([len(edge) for edge in edges])[:-1]
    for i in range(len(cameras)):
        after = project(cameras.select([i]), points)[:, :2]
        for k, (here, there) in enumerate(zip(edges, np.split(after, starts), strict=True)):
            known = np.isfinite(there).all(1)
            if known.sum() > 0.5 * len(there):
                worst[k] = max(worst[k], float(np.percentile(distances(here[known], there[known]), 90)))
    return worst / max(photo.depth.shape)


def _lift(xy: Points, photo: View) -> Float[np.ndarray, "_ 3"]:
    """Return the points in the world that pixel positions show, of the nearest surface beside them; NaN for none."""
    import cv2

    size = 2 * max(1, round(FRONT_RADIUS * max(photo.depth.shape))) + 1
    surface = cv2.erode(np.where(photo.opaque, photo.depth, np.float32(np.inf)), np.ones((size, size), np.uint8))
    height, width = surface.shape
    columns, rows = np.clip(xy.astype(int), 0, (width - 1, height - 1)).T
    depth = surface[rows, columns].astype(np.float64)
    rays = np.column_stack([xy, np.ones(len(xy))]) @ np.linalg.inv(photo.camera.intrinsics[0].astype(np.float64)).T
    pose = photo.camera.world_from_cam[0].astype(np.float64)
    return (rays * np.where(np.isfinite(depth), depth, np.nan)[:, None]) @ pose[:3, :3].T + pose[:3, 3]


def _distances_from_line(points: Points) -> Float[np.ndarray, "_"]:
    """Return the distances of points from the best straight line through them."""
    centered = points - points.mean(0)
    across = np.linalg.svd(centered, full_matrices=False)[2][1]
    return np.abs(centered @ across)


def _distances_from_affine(before: Points, after: Points) -> Float[np.ndarray, "_"]:
    """Return the distances of moved points from where the best affine map takes them."""
    terms = np.column_stack([before - before.mean(0), np.ones(len(before))])
    # Points on a line determine no affine map; rcond takes the one that keeps what is across the line.
    motion = after - before
    fit = np.linalg.lstsq(terms, motion, rcond=1e-3)[0]
    return np.linalg.norm(motion - terms @ fit, axis=1)


def _gray(picture: Float32[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    """Return the grey levels of a picture."""
    import cv2

    return cv2.cvtColor(np.rint(255 * picture).astype(np.uint8), cv2.COLOR_RGB2GRAY)
