"""Clean-up, colours and statistics of an extracted surface."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int32

from img2world.core.mesh import Mesh
from img2world.meshing.depth_maps import DepthMaps, surface_colors

MIN_COLOR_WEIGHT = 1e-4
"""Weight of its views above which the color of a vertex counts as seen."""

MIN_PART = 0.01
"""Fraction of the total area below which a separate part is dropped as a floater."""


class Surface(NamedTuple):
    """Triangles without colours."""

    vertices: Float64[np.ndarray, "M 3"]
    faces: Int32[np.ndarray, "F 3"]


def clean_surface(surface: Surface, *, solid: bool) -> Surface:
    """Drop degenerate faces and small separate parts, and the cavities inside a solid."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    vertices, faces = surface
    faces = faces[(faces[:, [0, 1, 2]] != faces[:, [1, 2, 0]]).all(1)]
    if len(faces) == 0:
        return Surface(vertices[:0], faces)
    edges = (np.ones(2 * len(faces), bool), (faces[:, [0, 1]].T.reshape(-1), faces[:, [1, 2]].T.reshape(-1)))
    count, labels = connected_components(coo_matrix(edges, shape=(len(vertices),) * 2), directed=False)
    part = labels[faces[:, 0]]
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    areas = np.bincount(part, np.linalg.norm(np.cross(b - a, c - a), axis=1), count)
    kept = areas > MIN_PART * areas.sum()
    if solid:
        # The faces of a cavity look inwards, so its volume is negative.
        kept &= np.bincount(part, np.einsum("fi,fi->f", a, np.cross(b, c)), count) > 0
    return drop_unused_vertices(Surface(vertices, faces[kept[part]]))


def drop_unused_vertices(surface: Surface) -> Surface:
    """Drop the vertices that no face uses."""
    used, faces = np.unique(surface.faces, return_inverse=True)
    return Surface(surface.vertices[used], faces.reshape(-1, 3).astype(np.int32))


def vertex_normals(surface: Surface) -> Float64[np.ndarray, "M 3"]:
    """Return unit normals, the area-weighted mean over adjacent faces; +Y where there is none."""
    from trimesh.geometry import mean_vertex_normals
    from trimesh.triangles import cross

    triangles = surface.vertices.astype(np.float64)[surface.faces]
    normals = mean_vertex_normals(len(surface.vertices), surface.faces, cross(triangles))
    return np.where(np.linalg.norm(normals, axis=1, keepdims=True) > 0.5, normals, [0.0, 1.0, 0.0])


def color_vertices(
    surface: Surface, maps: DepthMaps, tolerance: Float32[np.ndarray, "M"]
) -> Float32[np.ndarray, "M 3"]:
    """Return the colors of the vertices, sRGB 0 to 1, from the views that see them.

    Unseen vertices have colors in between those around them.
    """
    colors, weights = surface_colors(surface.vertices, vertex_normals(surface), tolerance, maps)
    return spread(colors.astype(np.float64), weights > MIN_COLOR_WEIGHT, surface).astype(np.float32).clip(0, 1)


def spread(
    values: Float64[np.ndarray, "M C"], known: Bool[np.ndarray, "M"], surface: Surface
) -> Float64[np.ndarray, "M C"]:
    """Return the values of vertices with the unknown ones replaced by the mean of their neighbors, all at once.

    Parts of the surface without a known value have that of the nearest vertex which has one.
    """
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import spsolve
    from scipy.spatial import KDTree

    if known.all() or not known.any():
        return values
    ends = np.concatenate([surface.faces[:, [0, 1]], surface.faces[:, [1, 2]], surface.faces[:, [2, 0]]])
    links = coo_array((np.ones(len(ends)), ends.T), shape=(len(known),) * 2).tocsr()
    links = ((links + links.T) > 0).astype(np.float64)
    _, part = connected_components(links, directed=False)
    linked = np.isin(part, part[known])
    result = values.copy()
    if (unknown := linked & ~known).any():
        laplacian = (diags_array(links.sum(1)) - links).tocsr()[unknown]
        solved = spsolve(laplacian[:, unknown].tocsc(), -laplacian[:, known] @ values[known])
        result[unknown] = solved.reshape(-1, values.shape[1])
    if not linked.all():
        _, nearest = KDTree(surface.vertices[linked]).query(surface.vertices[~linked])
        result[~linked] = result[linked][nearest]
    return result


def mesh_statistics(mesh: Mesh) -> dict[str, float]:
    """Count vertices and faces; `watertight` is 1 when faces of consistent winding meet at each edge.

    A vertex on both sides of a seam of the texture counts as one there.
    """
    _, merged = np.unique(mesh.vertices, axis=0, return_inverse=True)
    return {
        "vertices": float(len(mesh.vertices)),
        "faces": float(len(mesh.faces)),
        "watertight": float(is_closed(merged.reshape(-1)[mesh.faces])),
    }


def is_closed(faces: Int[np.ndarray, "F 3"]) -> bool:
    """Tell whether faces of consistent winding meet at each edge: as many pass it one way as the other."""
    ends = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2).astype(np.int64)
    ends = ends[ends[:, 0] != ends[:, 1]]
    code = np.where(ends[:, 0] < ends[:, 1], 1, -1) * (ends.min(1) * (faces.max(initial=0) + 1) + ends.max(1))
    edges, edge = np.unique(np.abs(code), return_inverse=True)
    return not np.bincount(edge.reshape(-1), np.sign(code), len(edges)).any()
