"""Bring what was drawn of anchor frames back onto the layers, so that every frame shows the same."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from img2world.core.cameras import Cameras
from img2world.layered.inpaint import fill_smooth, nearest_known
from img2world.layered.layers import SEEN, Layer
from img2world.layered.sampling import bilinear

TOLERANCE = 0.04
"""A place is taken to be seen where its depth is that of the frame up to this share."""

SEAM = 1 / 64
"""Width in which the drawn fades in beside what the photo shows, relative to the texture's longer side."""

LEAST = 1e-3
"""Sum of the weights above which a place counts as drawn."""


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """What one anchor frame adds to the colours that it was warped with."""

    camera: Cameras
    depth: Float32[np.ndarray, "h w"]
    """0 where nothing is."""
    change: Float32[np.ndarray, "h w 3"]


def painted(layer: Layer, strokes: Sequence[Stroke]) -> Layer:
    """The layer with the frames' changes where its texture does not show the photo; fine texture stays.

    The layer has one vertex for each pixel of its texture, as `layer_from_depth` makes it.
    """
    height, width = layer.seen.shape
    if len(layer.vertices_in_world) != height * width:
        raise ValueError(f"{len(layer.vertices_in_world)} vertices do not fit a texture of {width}x{height}")
    open_to_change = layer.seen < SEEN
    if not open_to_change.any() or not strokes:
        return layer
    total = np.zeros((height * width, 3), np.float32)
    weights = np.zeros(height * width, np.float32)
    normals = grid_normals(layer.vertices_in_world.reshape(height, width, 3)).reshape(-1, 3)
    for stroke in strokes:
        xy, weight = sight_of(layer.vertices_in_world, normals, stroke)
        used = weight > 0
        total[used] += weight[used, None] * bilinear(stroke.change, xy[used])
        weights += weight
    known = (weights > LEAST).reshape(height, width)
    if not known.any():
        return layer
    change = (total / np.maximum(weights, LEAST)[:, None]).reshape(height, width, 3)
    change = fill_smooth(change, known) * faded_in(open_to_change)[..., None]
    return replace(layer, texture=(layer.texture + change).clip(0, 1).astype(np.float32))


def sight_of(
    points: Float32[np.ndarray, "M 3"], normals: Float32[np.ndarray, "M 3"], stroke: Stroke
) -> tuple[Float32[np.ndarray, "M 2"], Float32[np.ndarray, "M"]]:
    """Where places lie in an anchor frame in pixels, and how well they are seen there: 0 to 1, best from the front."""
    camera = stroke.camera
    cam_from_world = camera.cam_from_world[0]
    in_cam = points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    z = in_cam[:, 2]
    before = z > 1e-3
    rays = in_cam / np.where(before, z, 1)[:, None]
    xy = (rays @ camera.intrinsics[0].T)[:, :2].astype(np.float32)
    inside = before & (xy >= 0).all(1) & (xy < (camera.width, camera.height)).all(1)
    columns, rows = np.where(inside[:, None], xy, 0).astype(np.int64).T
    depth = stroke.depth[rows, columns]
    seen = inside & (depth > 0) & (np.abs(z - depth) < TOLERANCE * depth)
    away = points - camera.centers_in_world[0]
    facing = np.abs((normals * away).sum(1)) / np.maximum(np.linalg.norm(away, axis=1), 1e-9)
    return xy, (seen * (facing**2 + 2 * LEAST)).astype(np.float32)


def grid_normals(points: Float[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Unit normals of a grid of places, pointing to either side."""
    down, right = np.gradient(points, axis=(0, 1))
    normals = np.cross(down, right)
    return (normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


def facing(points_in_cam: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Cosine between a grid of places and the lines of sight through them, 0 to 1."""
    return np.abs((grid_normals(points_in_cam) * points_in_cam).sum(-1)) / np.linalg.norm(points_in_cam, axis=-1)


def faded_in(open_to_change: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """1 where change is welcome, 0 where it is not, rising inside of the former."""
    if open_to_change.all():
        return np.ones(open_to_change.shape, np.float32)
    distance, _, _ = nearest_known(~open_to_change)
    return (distance / (SEAM * max(open_to_change.shape))).clip(0, 1).astype(np.float32)
