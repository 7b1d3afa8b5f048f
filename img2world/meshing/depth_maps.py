"""Depth maps rendered from many views, and the distances and colours of points that follow from them.

Source: Curless and Levoy 1996, "A Volumetric Method for Building Complex Models from Range Images".
"""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from img2world.core.cameras import Cameras
from img2world.core.checks import check_shapes
from img2world.core.conventions import NEAR
from img2world.core.progress import Progress, silent
from img2world.render.extension import native_module, num_threads, simd_level

MAX_BEND = 0.02
"""Second difference of inverse depth, relative to it, above which a pixel mixes two surfaces."""

SNAP_RADIUS = 3
"""Pixels within which a pixel that mixes two surfaces has a reliable one of each."""

MAX_STEP = 1.05
"""Ratio of depths within SNAP_RADIUS above which they belong to two surfaces."""

EMPTY_TILT = 0.5
"""Weight of a pixel that sees nothing, relative to one that sees a surface from the front."""

MAX_PENDING = 8
"""Rendered views that may wait to be processed."""


@dataclass(frozen=True, kw_only=True)
class DepthMaps:
    """Depth and colour of the nearest opaque surface in each view."""

    cameras: Cameras
    rgba: UInt8[np.ndarray, "V H W 4"]
    """sRGB premultiplied by alpha, and alpha."""
    depth: Float32[np.ndarray, "V H W"]
    """Along +Z in world units: 0 where it is unknown or unreliable, infinite where nothing is hit."""
    tilt: Float32[np.ndarray, "V H W"]
    """Distance to the surface's tangent plane per unit of depth: the cosine of incidence times the length of the ray
    to z = 1. It is also the weight of a pixel, since a surface seen at a grazing angle is located badly."""
    weights: Float32[np.ndarray, "V"]
    """Weight of each view; a view of weight 0 is ignored."""

    def __post_init__(self) -> None:
        check_shapes(
            rgba=(self.rgba, "V H W 4"),
            depth=(self.depth, "V H W"),
            tilt=(self.tilt, "V H W"),
            weights=(self.weights, "V"),
        )

    def __len__(self) -> int:
        return len(self.depth)

    def is_hit(self, i: int) -> Bool[np.ndarray, "H W"]:
        """Return where view i has the depth of a surface."""
        return (self.depth[i] > 0) & (self.depth[i] < np.inf)

    def surface_points(self, i: int, *, stride: int = 1, towards: float = 0.0) -> Float64[np.ndarray, "M 3"]:
        """Return the world positions of view i's depths, in row-major order, moved `towards` the camera.

        With a stride only every n-th pixel in x and y is used.
        """
        intrinsics, pose = (
            array[i].astype(np.float64) for array in (self.cameras.intrinsics, self.cameras.world_from_cam)
        )
        row, column = np.nonzero(self.is_hit(i)[::stride, ::stride])
        x = (stride * column + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
        y = (stride * row + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
        rays = np.stack([x, y, np.ones_like(x)], -1)
        depths = self.depth[i, stride * row, stride * column] - towards / np.linalg.norm(rays, axis=1)
        return depths[:, None] * rays @ pose[:3, :3].T + pose[:3, 3]

    def native(self) -> Any:
        """Return the maps as the native module takes them."""
        cameras = (self.cameras.cam_from_world, self.cameras.intrinsics)
        arrays = map(np.ascontiguousarray, (*cameras, self.depth, self.tilt, self.weights))
        return native_module().DepthMaps(*arrays)


RenderedView = tuple[Float32[np.ndarray, "H W 3"], Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]


def depth_maps(
    views: Iterable[RenderedView],
    *,
    cameras: Cameras,
    weights: Float32[np.ndarray, "V"],
    progress: Progress = silent,
) -> DepthMaps:
    """Keep the depth of opaque pixels; at a discontinuity, that of one of its sides.

    `views` yields rgb rendered on black, alpha and depth for each camera. It is consumed as fast as its views are
    processed, so that few of them are in memory at once.
    """
    shape = (len(cameras), cameras.height, cameras.width)
    rgba, depth, tilt = np.empty((*shape, 4), np.uint8), np.empty(shape, np.float32), np.empty(shape, np.float32)

    def add(i: int, view: RenderedView) -> None:
        rgba[i] = np.rint(255 * np.dstack(view[:2]))
        depth[i], tilt[i] = _reliable_depth(view[1], view[2], cameras.intrinsics[i])

    with ThreadPoolExecutor(num_threads()) as pool:
        pending = deque()
        for i, view in enumerate(views):
            pending.append(pool.submit(add, i, view))
            if len(pending) > MAX_PENDING:
                pending.popleft().result()
            progress(i + 1, len(cameras))
        for future in pending:
            future.result()
    return DepthMaps(cameras=cameras, rgba=rgba, depth=depth, tilt=tilt, weights=weights)


def _reliable_depth(
    alpha: Float32[np.ndarray, "H W"], depth: Float32[np.ndarray, "H W"], intrinsics: Float32[np.ndarray, "3 3"]
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Return `DepthMaps.depth` and `DepthMaps.tilt` of one view."""
    import cv2

    opaque = alpha > 0.5
    # The median closes single-pixel gaps between Gaussians.
    smooth = cv2.medianBlur(np.where(opaque, depth, np.float32(0)), 5)
    reliable = opaque & ~_straddles_edge(smooth, opaque)
    smooth = np.where(reliable, smooth, _snap_to_sides(depth, smooth, reliable) * opaque)
    tilt = np.where(opaque, _tilt(smooth, intrinsics), np.float32(EMPTY_TILT))
    return np.where(opaque, smooth, np.float32(np.inf)), tilt


def _snap_to_sides(
    depth: Float32[np.ndarray, "H W"], smooth: Float32[np.ndarray, "H W"], reliable: Bool[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W"]:
    """Return the depth within that of the reliable pixels nearby, 0 where there are none.

    Where these belong to two surfaces, it is the depth of the one that the pixel shows more of.
    """
    import cv2

    window = np.ones((2 * SNAP_RADIUS + 1,) * 2, np.uint8)
    low = cv2.erode(np.where(reliable, smooth, np.float32(np.inf)), window)
    high = cv2.dilate(np.where(reliable, smooth, np.float32(0)), window)
    inside = depth.clip(low, np.maximum(high, low))
    nearer = 1 / np.maximum(inside, NEAR) > (1 / np.maximum(low, NEAR) + 1 / np.maximum(high, NEAR)) / 2
    snapped = np.where(low < high / MAX_STEP, np.where(nearer, low, high), inside)
    return np.where(high > 0, snapped, np.float32(0))


def _straddles_edge(depth: Float32[np.ndarray, "H W"], opaque: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the pixels at the silhouette and those where the depth bends too sharply for one surface."""
    import cv2

    # The inverse depth of a plane is linear in the image, however much the plane is tilted.
    inverse = np.where(opaque, 1 / np.maximum(depth, NEAR), 0).astype(np.float32)
    padded = np.pad(inverse, 1, mode="edge")
    bend_x = np.abs(padded[1:-1, 2:] - 2 * inverse + padded[1:-1, :-2])
    bend_y = np.abs(padded[2:, 1:-1] - 2 * inverse + padded[:-2, 1:-1])
    bent = np.maximum(bend_x, bend_y) > MAX_BEND * np.maximum(inverse, 1e-6)
    return cv2.dilate(bent.view(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _tilt(depth: Float32[np.ndarray, "H W"], intrinsics: Float32[np.ndarray, "3 3"]) -> Float32[np.ndarray, "H W"]:
    """Return `DepthMaps.tilt` of one view, at least 0.001.

    For inverse depth w it is w over the length of the plane's normal (dw/dx, dw/dy, w - x dw/dx - y dw/dy).
    """
    import cv2

    known = (depth > 0).astype(np.float32)
    inverse = np.where(depth > 0, 1 / np.maximum(depth, NEAR), 0).astype(np.float32)
    smooth = cv2.GaussianBlur(inverse, (0, 0), 1.5) / np.maximum(cv2.GaussianBlur(known, (0, 0), 1.5), 1e-3)
    slope_x = np.gradient(smooth, axis=1) * intrinsics[0, 0]
    slope_y = np.gradient(smooth, axis=0) * intrinsics[1, 1]
    x = (np.arange(depth.shape[1], dtype=np.float32) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(depth.shape[0], dtype=np.float32) + 0.5 - intrinsics[1, 2])[:, None] / intrinsics[1, 1]
    normal_length = np.sqrt(slope_x**2 + slope_y**2 + (smooth - x * slope_x - y * slope_y) ** 2)
    return np.maximum(known * smooth / np.maximum(normal_length, 1e-9), np.float32(1e-3))


def remove_inner_surfaces(maps: DepthMaps, keeps_hollows: Bool[np.ndarray, "V"], reach: float) -> DepthMaps:
    """Forget what views that do not keep hollows see inside a hollow, so that it is closed.

    A pixel is dropped when the point `reach` in front of its surface lies behind the surface in all the other views.
    """
    others, depth = replace(maps, weights=np.where(keeps_hollows, maps.weights, np.float32(0))), maps.depth.copy()
    for i in np.flatnonzero(~keeps_hollows).tolist():
        points = maps.surface_points(i, towards=reach)
        distances, weights = signed_distances(points, np.full(len(points), reach, np.float32), others)
        depth[i][maps.is_hit(i)] *= (distances > 0) & (weights > 0)
    return replace(maps, depth=depth)


def signed_distances(
    points: Float64[np.ndarray, "M 3"], truncation: Float32[np.ndarray, "M"], maps: DepthMaps
) -> tuple[Float32[np.ndarray, "M"], Float32[np.ndarray, "M"]]:
    """Return the mean distance to the surface over `truncation`, -1 (behind) to 1 (in front), and its weight.

    Points that lie farther than the truncation behind the surface in all views have weight 0.
    """
    axes = np.ascontiguousarray(points.T, np.float32)
    distances, weights = np.empty(len(points), np.float32), np.empty(len(points), np.float32)
    native_module().fuse_points(simd_level(), num_threads(), maps.native(), axes, truncation, distances, weights)
    return distances, weights


def surface_colors(
    points: Float64[np.ndarray, "M 3"],
    normals: Float64[np.ndarray, "M 3"],
    tolerance: Float32[np.ndarray, "M"],
    maps: DepthMaps,
    *,
    min_cosine: float = 0.0,
) -> tuple[Float32[np.ndarray, "M 3"], Float32[np.ndarray, "M"]]:
    """Return the mean colour of surface points, sRGB 0 to 1, and its weight; 0 where no view sees the point.

    A view sees a point when the cosine of incidence is above `min_cosine` and the surface of its depth map is less
    than `tolerance` away. Views count by the fourth power of the cosine.
    """
    axes, normal_axes = (np.ascontiguousarray(array.T, np.float32) for array in (points, normals))
    colors, weights = np.empty((3, len(points)), np.float32), np.empty(len(points), np.float32)
    pixels = np.ascontiguousarray(maps.rgba).view("<u4")[..., 0]
    native_module().color_points(
        *(simd_level(), num_threads(), maps.native(), pixels),
        *(axes, normal_axes, tolerance, min_cosine, colors, weights),
    )
    return colors.T, weights
