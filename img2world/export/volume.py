"""Depth maps fused into a truncated signed distance on a grid, and the surface where it is zero."""

import numpy as np
from jaxtyping import Bool, Float32, Int32

from img2world.export.depth_maps import DepthMaps, signed_distances
from img2world.export.grids import Grid

COARSE = 4
"""Every fourth grid point finds the surface; only near it are all points evaluated."""

CHUNK = 1024
"""Cells evaluated at once: their arrays stay in the processor's cache."""


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
    maps: DepthMaps, grid: Grid, *, truncation: float, solid: bool
) -> tuple[Float32[np.ndarray, "X Y Z"], Bool[np.ndarray, "X Y Z"]]:
    """Return the truncated signed distance at each grid point and where it is known.

    `truncation` is in grid steps. Unknown points are inside a `solid` object, so that its surface closes; in a scene
    they are outside.
    """
    corners = tuple(-(-size // COARSE) + 1 for size in grid.shape)
    index = COARSE * np.indices(corners).reshape(3, -1).T
    coarse, known = (array.reshape(corners) for array in _evaluate(maps, grid, index, truncation + COARSE, solid))
    # One block of COARSE points per side for each cell, [X, Y, Z, COARSE, COARSE, COARSE].
    first, block = (slice(-1),) * 3, (COARSE,) * 3
    volume, seen = (np.tile(array[first][..., None, None, None], block) for array in (coarse, known))
    offsets = np.indices(block).reshape(3, -1).T
    for cells in _near_cells(coarse, known):
        index = (COARSE * cells[:, None] + offsets).reshape(-1, 3)
        distances, is_known = _evaluate(maps, grid, index, truncation, solid)
        volume[tuple(cells.T)], seen[tuple(cells.T)] = distances.reshape(-1, *block), is_known.reshape(-1, *block)
    x, y, z = grid.shape
    volume, seen = (array.transpose(0, 3, 1, 4, 2, 5) for array in (volume, seen))
    volume, seen = (array.reshape([COARSE * (size - 1) for size in corners])[:x, :y, :z] for array in (volume, seen))
    return np.ascontiguousarray(volume), np.ascontiguousarray(seen)


def _evaluate(
    maps: DepthMaps, grid: Grid, index: np.ndarray, truncation: float, solid: bool
) -> tuple[Float32[np.ndarray, "M"], Bool[np.ndarray, "M"]]:
    """Return the signed distance at some grid points, given a sign where it is unknown, and where it is known."""
    reach = (truncation * grid.pitch(index)).astype(np.float32)
    distances, weights = signed_distances(grid.to_world(index), reach, maps)
    distances[weights == 0] = -1 if solid else 1
    return distances, weights > 0


def _near_cells(coarse: Float32[np.ndarray, "X Y Z"], known: Bool[np.ndarray, "X Y Z"]) -> list[np.ndarray]:
    """List the cells near the surface, or with corners on both sides of it, in chunks [C, 3] of neighbours."""
    near, low, high = known & (np.abs(coarse) < 0.999), coarse.copy(), coarse.copy()
    for axis in range(3):
        source, target = [slice(None)] * 3, [slice(None)] * 3
        source[axis], target[axis] = slice(1, None), slice(None, -1)
        for array, combine in ((near, np.logical_or), (low, np.minimum), (high, np.maximum)):
            array[tuple(target)] = combine(array[tuple(target)], array[tuple(source)])
    cells = np.argwhere((near | ((low < 0) & (high > 0)))[:-1, :-1, :-1])
    # Points close to each other read the same lines of the depth maps, so compact chunks stay in the cache.
    order = np.lexsort((cells // COARSE).T)
    return [cells[order[i : i + CHUNK]] for i in range(0, len(order), CHUNK)]


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
