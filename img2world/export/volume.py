"""Depth of many views fused into a signed distance on a grid, and the surface where it is zero.

Source: Curless and Levoy 1996, "A Volumetric Method for Building Complex Models from Range Images".
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from img2world.core.cameras import Cameras
from img2world.core.checks import check_shapes
from img2world.core.conventions import NEAR
from img2world.export.grids import Grid

CHUNK = 1 << 15
"""Grid points worked on at once: their arrays stay in the processor's cache."""

COARSE = 4
"""Only near the surface that is found on every fourth point are all points looked at."""

MAX_BEND = 0.02
"""Second difference of inverse depth, relative to it, above which a pixel mixes two surfaces."""

EMPTY_TRUST = 0.5
"""Weight of a pixel that sees nothing, against one that sees a surface frontally."""


@dataclass(frozen=True, kw_only=True)
class DepthViews:
    """Pictures whose pixels tell how far the first opaque surface is, or that there is none."""

    cameras: Cameras
    rgb: Float32[np.ndarray, "V H W 3"]
    """Of the surface alone, nothing of the background mixed in."""
    depth: Float32[np.ndarray, "V H W"]
    """Along +Z, 0 where it is not to be trusted."""
    empty: Bool[np.ndarray, "V H W"]
    """Where nothing is in the way."""
    weights: Float32[np.ndarray, "V"]
    """Trust in each view."""

    def __post_init__(self) -> None:
        check_shapes(
            rgb=(self.rgb, "V H W 3"),
            depth=(self.depth, "V H W"),
            empty=(self.empty, "V H W"),
            weights=(self.weights, "V"),
        )

    def __len__(self) -> int:
        return len(self.depth)

    def select(self, index: np.ndarray) -> "DepthViews":
        """Some of the views."""
        return DepthViews(
            cameras=self.cameras.select(index),
            rgb=self.rgb[index],
            depth=self.depth[index],
            empty=self.empty[index],
            weights=self.weights[index],
        )

    def points(self, i: int, *, stride: int = 1, towards: float = 0.0) -> Float64[np.ndarray, "M 3"]:
        """Places in the world of view i's pixels whose depth is known, moved `towards` the camera by that much.

        With a stride only every so many pixels in x and y. They come row by row.
        """
        intrinsics, pose = (
            array[i].astype(np.float64) for array in (self.cameras.intrinsics, self.cameras.world_from_cam)
        )
        depth = self.depth[i, ::stride, ::stride].astype(np.float64)
        row, column = np.nonzero(depth > 0)
        x = (stride * column + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
        y = (stride * row + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
        rays = np.stack([x, y, np.ones_like(x)], -1)
        lengths = depth[row, column] - towards / np.linalg.norm(rays, axis=1)
        return lengths[:, None] * rays @ pose[:3, :3].T + pose[:3, 3]

    @cached_property
    def maps(self) -> tuple[Float32[np.ndarray, "V P"], Float32[np.ndarray, "V P"]]:
        """Depth and trust of all pixels of each view, row by row, with a border of one unknown pixel around.

        Depth is infinite where nothing is in the way and minus infinite where nothing is known, so that
        the fusion needs no cases. Trust turns depth into distance from the surface's plane: it is the
        cosine of incidence times the ray's length.
        """
        tilts = np.stack([_tilt(self.depth[i], self.cameras.intrinsics[i]) for i in range(len(self))])
        depth = np.where(self.empty, np.float32(np.inf), np.where(self.depth > 0, self.depth, np.float32(-np.inf)))
        trust = np.where(self.empty, np.float32(EMPTY_TRUST), np.maximum(tilts, np.float32(1e-3)))
        border = ((0, 0), (1, 1), (1, 1))
        depth, trust = np.pad(depth, border, constant_values=-np.inf), np.pad(trust, border, constant_values=1)
        return depth.reshape(len(self), -1), trust.reshape(len(self), -1)

    def distance_behind(self, axes: Float32[np.ndarray, "3 M"], i: int) -> Float32[np.ndarray, "M"]:
        """How far the surface that view i sees is behind each point; infinite where none is known."""
        pixels, z = project_to_pixels(axes, self.cameras, i)
        depth, trust = (array[i].take(pixels) for array in self.maps)
        return np.where(z > NEAR, (depth - z) * trust, np.float32(np.inf))


def depth_views(
    rgb: Float32[np.ndarray, "V H W 3"],
    alpha: Float32[np.ndarray, "V H W"],
    depth: Float32[np.ndarray, "V H W"],
    *,
    cameras: Cameras,
    weights: Float32[np.ndarray, "V"],
) -> DepthViews:
    """Keep the depth of opaque pixels that do not straddle an edge.

    `rgb` must have been rendered before black, so that dividing by alpha leaves the surface's colour.
    """
    import cv2

    opaque = alpha > 0.5
    kept, empty, smooth = np.zeros_like(opaque), np.zeros_like(opaque), np.zeros_like(depth)
    for i in range(len(depth)):
        # One sees through single gaps between Gaussians; the median of the neighbours closes them.
        smooth[i] = cv2.medianBlur(np.where(opaque[i], depth[i], 0).astype(np.float32), 5)
        kept[i] = opaque[i] & ~_straddles(smooth[i], opaque[i])
        empty[i] = _shrunk(~opaque[i])
    return DepthViews(
        cameras=cameras,
        rgb=(rgb / np.maximum(alpha, 1e-3)[..., None]).clip(0, 1),
        depth=np.where(kept, smooth, np.float32(0)),
        empty=empty,
        weights=weights,
    )


def _shrunk(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The mask without its border pixels."""
    import cv2

    return cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _straddles(depth: Float32[np.ndarray, "H W"], opaque: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels at the border of what is opaque, or where the surface is bent too much to be one."""
    import cv2

    # A plane's inverse depth is linear in the picture, however much the plane is tilted.
    inverse = np.where(opaque, 1 / np.maximum(depth, NEAR), 0).astype(np.float32)
    padded = np.pad(inverse, 1, mode="edge")
    bend_x = np.abs(padded[1:-1, 2:] - 2 * inverse + padded[1:-1, :-2])
    bend_y = np.abs(padded[2:, 1:-1] - 2 * inverse + padded[:-2, 1:-1])
    bent = np.maximum(bend_x, bend_y) > MAX_BEND * np.maximum(inverse, 1e-6)
    return cv2.dilate(bent.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _tilt(depth: Float32[np.ndarray, "H W"], intrinsics: Float32[np.ndarray, "3 3"]) -> Float32[np.ndarray, "H W"]:
    """Inverse depth w over the length of the plane's normal, which is (dw/dx, dw/dy, w - x dw/dx - y dw/dy)."""
    import cv2

    known = (depth > 0).astype(np.float32)
    inverse = np.where(depth > 0, 1 / np.maximum(depth, NEAR), 0).astype(np.float32)
    smooth = cv2.GaussianBlur(inverse, (0, 0), 1.5) / np.maximum(cv2.GaussianBlur(known, (0, 0), 1.5), 1e-3)
    slope_x = np.gradient(smooth, axis=1) * intrinsics[0, 0]
    slope_y = np.gradient(smooth, axis=0) * intrinsics[1, 1]
    x = (np.arange(depth.shape[1]) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(depth.shape[0]) + 0.5 - intrinsics[1, 2])[:, None] / intrinsics[1, 1]
    normal_length = np.sqrt(slope_x**2 + slope_y**2 + (smooth - x * slope_x - y * slope_y) ** 2)
    return (known * smooth / np.maximum(normal_length, 1e-9)).astype(np.float32)


def without_inner_sides(views: DepthViews, outer: Bool[np.ndarray, "V"], reach: float) -> DepthViews:
    """The views without pixels of the others than the `outer` ones that look into something hollow.

    There the place `reach` before the surface is inside for the outer views, which all see something else
    in front of it.
    """
    trusted, depth = views.select(outer), views.depth.copy()
    for i in np.flatnonzero(~outer):
        before = views.points(int(i), towards=reach)
        distances, weights = signed_distances(before, np.full(len(before), reach, np.float32), trusted)
        known = depth[i] > 0
        depth[i][known] *= (distances > 0) & (weights > 0)
    return replace(views, depth=depth)


def signed_distances(
    points: Float64[np.ndarray, "M 3"], truncation: Float32[np.ndarray, "M"], views: DepthViews
) -> tuple[Float32[np.ndarray, "M"], Float32[np.ndarray, "M"]]:
    """Distance to the surface over `truncation`, -1 (behind) to 1 (in front), and how much it is known.

    Points that every view sees something far in front of have weight 0.
    """
    from img2world.render.extension import num_threads

    axes = np.ascontiguousarray(points.T, np.float32)
    distances, weights = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
    views.maps  # noqa: B018 - made once, before the threads

    def add_views(start: int) -> None:
        rows = slice(start, start + CHUNK)
        for i in range(len(views)):
            _add_view(axes[:, rows], truncation[rows], views, i, distances[rows], weights[rows])

    with ThreadPoolExecutor(num_threads()) as pool:
        # The list raises what a thread raised.
        list(pool.map(add_views, range(0, len(points), CHUNK)))
    return distances / np.maximum(weights, 1e-9), weights


def _add_view(
    axes: Float32[np.ndarray, "3 M"],
    truncation: Float32[np.ndarray, "M"],
    views: DepthViews,
    i: int,
    distances: Float32[np.ndarray, "M"],
    weights: Float32[np.ndarray, "M"],
) -> None:
    """Add what one view says to the sums of distances and weights."""
    pixels, z = project_to_pixels(axes, views.cameras, i)
    depth, trust = (array[i].take(pixels) for array in views.maps)
    distance = (depth - z) * trust / truncation
    # What is seen at a glancing angle is placed badly, hence trust.
    weight = views.weights[i] * trust * ((distance > -1) & (z > NEAR))
    distances += weight * np.clip(distance, -1, 1)
    weights += weight


def project_to_pixels(
    axes: Float32[np.ndarray, "3 M"], cameras: Cameras, i: int
) -> tuple[Int32[np.ndarray, "M"], Float32[np.ndarray, "M"]]:
    """Number of the pixel that holds each point in camera i's padded maps, and the point's depth."""
    cam_from_world, intrinsics = cameras.cam_from_world[i], cameras.intrinsics[i]
    # Written out: BLAS is slow on such thin matrices, and its rounding depends on the machine.
    x, y, z = (row[0] * axes[0] + row[1] * axes[1] + row[2] * axes[2] + row[3] for row in cam_from_world[:3])
    inverse = 1 / np.maximum(z, np.float32(NEAR))
    column = np.floor(x * inverse * intrinsics[0, 0] + (intrinsics[0, 2] + 1)).clip(0, cameras.width + 1)
    row = np.floor(y * inverse * intrinsics[1, 1] + (intrinsics[1, 2] + 1)).clip(0, cameras.height + 1)
    return (row * (cameras.width + 2) + column).astype(np.int32), z


def smoothed(
    volume: Float32[np.ndarray, "X Y Z"], seen: Bool[np.ndarray, "X Y Z"], sigma: float, *, solid: bool
) -> Float32[np.ndarray, "X Y Z"]:
    """The volume without noise finer than `sigma` grid steps; what is not known takes no part, unless solid."""
    from scipy.ndimage import gaussian_filter

    if sigma <= 0:
        return volume
    if solid:
        return gaussian_filter(volume, sigma, truncate=3)
    share = gaussian_filter(seen.astype(np.float32), sigma, truncate=3)
    mean = gaussian_filter(np.where(seen, volume, np.float32(0)), sigma, truncate=3) / np.maximum(share, 1e-6)
    return np.where(seen, mean, volume)


def fuse(
    views: DepthViews, grid: Grid, *, truncation: float, solid: bool
) -> tuple[Float32[np.ndarray, "X Y Z"], Bool[np.ndarray, "X Y Z"]]:
    """Truncated signed distance at each point of the grid, and where it is known.

    `truncation` is in grid steps. Where nothing is known a `solid` thing is inside, so that its
    surface closes; otherwise there is no surface.
    """
    coarse_shape = tuple(-(-size // COARSE) + 1 for size in grid.shape)
    index = COARSE * np.indices(coarse_shape).reshape(3, -1).T
    distances, weights = _filled(views, grid, index, truncation + COARSE, solid)
    coarse, known = distances.reshape(coarse_shape), (weights > 0).reshape(coarse_shape)
    near = _cells_near_surface(coarse, known)
    blocks = np.ix_(*(np.arange(size) // COARSE for size in grid.shape))
    volume, seen = coarse[blocks], known[blocks]
    fine = np.flatnonzero(near[blocks])
    index = np.stack(np.unravel_index(fine, grid.shape), -1)
    distances, weights = _filled(views, grid, index, truncation, solid)
    volume.reshape(-1)[fine], seen.reshape(-1)[fine] = distances, weights > 0
    return volume, seen


def _filled(
    views: DepthViews, grid: Grid, index: np.ndarray, truncation: float, solid: bool
) -> tuple[Float32[np.ndarray, "M"], Float32[np.ndarray, "M"]]:
    """Distances and weights at some of the grid's points, with a sign where nothing is known, too."""
    reach = (truncation * grid.pitch(index)).astype(np.float32)
    distances, weights = signed_distances(grid.to_world(index), reach, views)
    distances[weights == 0] = -1 if solid else 1
    return distances, weights


def _cells_near_surface(
    coarse: Float32[np.ndarray, "X Y Z"], known: Bool[np.ndarray, "X Y Z"]
) -> Bool[np.ndarray, "X Y Z"]:
    """Coarse cells, named by their first corner, with a corner near the surface or corners on both its sides."""
    near, low, high = known & (np.abs(coarse) < 0.999), coarse.copy(), coarse.copy()
    for axis in range(3):
        source, target = [slice(None)] * 3, [slice(None)] * 3
        source[axis], target[axis] = slice(1, None), slice(None, -1)
        for array, combine in ((near, np.logical_or), (low, np.minimum), (high, np.maximum)):
            array[tuple(target)] = combine(array[tuple(target)], array[tuple(source)])
    return near | ((low < 0) & (high > 0))


def extract_surface(
    volume: Float32[np.ndarray, "X Y Z"], seen: Bool[np.ndarray, "X Y Z"], *, solid: bool
) -> tuple[Float32[np.ndarray, "M 3"], Int32[np.ndarray, "F 3"]]:
    """Vertices in grid indices and faces of the zero surface; none where the volume has one sign only.

    A solid's surface is closed; otherwise it ends where the grid's cells are not known at all corners.
    """
    from skimage.measure import marching_cubes

    if solid:
        # The border of the grid is outside, or a surface that touches it would stay open.
        for axis in range(3):
            np.moveaxis(volume, axis, 0)[[0, -1]] = 1
    low, high, cells = volume[:-1, :-1, :-1].copy(), volume[:-1, :-1, :-1].copy(), seen[:-1, :-1, :-1].copy()
    for corner in np.ndindex(2, 2, 2):
        part = tuple(slice(c, c + size - 1) for c, size in zip(corner, seen.shape, strict=True))
        np.minimum(low, volume[part], out=low)
        np.maximum(high, volume[part], out=high)
        cells &= seen[part]
    used = cells | solid
    if not (used & (low < 0) & (high > 0)).any():
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.int32)
    # scikit-image looks a cell up at its last corner.
    mask = None if solid else np.pad(cells, ((1, 0), (1, 0), (1, 0)))
    vertices, faces, _, _ = marching_cubes(volume, 0.0, mask=mask, allow_degenerate=False)
    return vertices.astype(np.float32), faces.astype(np.int32)
