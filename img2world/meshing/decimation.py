"""Simplification of surfaces to as few faces as their shape needs."""

import numpy as np
from jaxtyping import Int32, Int64

from img2world.meshing.surface import Surface

STEP = 2**-0.5
"""Faces of each attempt to simplify further, relative to those of the one before."""

DEVIATION_QUANTILE = 0.95
"""The deviation of a surface is this quantile of distances: depth edges of a scene have outliers."""

NUM_SAMPLES = 100_000
"""Points on the simplified surface among which the nearest ones are looked for."""

NEIGHBORS = 4
"""Nearest samples whose faces are looked at."""

MIN_FACES = 100
"""A surface of so few faces is not simplified further."""

MAX_POINTS = 5000
"""Vertices of the fine surface whose distance is measured."""


def simplify(surface: Surface, *, max_faces: int, max_deviation: float) -> Surface:
    """Return a surface of at most about `max_faces` faces, of fewer where the shape allows.

    The number is lowered as long as the deviation from the given surface stays below `max_deviation`.
    """
    simplest = decimate(surface, max_faces)
    while len(simplest.faces) > MIN_FACES:
        simpler = decimate(simplest, round(STEP * len(simplest.faces)))
        if len(simpler.faces) == len(simplest.faces) or deviation(surface, simpler) > max_deviation:
            break
        simplest = simpler
    return simplest


def deviation(surface: Surface, simplified: Surface) -> float:
    """Return the distance from the vertices of a surface to the simplified one, the 95th percentile."""
    from scipy.spatial import KDTree
    from trimesh.triangles import closest_point

    a, b, c = (simplified.vertices[simplified.faces[:, corner]].astype(np.float64) for corner in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    counts = 1 + (NUM_SAMPLES * areas / max(areas.sum(), 1e-30)).astype(int)
    sampled = np.repeat(np.arange(len(a)), counts)
    u, v = np.random.default_rng(0).random((2, len(sampled), 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    samples = a[sampled] + u * (b - a)[sampled] + v * (c - a)[sampled]
    points = surface.vertices[:: max(1, len(surface.vertices) // MAX_POINTS)].astype(np.float64)
    _, nearest = KDTree(samples).query(points, k=NEIGHBORS)
    # The nearest point is on the face of one of the nearest samples, but between them.
    near = simplified.vertices[simplified.faces[sampled[nearest.reshape(-1)]]].astype(np.float64)
    repeated = np.repeat(points, NEIGHBORS, 0)
    distances = np.linalg.norm(closest_point(near, repeated) - repeated, axis=1).reshape(-1, NEIGHBORS).min(1)
    return float(np.quantile(distances, DEVIATION_QUANTILE))


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
    """Drop pairs of faces that are back to back, with all three vertices in common; edge collapses leave them."""
    order = np.argsort(surface.faces, axis=1)
    # Whether sorting the vertices is an even permutation tells the front from the back.
    front = np.where(((order[:, 1] - order[:, 0]) % 3) == 1, 1, -1)
    _, group = np.unique(np.sort(surface.faces, axis=1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    excess = np.bincount(group, front)[group]
    # Of each group, as many as one side has more than the other.
    by_side = np.lexsort([front, group])
    rank = np.empty(len(group), int)
    start = np.flatnonzero(np.diff(group[by_side] * 2 + (front[by_side] > 0), prepend=-1))
    rank[by_side] = np.arange(len(group)) - np.repeat(start, np.diff(start, append=len(group)))
    return Surface(surface.vertices, surface.faces[(front * excess > 0) & (rank < np.abs(excess))])


def collapse_short_edges(surface: Surface, length: float) -> Surface:
    """Merge the ends of edges that are shorter than `length`. A closed surface stays closed."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.stack([surface.faces, np.roll(surface.faces, -1, 1)], -1).reshape(-1, 2)
    start, end = surface.vertices[ends[:, 0]], surface.vertices[ends[:, 1]]
    short = ends[np.linalg.norm(end - start, axis=1) < length]
    if len(short) == 0:
        return surface
    links = coo_array((np.ones(len(short), bool), short.T), shape=(len(surface.vertices),) * 2)
    _, label = connected_components(links, directed=False)
    _, first = np.unique(label, return_index=True)
    faces = label[surface.faces].astype(np.int32)
    faces = faces[(faces != np.roll(faces, 1, 1)).all(1)]
    return split_nonmanifold(drop_double_faces(Surface(surface.vertices[first], faces)))


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
    pairs = [np.stack([starts[sizes == 2], starts[sizes == 2] + 1], -1)]
    for start, size in zip(starts[sizes > 2].tolist(), sizes[sizes > 2].tolist(), strict=True):
        crowd = np.arange(start, start + size)
        pairs.append(start + _pair_faces(surface, ends[start], end_corners[crowd] // 3))
    first, second = (end_corners[np.concatenate(pairs)[:, side]].reshape(-1) for side in (0, 1))
    links = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(faces.size,) * 2)
    count, labels = connected_components(links, directed=False)
    vertices = np.empty((count, 3), surface.vertices.dtype)
    vertices[labels] = surface.vertices[faces.reshape(-1)]
    return Surface(vertices, labels.reshape(-1, 3).astype(np.int32))


def _pair_faces(
    surface: Surface, edge: Int32[np.ndarray, "2"], corner_faces: Int64[np.ndarray, "K 2"]
) -> Int64[np.ndarray, "P 2"]:
    """Return which of the faces at an edge go on into each other: neighbors around it that agree on front and back."""
    faces = surface.faces[corner_faces[:, 0]]
    low, high = surface.vertices[edge].astype(np.float64)
    axis = (high - low) / max(np.linalg.norm(high - low), 1e-20)
    apex = faces[(faces != edge[0]) & (faces != edge[1])].reshape(-1)
    arms = surface.vertices[apex].astype(np.float64) - low
    arms -= (arms @ axis)[:, None] * axis
    side = np.cross(axis, arms[0])
    order = np.argsort(
        np.arctan2(arms @ side / max(np.linalg.norm(side), 1e-20), arms @ arms[0] / max(np.linalg.norm(arms[0]), 1e-20))
    )
    forward = (np.roll(faces, -1, 1)[faces == edge[0]] == edge[1])[order]
    if len(faces) % 2 or (forward[::2] == forward[1::2]).any():
        return np.empty((0, 2), np.int64)
    # The other pairs are on both sides of a gap.
    return np.roll(order, -1).reshape(-1, 2) if forward[0] else order.reshape(-1, 2)
