"""A visual hull carved from object masks.

Source: Laurentini, "The visual hull concept for silhouette-based image understanding", PAMI 1994.
"""

import numpy as np
from jaxtyping import Bool, Float64

from img2world.core.cameras import Cameras

GRID_SIZE = 40
"""Voxels along each side of the cube that is carved."""

FRAMES_PER_MISS = 20
"""One in so many frames may not contain a voxel: masks of generated frames are not consistent to the pixel."""


def carve_hull(masks: Bool[np.ndarray, "V H W"], cameras: Cameras) -> Float64[np.ndarray, "N 3"]:
    """Return the centres of the voxels that nearly all masks contain, in a cube around the origin."""
    height, width = masks.shape[1:]
    # Masks say nothing about what no camera sees, so the cube is as large as the field of view at the origin.
    distances = np.linalg.norm(cameras.centers_in_world.astype(np.float64), axis=1)
    half = float(np.median(distances * 0.55 * max(height, width) / cameras.intrinsics[:, 0, 0]))
    axis = np.linspace(-half, half, GRID_SIZE)
    voxels = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    misses = np.zeros(len(voxels), np.int64)
    for i, mask in enumerate(masks):
        _, xy, inside = cameras.project(i, voxels)
        column, row = np.floor(xy[inside]).astype(np.int64).T
        inside[inside] = mask[row, column]
        misses += ~inside
        # Most voxels are outside the first masks already.
        keep = misses <= max(1, len(masks) // FRAMES_PER_MISS)
        voxels, misses = voxels[keep], misses[keep]
    return voxels
