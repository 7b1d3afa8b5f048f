"""A visual hull carved from object masks.

Source: Laurentini, "The visual hull concept for silhouette-based image understanding", PAMI 1994.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64

from img2world.core.cameras import Cameras

GRID_SIZE = 40
"""Voxels along each side of the cube that is carved."""

MIN_VOXELS = 100
"""Fewer voxels are no hull."""

FRAMES_PER_MISS = 20
"""One in so many frames may not contain a voxel: masks of generated frames are not consistent to the pixel."""


def carve_hull(
    masks: Bool[np.ndarray, "V H W"],
    cameras: Cameras,
    *,
    bounds: tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]] | None = None,
    max_misses: int | None = None,
    hidden_behind: Float[np.ndarray, "V H W"] | None = None,
) -> Float64[np.ndarray, "N 3"]:
    """Return the centres of the voxels that nearly all masks contain: all but `max_misses`, or one in 20.

    The voxels lie between `bounds`, or in a cube around the origin. What is behind the depths `hidden_behind` no mask
    can show, so that it counts as inside.
    """
    height, width = masks.shape[1:]
    if bounds is None:
        # Masks say nothing about what no camera sees, so the cube is as large as the field of view at the origin.
        distances = np.linalg.norm(cameras.centers_in_world.astype(np.float64), axis=1)
        half = np.full(3, np.median(distances * 0.55 * max(height, width) / cameras.intrinsics[:, 0, 0]))
        bounds = (-half, half)
    if max_misses is None:
        max_misses = max(1, len(masks) // FRAMES_PER_MISS)
    axes = [np.linspace(low, high, GRID_SIZE) for low, high in zip(*bounds, strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    misses = np.zeros(len(voxels), np.int64)
    for i, mask in enumerate(masks):
        depth, xy, inside = cameras.project(i, voxels)
        column, row = np.floor(xy[inside]).astype(np.int64).T
        shown = mask[row, column]
        if hidden_behind is not None:
            shown |= depth[inside] > hidden_behind[i, row, column]
        inside[inside] = shown
        misses += ~inside
        # Most voxels are outside the first masks already.
        keep = misses <= max_misses
        voxels, misses = voxels[keep], misses[keep]
    return voxels
