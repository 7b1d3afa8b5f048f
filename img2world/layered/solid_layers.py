"""A thing of a simple shape as two surfaces: the photo on the side that it shows, all of it in its colours behind."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.inpaint import fill_smooth, nearest_known
from img2world.layered.layers import INVENTED, SEEN, Layer, grid_faces, layer_from_depth, layer_of_grid
from img2world.layered.solids import Solid, sampled
from img2world.layered.symmetry import GRAZING
from img2world.layered.texture_baking import facing

ROWS, COLUMNS = 192, 257
"""Of the surface's grid and of its texture: from bottom to top, and once around."""

SUNK = 0.01
"""By how much the whole shape lies behind the photo where both show the same, relative to its distance."""

SIDES = 8
"""Columns of the photo's two sides whose mean goes on behind."""


def solid_layers(
    shape: Solid, rgb: Float32[np.ndarray, "S S 3"], alpha: Float32[np.ndarray, "S S"], camera: Cameras
) -> tuple[Layer, Layer]:
    """The photo `rgb`, cut out by `alpha`, on the shape, and all of the shape."""
    points = shape.surface(ROWS, COLUMNS)
    # As of every object the middle of its depths is 1 unit away; seen from the camera nothing changes.
    points = points * (INPUT_DISTANCE / (0.5 * (points[..., 2].min() + points[..., 2].max())))
    depth, hit = depth_of(points, camera)
    _, rows, columns = nearest_known(hit)
    depth = depth[rows, columns]
    front = layer_from_depth(camera, depth, rgb, np.full(alpha.shape, SEEN, np.uint8), alpha=alpha)
    visible = shown(points, depth, alpha, camera)
    return front, whole(points, visible, colors_around(points, visible, rgb, camera), camera)


def depth_of(
    points: Float64[np.ndarray, "R C 3"], camera: Cameras
) -> tuple[Float32[np.ndarray, "S S"], Bool[np.ndarray, "S S"]]:
    """Depth of the grid's nearest surface, and where there is one."""
    from img2world.render.triangles import rasterize_triangles

    vertices = points.reshape(-1, 3).astype(np.float32)
    faces = grid_faces(np.ones(points.shape[:2], bool))
    hits = rasterize_triangles(vertices, faces, np.ones(len(vertices), np.float32), camera)
    return hits.depth, hits.face >= 0


def shown(
    points: Float64[np.ndarray, "R C 3"],
    depth: Float32[np.ndarray, "S S"],
    alpha: Float32[np.ndarray, "S S"],
    camera: Cameras,
) -> Bool[np.ndarray, "R C"]:
    """Which places of the grid the photo shows, not too much from the side."""
    before = np.abs(sampled(depth, points, camera) - points[..., 2]) < 0.5 * SUNK
    return before & (facing(points) > GRAZING) & (sampled(alpha, points, camera) > 0.95)


def colors_around(
    points: Float64[np.ndarray, "R C 3"],
    visible: Bool[np.ndarray, "R C"],
    rgb: Float32[np.ndarray, "S S 3"],
    camera: Cameras,
) -> Float32[np.ndarray, "R C 3"]:
    """The photo's colours where it shows a place; elsewhere those that its row has at the sides.

    A row has one height all around, so hoops, rims and layers close. Features of the front do not come back behind.
    """
    colors = sampled(rgb, points, camera)
    rows = np.flatnonzero(visible.any(1))
    if not len(rows):
        return np.broadcast_to(rgb.mean((0, 1)), colors.shape).astype(np.float32)
    behind = np.zeros_like(colors)
    place = np.arange(points.shape[1])
    for row in rows:
        columns = np.flatnonzero(visible[row])
        ends = [colors[row, side].mean(0) for side in (columns[:SIDES], columns[-SIDES:])]
        at = columns[[0, -1]] + (0, 1e-3)
        # Around the back, from one side to the other.
        behind[row] = np.stack([
            np.interp(place, at, [left, right], period=points.shape[1] - 1)
            for left, right in zip(*ends, strict=True)
        ], -1)  # fmt: skip
    behind = fill_smooth(behind, np.broadcast_to(visible.any(axis=1, keepdims=True), visible.shape))
    inward, _, _ = nearest_known(~visible)
    share = (inward / SIDES).clip(0, 1)[..., None].astype(np.float32)
    return (share * colors + (1 - share) * behind).clip(0, 1)


def whole(
    points: Float64[np.ndarray, "R C 3"],
    visible: Bool[np.ndarray, "R C"],
    colors: Float32[np.ndarray, "R C 3"],
    camera: Cameras,
) -> Layer:
    """All of the shape, where the photo shows it a little behind the photo."""
    import cv2

    sunk = 1 + SUNK * cv2.GaussianBlur(visible.astype(np.float32), (0, 0), 2)[..., None]
    everywhere = np.ones(visible.shape, np.float32)
    invented = np.full(visible.shape, INVENTED, np.uint8)
    return layer_of_grid(camera, points * sunk, colors, invented, alpha=everywhere, blur=0 * everywhere)
