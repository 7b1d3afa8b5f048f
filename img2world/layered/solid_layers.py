"""An object of a simple shape as two layers: its visible side with the photo, and the closed shape behind it."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.inpaint import extend_nearest, fill_smooth, nearest_known
from img2world.layered.layers import INVENTED, SEEN, Layer, grid_faces, layer_from_depth, layer_of_grid
from img2world.layered.solids import Solid, sample_at_points
from img2world.layered.symmetry import MIN_FACING
from img2world.layered.texture_baking import facing_ratio

ROWS, COLUMNS = 192, 257
"""Size of the closed surface's grid and of its texture: from bottom to top, and once around."""

SETBACK = 0.01
"""Distance of the closed shape behind the photo's layer where both show the same, relative to the distance of both."""

SIDE_COLUMNS = 8
"""Columns at each end of the visible side whose mean color continues behind."""


def solid_layers(
    shape: Solid, rgb: Float32[np.ndarray, "S S 3"], alpha: Float32[np.ndarray, "S S"], camera: Cameras
) -> tuple[Layer, Layer]:
    """Build the layer of the shape's visible side, textured with `rgb` and cut out by `alpha`, and the closed shape."""
    points = shape.surface(ROWS, COLUMNS)
    # As for every object, the center of the depth range is moved to 1 unit; scaling about the camera changes no pixel.
    points = points * (INPUT_DISTANCE / (0.5 * (points[..., 2].min() + points[..., 2].max())))
    depth, hit = render_depth(points, camera)
    depth = extend_nearest(depth, hit)
    front = layer_from_depth(camera, depth, rgb, np.full(alpha.shape, SEEN, np.uint8), alpha=alpha)
    visible = find_visible(points, depth, alpha, camera)
    return front, closed_layer(points, visible, wrap_colors(points, visible, rgb, camera), camera)


def render_depth(
    points: Float64[np.ndarray, "R C 3"], camera: Cameras
) -> tuple[Float32[np.ndarray, "S S"], Bool[np.ndarray, "S S"]]:
    """Return the depth of the nearest surface of a grid of points, and the mask of pixels that show one."""
    from img2world.render.triangles import rasterize_triangles

    vertices = points.reshape(-1, 3).astype(np.float32)
    faces = grid_faces(np.ones(points.shape[:2], bool))
    hits = rasterize_triangles(vertices, faces, np.ones(len(vertices), np.float32), camera)
    return hits.depth, hits.face >= 0


def find_visible(
    points: Float64[np.ndarray, "R C 3"],
    depth: Float32[np.ndarray, "S S"],
    alpha: Float32[np.ndarray, "S S"],
    camera: Cameras,
) -> Bool[np.ndarray, "R C"]:
    """Return the mask of grid points that the photo shows at no grazing angle; `depth` is that of its layer."""
    in_front = np.abs(sample_at_points(depth, points, camera) - points[..., 2]) < 0.5 * SETBACK
    return in_front & (facing_ratio(points) > MIN_FACING) & (sample_at_points(alpha, points, camera) > 0.95)


def wrap_colors(
    points: Float64[np.ndarray, "R C 3"],
    visible: Bool[np.ndarray, "R C"],
    rgb: Float32[np.ndarray, "S S 3"],
    camera: Cameras,
) -> Float32[np.ndarray, "R C 3"]:
    """Return the photo's colors at visible grid points; elsewhere those at both ends of the row's visible part.

    A row has one height all around, so hoops, rims and layers close. Features of the front are not repeated behind.
    """
    colors = sample_at_points(rgb, points, camera)
    rows = np.flatnonzero(visible.any(1))
    if not len(rows):
        return np.broadcast_to(rgb.mean((0, 1)), colors.shape).astype(np.float32)
    behind = np.zeros_like(colors)
    index = np.arange(points.shape[1])
    for row in rows:
        columns = np.flatnonzero(visible[row])
        ends = [colors[row, side].mean(0) for side in (columns[:SIDE_COLUMNS], columns[-SIDE_COLUMNS:])]
        at = columns[[0, -1]] + (0, 1e-3)
        # Around the back, from one side to the other.
        behind[row] = np.stack([
            np.interp(index, at, [left, right], period=points.shape[1] - 1)
            for left, right in zip(*ends, strict=True)
        ], -1)  # fmt: skip
    behind = fill_smooth(behind, np.broadcast_to(visible.any(axis=1, keepdims=True), visible.shape))
    inward, _, _ = nearest_known(~visible)
    weight = (inward / SIDE_COLUMNS).clip(0, 1)[..., None].astype(np.float32)
    return (weight * colors + (1 - weight) * behind).clip(0, 1)


def closed_layer(
    points: Float64[np.ndarray, "R C 3"],
    visible: Bool[np.ndarray, "R C"],
    colors: Float32[np.ndarray, "R C 3"],
    camera: Cameras,
) -> Layer:
    """Make a layer of the closed shape, set back a little where the photo's layer shows the same surface."""
    import cv2

    setback = 1 + SETBACK * cv2.GaussianBlur(visible.astype(np.float32), (0, 0), 2)[..., None]
    everywhere = np.ones(visible.shape, np.float32)
    invented = np.full(visible.shape, INVENTED, np.uint8)
    return layer_of_grid(camera, points * setback, colors, invented, alpha=everywhere, blur=0 * everywhere)
