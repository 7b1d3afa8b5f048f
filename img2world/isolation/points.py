"""The points of a scene that are on its subject, and points on the hull where there are few."""

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.views import Views
from img2world.isolation.hull import Hull
from img2world.meshing.surface import Surface, vertex_normals

REACH = 2.0
"""Distance from the hull in grid steps up to which a point is on it."""

MIN_POINTS = 4000
"""With fewer points on the subject, a training begins with points all over the hull, too."""

MIN_FACING = 0.15
"""Cosine between the normal of a point of the hull and the direction to a view that faces it."""

SAMPLED_VIEWS = 3
"""Views that a point of the hull has the mean colour of: those that face it."""


def points_on(
    hull: Hull, surface: Surface, views: Views
) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Return the points of the views on the hull with their colours, and points of its surface if they are few."""
    inside = hull.contains(views.points, REACH)
    points, colors = views.points[inside], views.point_colors[inside]
    missing = MIN_POINTS - len(points)
    if missing <= 0:
        return points, colors
    index = np.unique(np.linspace(0, len(surface.vertices) - 1, min(missing, len(surface.vertices))).astype(np.int64))
    normals = vertex_normals(surface)[index]
    vertices = surface.vertices[index].astype(np.float32)
    away = views.cameras.centers_in_world[None] - vertices[:, None]  # [P, V, 3]
    facing = np.einsum("pvi,pi->pv", away / np.linalg.norm(away, axis=-1, keepdims=True), normals.astype(np.float32))
    # What no view faces has no colour, and would only float behind the rest.
    seen = facing.max(1) > MIN_FACING
    vertices, facing = vertices[seen], facing[seen]
    best = np.argsort(-facing, axis=1, kind="stable")[:, :SAMPLED_VIEWS]
    total = np.zeros((len(vertices), 3), np.float32)
    for rank in range(best.shape[1]):
        camera = best[:, rank]
        pose = views.cameras.cam_from_world[camera]
        in_cam = np.einsum("pij,pj->pi", pose[:, :3, :3], vertices) + pose[:, :3, 3]
        flat = np.einsum("pij,pj->pi", views.cameras.intrinsics[camera], in_cam)
        xy = np.clip(
            flat[:, :2] / np.maximum(flat[:, 2:], 1e-6), 0, [views.cameras.width - 1, views.cameras.height - 1]
        )
        column, row = xy.astype(np.int64).T
        total += views.rgb[camera, row, column]
    found = np.round(total / best.shape[1]).astype(np.uint8)
    return np.concatenate([points, vertices]), np.concatenate([colors, found])
