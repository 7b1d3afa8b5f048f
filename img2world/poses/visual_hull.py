"""A visual hull from outlines, which tells where to look for a point in the next frame.

Laurentini, "The visual hull concept for silhouette-based image understanding", PAMI 1994.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.poses.triangulation import Rig
from img2world.tracking.flow import Greys, Guide

CELLS = 40
"""Voxels along each side of the cube that is carved."""

COARSE = 4
"""Pixels of a cell of the guessed flow."""

MAY_MISS = 20
"""One in so many frames may leave a voxel out: outlines of generated frames do not agree to the pixel."""

LEAST_VOXELS = 100
"""A smaller hull tells nothing; then wider outlines are tried."""


def hull_guide(greys: Greys, rig: Rig, masks: Bool[np.ndarray, "V H W"]) -> Guide | None:
    """The flow between any two frames that the hull's surface would show; None without a hull.

    The rig is that of the frames as they came.
    """
    import cv2

    small = Rig(cam_from_world=rig.cam_from_world, focal=rig.focal * greys.scale, middle=rig.middle * greys.scale)
    for width in (3, 9):
        wide = np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((width, width), np.uint8)) > 0 for mask in masks])
        voxels = carve(wide, small)
        if len(voxels) >= LEAST_VOXELS:
            shape: tuple[int, int] = masks.shape[1:]
            return lambda i, j: _hull_flow(voxels, small, i, j, shape)
    return None


def carve(masks: Bool[np.ndarray, "V H W"], rig: Rig) -> Float64[np.ndarray, "N 3"]:
    """Middles of the voxels that nearly all outlines contain."""
    height, width = masks.shape[1:]
    # The outlines tell nothing of what no camera sees, so the cube is as large as the view at the origin.
    distance = np.linalg.norm(rig.centers, axis=1)
    half = float(np.median(distance * 0.55 * max(height, width) / rig.focal[:, 0]))
    line = np.linspace(-half, half, CELLS)
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    misses = np.zeros(len(grid), np.int64)
    for i, mask in enumerate(masks):
        column, row, _ = _pixels(grid, rig, i)
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        inside[inside] = mask[row[inside], column[inside]]
        misses += ~inside
    return grid[misses <= max(1, len(masks) // MAY_MISS)]


def _pixels(points: Float64[np.ndarray, "N 3"], rig: Rig, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, row and depth at which one camera sees points."""
    points_in_cam = points @ rig.rotations[i].T + rig.cam_from_world[i, :, 3]
    depth = np.maximum(points_in_cam[:, 2], 1e-3)
    column, row = (points_in_cam[:, :2] / depth[:, None] * rig.focal[i] + rig.middle[i]).T
    return np.floor(column).astype(np.int64), np.floor(row).astype(np.int64), depth


def _hull_flow(
    voxels: Float64[np.ndarray, "N 3"], rig: Rig, i: int, j: int, shape: tuple[int, int]
) -> Float32[np.ndarray, "H W 2"]:
    """Flow from frame i to j of the hull's surface, spread over the whole frame."""
    import cv2

    rows, columns = -(-shape[0] // COARSE), -(-shape[1] // COARSE)
    before, after = (
        points @ rig.rotations[k].T + rig.cam_from_world[k, :, 3] for k, points in ((i, voxels), (j, voxels))
    )
    start = before[:, :2] / np.maximum(before[:, 2:], 1e-3) * rig.focal[i] + rig.middle[i]
    end = after[:, :2] / np.maximum(after[:, 2:], 1e-3) * rig.focal[j] + rig.middle[j]
    # The nearest voxel of a cell comes last, and stays.
    order = np.argsort(-before[:, 2], kind="stable")
    column = np.clip(start[order, 0] / COARSE, 0, columns - 1).astype(np.int64)
    row = np.clip(start[order, 1] / COARSE, 0, rows - 1).astype(np.int64)
    flow, known = np.zeros((rows, columns, 2), np.float32), np.zeros((rows, columns), np.float32)
    flow[row, column] = (end - start)[order]
    known[row, column] = 1
    while not known.all():
        total = cv2.blur(flow * known[..., None], (3, 3))
        weight = cv2.blur(known, (3, 3))
        new = (known == 0) & (weight > 0)
        flow[new] = total[new] / weight[new][:, None]
        known[new] = 1
    return cv2.resize(cv2.medianBlur(flow, 3), (shape[1], shape[0]))
