"""Vertical mirror planes of objects."""

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial import KDTree

from img2world.depth.network import DIRECTIONS
from training.assembly import SceneMesh

NUM_SAMPLES, NUM_QUERIES = 9000, 300
"""Points sampled on the surface, and how many of them are mirrored and compared."""

MAX_DIFFERENCE = 0.022
"""Mean distance between mirrored and nearest points of a symmetric object, in object radii. Neighbouring samples are
about 0.015 apart, on a ball 0.019."""

REFINEMENT_DEG = 2.5
"""Offset of the finer directions tried around each local minimum; coarse ones are 180 / DIRECTIONS apart."""

SPREAD_DEG = 5.0
"""Standard deviation of the target distribution around the direction of a plane."""


def find_mirror_planes(mesh: SceneMesh) -> Float[np.ndarray, "K"]:
    """Return the directions of the planes' normals in radians from +Z towards +X, from 0 to pi; empty if asymmetric.

    Of solids of revolution all directions are returned.
    """
    points = sample_surface(mesh, np.random.default_rng(0))
    points = points - 0.5 * (points.min(0) + points.max(0))
    radius = float(np.linalg.norm(points, axis=1).max())
    tree, queries = KDTree(points), points[:NUM_QUERIES]

    def difference(angle: float) -> float:
        normal = np.array([np.sin(angle), 0, np.cos(angle)])
        offsets = points @ normal
        center = 0.5 * (offsets.min() + offsets.max())
        mirrored = queries - 2 * (queries @ normal - center)[:, None] * normal
        return float(np.minimum(tree.query(mirrored)[0], 0.2 * radius).mean()) / max(radius, 1e-9)

    step = np.pi / DIRECTIONS
    coarse = np.array([difference(i * step) for i in range(DIRECTIONS)])
    planes = []
    for i in np.flatnonzero(
        (coarse <= np.roll(coarse, 1)) & (coarse <= np.roll(coarse, -1)) | (coarse < MAX_DIFFERENCE)
    ):
        candidates = [(coarse[i], i * step)]
        if MAX_DIFFERENCE < coarse[i] < 3 * MAX_DIFFERENCE:
            angles = i * step + np.radians(REFINEMENT_DEG) * np.array([-0.67, -0.33, 0.33, 0.67])
            candidates += [(difference(angle), angle) for angle in angles]
        least, angle = min(candidates)
        if least < MAX_DIFFERENCE:
            planes.append(angle % np.pi)
    return np.array(planes)


def sample_surface(mesh: SceneMesh, rng: np.random.Generator) -> Float[np.ndarray, "N 3"]:
    """Return NUM_SAMPLES points distributed uniformly over the surface."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) + 1e-12
    chosen = corners[rng.choice(len(areas), size=NUM_SAMPLES, p=areas / areas.sum())]
    u, v = rng.random((2, NUM_SAMPLES, 1))
    root = np.sqrt(u)
    return (1 - root) * chosen[:, 0] + root * (1 - v) * chosen[:, 1] + root * v * chosen[:, 2]


def plane_distribution(planes: Float[np.ndarray, "K"], rotation: Float[np.ndarray, "3 3"]) -> Float32[np.ndarray, "37"]:
    """Return the target distribution over directions of mirror planes as a camera sees them; the last entry is "none".

    `rotation` is camera from scene (+Y up). Directions are those of `img2world.layered.symmetry.find_mirror_plane`.
    """
    distribution = np.zeros(DIRECTIONS + 1, np.float32)
    if not len(planes):
        distribution[-1] = 1
        return distribution
    right, forward = rotation[0], rotation[2] / max(np.hypot(rotation[2, 0], rotation[2, 2]), 1e-9)
    seen = np.arctan2(
        np.sin(planes) * right[0] + np.cos(planes) * right[2], np.sin(planes) * forward[0] + np.cos(planes) * forward[2]
    )
    offset_deg = np.degrees(seen)[:, None] - np.arange(DIRECTIONS) * 180 / DIRECTIONS
    offset_deg = (offset_deg + 90) % 180 - 90
    distribution[:-1] = np.exp(-0.5 * (offset_deg / SPREAD_DEG) ** 2).sum(0)
    return distribution / distribution.sum()
