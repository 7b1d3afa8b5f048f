"""Clean-up, decimation and colours of an extracted surface."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from img2world.core.mesh import Mesh
from img2world.export.depth_maps import DepthMaps, surface_colors

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


def decimate(surface: Surface, max_faces: int) -> Surface:
    """Simplify the surface to about `max_faces` faces by quadric error (Garland and Heckbert 1997).

    A closed surface stays closed.
    """
    import fast_simplification

    if len(surface.faces) <= max_faces:
        return surface
    # The library's thresholds are absolute, so the surface is centred and scaled to unit size.
    center, size = surface.vertices.mean(0), np.ptp(surface.vertices, axis=0).max()
    simplified = fast_simplification.simplify(
        (surface.vertices - center) / size, surface.faces, target_count=max_faces, agg=5
    )
    points, faces = simplified[0], simplified[1]
    return split_nonmanifold(drop_double_faces(Surface(points * size + center, faces.astype(np.int32))))


def drop_double_faces(surface: Surface) -> Surface:
    """Drop faces that share all three vertices with another; edge collapses leave such pairs back to back."""
    _, group, sizes = np.unique(np.sort(surface.faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    return Surface(surface.vertices, surface.faces[sizes[group.reshape(-1)] == 1])


def split_nonmanifold(surface: Surface) -> Surface:
    """Duplicate the vertices of edges and vertices where several sheets meet, one copy for each sheet."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces = surface.faces
    corners = np.arange(faces.size).reshape(-1, 3)
    # The ends of all edges as vertices and as corners, [3F, 2], the lower vertex first.
    ends = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
    end_corners = np.stack([corners, np.roll(corners, -1, 1)], -1).reshape(-1, 2)
    order = np.argsort(ends, axis=1)
    ends, end_corners = np.take_along_axis(ends, order, 1), np.take_along_axis(end_corners, order, 1)
    by_edge = np.lexsort(ends.T[::-1])
    ends, end_corners = ends[by_edge], end_corners[by_edge]
    _, starts, sizes = np.unique(ends, axis=0, return_index=True, return_counts=True)
    pairs = starts[sizes == 2]  # edges of more than two faces connect nothing, so the sheets come apart there
    first, second = end_corners[pairs].reshape(-1), end_corners[pairs + 1].reshape(-1)
    links = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(faces.size,) * 2)
    count, labels = connected_components(links, directed=False)
    vertices = np.empty((count, 3), surface.vertices.dtype)
    vertices[labels] = surface.vertices[faces.reshape(-1)]
    return Surface(vertices, labels.reshape(-1, 3).astype(np.int32))


def vertex_normals(surface: Surface) -> Float64[np.ndarray, "M 3"]:
    """Return unit normals, the area-weighted mean over adjacent faces; +Y where there is none."""
    from trimesh.geometry import mean_vertex_normals
    from trimesh.triangles import cross

    triangles = surface.vertices.astype(np.float64)[surface.faces]
    normals = mean_vertex_normals(len(surface.vertices), surface.faces, cross(triangles))
    return np.where(np.linalg.norm(normals, axis=1, keepdims=True) > 0.5, normals, [0.0, 1.0, 0.0])


def color_surface(surface: Surface, maps: DepthMaps, tolerance: Float32[np.ndarray, "M"]) -> Mesh:
    """Colour the vertices from the views that see them; an unseen vertex gets the colour of the nearest seen one."""
    colors, weights = surface_colors(surface.vertices, vertex_normals(surface), tolerance, maps)
    colors = _fill_unseen(colors, weights > 1e-4, surface)
    return Mesh(
        vertices=surface.vertices.astype(np.float32),
        faces=surface.faces,
        colors=np.round(255 * colors.clip(0, 1)).astype(np.uint8),
    )


def _fill_unseen(
    colors: Float32[np.ndarray, "M 3"], seen: Bool[np.ndarray, "M"], surface: Surface
) -> Float32[np.ndarray, "M 3"]:
    """Give vertices that are not seen the colour of the nearest one that is."""
    from scipy.spatial import KDTree

    if seen.all() or not seen.any():
        return colors
    _, nearest = KDTree(surface.vertices[seen]).query(surface.vertices[~seen])
    colors = colors.copy()
    colors[~seen] = colors[seen][nearest]
    return colors


def mesh_statistics(mesh: Mesh) -> dict[str, float]:
    """Count vertices and faces; `watertight` is 1 when each edge has two faces of consistent winding."""
    import trimesh

    checked = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    return {
        "vertices": float(len(mesh.vertices)),
        "faces": float(len(mesh.faces)),
        "watertight": float(checked.is_watertight and checked.is_winding_consistent),
    }
