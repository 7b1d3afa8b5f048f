"""Bake color changes of anchor frames into the textures of layers, so that all frames agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from img2world.core.cameras import Cameras
from img2world.layered.inpaint import fill_smooth, nearest_known
from img2world.layered.layers import SEEN, Layer
from img2world.layered.sampling import sample_texture

DEPTH_TOLERANCE = 0.04
"""Relative difference in depth up to which a point counts as visible in a frame."""

FADE_WIDTH = 1 / 64
"""Width over which changes fade in next to what the photo shows, relative to the texture's longer side."""

MIN_WEIGHT = 1e-3
"""Sum of weights above which the change of a point counts as known."""


@dataclass(frozen=True, kw_only=True)
class ColorChange:
    """The difference between a generated anchor frame and the frame warped from the layers."""

    camera: Cameras
    depth: Float32[np.ndarray, "h w"]
    """Depth along +Z; 0 where no surface is."""
    change: Float32[np.ndarray, "h w 3"]
    """Difference in sRGB, -1 to 1."""


def bake_changes(layer: Layer, changes: Sequence[ColorChange]) -> Layer:
    """Add the changes of several frames to a layer's texture where it does not show the photo; its detail is kept.

    The layer has one vertex for each pixel of its texture, as `layer_from_depth` makes it; raises ValueError otherwise.
    """
    height, width = layer.seen.shape
    if len(layer.vertices_in_world) != height * width:
        raise ValueError(f"{len(layer.vertices_in_world)} vertices do not fit a texture of {width}x{height}")
    unseen = layer.seen < SEEN
    if not unseen.any() or not changes:
        return layer
    total = np.zeros((height * width, 3), np.float32)
    weights = np.zeros(height * width, np.float32)
    normals = grid_normals(layer.vertices_in_world.reshape(height, width, 3)).reshape(-1, 3)
    for each in changes:
        xy, weight = project_points(layer.vertices_in_world, normals, each)
        used = weight > 0
        total[used] += weight[used, None] * sample_texture(each.change, xy[used])
        weights += weight
    known = (weights > MIN_WEIGHT).reshape(height, width)
    if not known.any():
        return layer
    change = (total / np.maximum(weights, MIN_WEIGHT)[:, None]).reshape(height, width, 3)
    change = fill_smooth(change, known) * fade_in(unseen)[..., None]
    detail = layer.detail
    if detail is not None:
        import cv2

        detail = (detail + cv2.resize(change, detail.shape[1::-1], interpolation=cv2.INTER_LINEAR)).clip(0, 1)
    return replace(layer, texture=(layer.texture + change).clip(0, 1).astype(np.float32), detail=detail)


def project_points(
    points: Float32[np.ndarray, "M 3"], normals: Float32[np.ndarray, "M 3"], frame: ColorChange
) -> tuple[Float32[np.ndarray, "M 2"], Float32[np.ndarray, "M"]]:
    """Return positions in a frame in pixels, and weights: 0 where a point is hidden, 1 where it is seen head-on."""
    camera = frame.camera
    cam_from_world = camera.cam_from_world[0]
    in_cam = points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    z = in_cam[:, 2]
    in_front = z > 1e-3
    rays = in_cam / np.where(in_front, z, 1)[:, None]
    xy = (rays @ camera.intrinsics[0].T)[:, :2].astype(np.float32)
    inside = in_front & (xy >= 0).all(1) & (xy < (camera.width, camera.height)).all(1)
    columns, rows = np.where(inside[:, None], xy, 0).astype(np.int64).T
    depth = frame.depth[rows, columns]
    seen = inside & (depth > 0) & (np.abs(z - depth) < DEPTH_TOLERANCE * depth)
    away = points - camera.centers_in_world[0]
    facing = np.abs((normals * away).sum(1)) / np.maximum(np.linalg.norm(away, axis=1), 1e-9)
    return xy, (seen * (facing**2 + 2 * MIN_WEIGHT)).astype(np.float32)


def grid_normals(points: Float[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Return the unit normals of a grid of points; their sign is arbitrary."""
    down, right = np.gradient(points, axis=(0, 1))
    normals = np.cross(down, right)
    return (normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


def facing_ratio(points_in_cam: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Return the cosine between the normals of a grid of points and the rays through them, 0 to 1."""
    return np.abs((grid_normals(points_in_cam) * points_in_cam).sum(-1)) / np.linalg.norm(points_in_cam, axis=-1)


def fade_in(mask: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return weights that rise from 0 outside of a mask to 1 within, over FADE_WIDTH."""
    if mask.all():
        return np.ones(mask.shape, np.float32)
    distance, _, _ = nearest_known(~mask)
    return (distance / (FADE_WIDTH * max(mask.shape))).clip(0, 1).astype(np.float32)
