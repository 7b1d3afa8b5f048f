"""Fusion of depth maps into a truncated signed distance on a grid, and its zero surface."""

import numpy as np
from jaxtyping import Bool, Float32, Int32

from img2world.meshing.depth_maps import DepthMaps, signed_distances
from img2world.meshing.grids import Grid

COARSE = 4
"""Stride of the coarse pass over the grid; only cells near the surface it finds are evaluated at every point."""

CHUNK = 1024
"""Coarse cells evaluated at once; their arrays fit in the cache."""


def smooth_volume(
    volume: Float32[np.ndarray, "X Y Z"], seen: Bool[np.ndarray, "X Y Z"], sigma: float, *, solid: bool
) -> Float32[np.ndarray, "X Y Z"]:
    """Blur the volume by a Gaussian of `sigma` grid steps; unless it is solid, unseen points do not contribute."""
    from scipy.ndimage import gaussian_filter

    if solid:
        return gaussian_filter(volume, sigma, truncate=3)
    fraction = gaussian_filter(seen.astype(np.float32), sigma, truncate=3)
    mean = gaussian_filter(np.where(seen, volume, np.float32(0)), sigma, truncate=3) / np.maximum(fraction, 1e-6)
    return np.where(seen, mean, volume)


def fuse(
    maps: DepthMaps, grid: Grid, *, truncation: float, solid: bool
) -> tuple[Float32[np.ndarray, "X Y Z"], Bool[np.ndarray, "X Y Z"]]:
    """Return the truncated signed distance at each grid point, and which points are seen.

    `truncation` is in grid steps. Unseen points count as inside where the surface is to be closed (`solid`), otherwise
    as outside.
    """
    corners = tuple(-(-size // COARSE) + 1 for size in grid.shape)
    index = COARSE * np.indices(corners).reshape(3, -1).T
    coarse, coarse_seen = (array.reshape(corners) for array in _evaluate(maps, grid, index, truncation + COARSE, solid))
    # One block of COARSE points per side for each cell, [X, Y, Z, COARSE, COARSE, COARSE].
    first, block = (slice(-1),) * 3, (COARSE,) * 3
    volume, seen = (np.tile(array[first][..., None, None, None], block) for array in (coarse, coarse_seen))
    offsets = np.indices(block).reshape(3, -1).T
    for cells in _near_cells(coarse, coarse_seen):
        index = (COARSE * cells[:, None] + offsets).reshape(-1, 3)
        parts = _evaluate(maps, grid, index, truncation, solid)
        volume[tuple(cells.T)], seen[tuple(cells.T)] = (part.reshape(-1, *block) for part in parts)
    x, y, z = grid.shape
    volume, seen = (array.transpose(0, 3, 1, 4, 2, 5) for array in (volume, seen))
    volume, seen = (array.reshape([COARSE * (size - 1) for size in corners])[:x, :y, :z] for array in (volume, seen))
    return np.ascontiguousarray(volume), np.ascontiguousarray(seen)


def _evaluate(
    maps: DepthMaps, grid: Grid, index: np.ndarray, truncation: float, solid: bool
) -> tuple[Float32[np.ndarray, "M"], Bool[np.ndarray, "M"]]:
    """Return the signed distances at grid indices [M, 3], filled in where unseen, and which points are seen."""
    reach = (truncation * grid.pitch(index)).astype(np.float32)
    distances, weights = signed_distances(grid.to_world(index), reach, maps)
    distances[weights == 0] = -1 if solid else 1
    return distances, weights > 0


def _near_cells(coarse: Float32[np.ndarray, "X Y Z"], seen: Bool[np.ndarray, "X Y Z"]) -> list[np.ndarray]:
    """Return the coarse cells near the surface or crossed by it, as chunks [C, 3] of neighbouring cells."""
    near, low, high = seen & (np.abs(coarse) < 0.999), coarse.copy(), coarse.copy()
    for axis in range(3):
        source, target = [slice(None)] * 3, [slice(None)] * 3
        source[axis], target[axis] = slice(1, None), slice(None, -1)
        for array, combine in ((near, np.logical_or), (low, np.minimum), (high, np.maximum)):
            array[tuple(target)] = combine(array[tuple(target)], array[tuple(source)])
    cells = np.argwhere((near | ((low < 0) & (high > 0)))[:-1, :-1, :-1])
    # Neighbouring points read the same cache lines of the depth maps.
    order = np.lexsort((cells // COARSE).T)
    return [cells[order[i : i + CHUNK]] for i in range(0, len(order), CHUNK)]


def extract_surface(
    volume: Float32[np.ndarray, "X Y Z"], seen: Bool[np.ndarray, "X Y Z"], *, solid: bool
) -> tuple[Float32[np.ndarray, "M 3"], Int32[np.ndarray, "F 3"]]:
    """Return the vertices, in grid indices, and the faces of the zero surface, which may be empty.

    The surface of a solid is closed; any other ends where a corner of a grid cell is unseen.
    """
    from skimage.measure import marching_cubes

    if solid:
        # With the border of the grid outside, a surface that touches it is closed.
        for axis in range(3):
            np.moveaxis(volume, axis, 0)[[0, -1]] = 1
    nothing = np.empty((0, 3), np.float32), np.empty((0, 3), np.int32)
    if not volume.min() < 0 < volume.max():
        return nothing
    try:
        mask = None if solid else _seen_cells(seen)
        vertices, faces, _, _ = marching_cubes(volume, 0.0, mask=mask, allow_degenerate=False)
    except RuntimeError:  # The surface crosses no cell of the mask.
        return nothing
    return vertices.astype(np.float32), faces.astype(np.int32)


def _seen_cells(seen: Bool[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X Y Z"]:
    """Return the cells whose corners are all seen, each at its last corner, where scikit-image looks it up."""
    cells = np.zeros_like(seen)
    cells[1:, 1:, 1:] = True
    for corner in np.ndindex(2, 2, 2):
        first = tuple(slice(c, c + size - 1) for c, size in zip(corner, seen.shape, strict=True))
        cells[1:, 1:, 1:] &= seen[first]
    return cells
