"""Move the outline of an object's surface to where the views show it."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.views import Views
from img2world.meshing.surface import Surface, vertex_normals
from img2world.meshing.texture import in_camera
from img2world.meshing.viewpoints import evenly_spaced
from img2world.render.triangles import rasterize_triangles

MAX_VIEWS = 16
"""More views add time but no precision."""

MAX_COSINE = 0.45
"""Cosine of incidence below which a vertex may be on the outline."""

SUPERSAMPLING = 2
"""Outlines are compared at so many times the size of the pictures."""

MAX_DISTANCE = 6.0
"""Pixels of that size from the outline up to which a vertex is on it, and by which it may move at once."""

OTHER_VIEWS = 0.4
"""Part of the way that vertices go for a view other than the first."""

NEIGHBORS = 0.5
"""Part of the way of their neighbors that vertices go along."""


def fit_outlines(surface: Surface, views: Views, max_pixel: float) -> Surface:
    """Return the surface of an object with its outlines moved to those of the object in the views.

    Vertices move parallel to the picture. Views without alpha change nothing, nor do views whose pixels are wider than
    `max_pixel` in world units where the object is.
    """
    import cv2

    if views.alpha is None:
        return surface
    height, width = (SUPERSAMPLING * size for size in views.rgb.shape[1:3])
    # The first view comes last, since it shows the photo.
    for i in reversed(evenly_spaced(len(views), MAX_VIEWS)):
        camera = views.cameras.select([i])
        if np.median(in_camera(surface.vertices, camera)[:, 2]) > max_pixel * camera.intrinsics[0, 0, 0]:
            continue
        mask = cv2.resize(views.alpha[i], (width, height), interpolation=cv2.INTER_LINEAR) >= 128
        step = _step(surface, camera.resized(width, height), mask)
        surface = Surface(surface.vertices + (1.0 if i == 0 else OTHER_VIEWS) * step, surface.faces)
    return surface


def _step(surface: Surface, camera: Cameras, mask: Bool[np.ndarray, "H W"]) -> Float64[np.ndarray, "M 3"]:
    """Return how far vertices have to move for the outline in one view."""
    import cv2

    in_cam = in_camera(surface.vertices, camera)
    hits = rasterize_triangles(in_cam, surface.faces, np.ones(len(in_cam), np.float32), camera)
    wanted, found = _signed_distance(mask), _signed_distance(hits.face >= 0)
    depth = np.maximum(in_cam[:, 2:], 1e-6)
    focal, center = camera.intrinsics[0, [0, 1], [0, 1]], camera.intrinsics[0, :2, 2]
    pixels = (in_cam[:, :2] / depth * focal + center).astype(np.float32)

    def sample(picture: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "M"]:
        x, y = (pixels[None, :, axis] - np.float32(0.5) for axis in (0, 1))
        return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]

    normals = vertex_normals(surface) @ camera.world_from_cam[0, :3, :3].astype(np.float64)
    cosine = np.abs((normals * in_cam).sum(1)) / np.maximum(np.linalg.norm(in_cam, axis=1), 1e-12)
    is_outline = (cosine < MAX_COSINE) & (np.abs(sample(found)) < MAX_DISTANCE) & (in_cam[:, 2] > 1e-6)
    # Within the picture only: where the object is cut off by its edge, there is no outline.
    is_outline &= ((pixels > 1) & (pixels < np.array([camera.width, camera.height]) - 1)).all(1)
    down, right = np.gradient(cv2.GaussianBlur(wanted, (0, 0), 1.0))
    # Both distances are positive inside, so that their gradient points inwards.
    inwards = np.stack([sample(right.astype(np.float32)), sample(down.astype(np.float32))], -1)
    inwards /= np.maximum(np.linalg.norm(inwards, axis=1, keepdims=True), 1e-6)
    amount = (sample(found) - sample(wanted)).clip(-MAX_DISTANCE, MAX_DISTANCE) * is_outline
    move = _carried((amount[:, None] * inwards).astype(np.float64), is_outline, surface) * depth / focal
    return np.concatenate([move, np.zeros((len(move), 1))], 1) @ camera.world_from_cam[0, :3, :3].T.astype(np.float64)


def _signed_distance(mask: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Return the distance in pixels to the border of a mask, positive inside."""
    import cv2

    inside = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)


def _carried(
    moves: Float64[np.ndarray, "M 2"], moved: Bool[np.ndarray, "M"], surface: Surface
) -> Float64[np.ndarray, "M 2"]:
    """Return the moves with those of the neighbors of moved vertices, which go part of their way."""
    ends = np.concatenate([surface.faces, np.roll(surface.faces, 1, 1)]).reshape(-1)
    others = np.concatenate([np.roll(surface.faces, 1, 1), surface.faces]).reshape(-1)
    count = np.bincount(ends, moved[others], len(moved))
    mean = np.stack([np.bincount(ends, moves[others, axis], len(moved)) for axis in (0, 1)], -1)
    return np.where(moved[:, None], moves, NEIGHBORS * mean / np.maximum(count, 1)[:, None])
