"""Upright planes that a thing is its own mirror image in."""

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial import KDTree

from img2world.depth.network import DIRECTIONS
from training.assembly import World

PLACES, ASKED = 9000, 300
"""Places on the surface, and how many of them are looked for on the other side."""

LARGEST_DIFFERENCE = 0.022
"""Mean distance from a mirrored place to the nearest one, relative to the thing's radius; places themselves are about
0.015 apart, on a ball 0.019."""

FINER = 2.5
"""Degrees between the directions that are tried beside the best of those 180° / DIRECTIONS apart."""

SPREAD = 5.0
"""Degrees that a plane's share of the directions spreads over."""


def mirror_planes(world: World) -> Float[np.ndarray, "K"]:
    """Directions of the planes' normals in radians from +Z towards +X, from 0 to pi; none for what has no such plane.

    Of a thing that is round all directions are found.
    """
    places = places_on(world, np.random.default_rng(0))
    places = places - 0.5 * (places.min(0) + places.max(0))
    radius = float(np.linalg.norm(places, axis=1).max())
    tree, asked = KDTree(places), places[:ASKED]

    def difference(angle: float) -> float:
        normal = np.array([np.sin(angle), 0, np.cos(angle)])
        along = places @ normal
        middle = 0.5 * (along.min() + along.max())
        mirrored = asked - 2 * (asked @ normal - middle)[:, None] * normal
        return float(np.minimum(tree.query(mirrored)[0], 0.2 * radius).mean()) / max(radius, 1e-9)

    step = np.pi / DIRECTIONS
    coarse = np.array([difference(i * step) for i in range(DIRECTIONS)])
    found = []
    for i in np.flatnonzero(
        (coarse <= np.roll(coarse, 1)) & (coarse <= np.roll(coarse, -1)) | (coarse < LARGEST_DIFFERENCE)
    ):
        tried = [(coarse[i], i * step)]
        if LARGEST_DIFFERENCE < coarse[i] < 3 * LARGEST_DIFFERENCE:
            beside = i * step + np.radians(FINER) * np.array([-0.67, -0.33, 0.33, 0.67])
            tried += [(difference(angle), angle) for angle in beside]
        least, angle = min(tried)
        if least < LARGEST_DIFFERENCE:
            found.append(angle % np.pi)
    return np.array(found)


def places_on(world: World, rng: np.random.Generator) -> Float[np.ndarray, "PLACES 3"]:
    """Places spread evenly over the surface."""
    corners = world.vertices[world.faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) + 1e-12
    chosen = corners[rng.choice(len(areas), size=PLACES, p=areas / areas.sum())]
    u, v = rng.random((2, PLACES, 1))
    root = np.sqrt(u)
    return (1 - root) * chosen[:, 0] + root * (1 - v) * chosen[:, 1] + root * v * chosen[:, 2]


def seen_planes(planes: Float[np.ndarray, "K"], turn: Float[np.ndarray, "3 3"]) -> Float32[np.ndarray, "37"]:
    """Share of each direction as a camera sees the planes, the last being that of things that have none.

    `turn` is the rotation from the place's axes, +Y up, to the camera's. Directions are those of
    `img2world.layered.symmetry.mirror_normal`.
    """
    shares = np.zeros(DIRECTIONS + 1, np.float32)
    if not len(planes):
        shares[-1] = 1
        return shares
    right, forward = turn[0], turn[2] / max(np.hypot(turn[2, 0], turn[2, 2]), 1e-9)
    seen = np.arctan2(
        np.sin(planes) * right[0] + np.cos(planes) * right[2], np.sin(planes) * forward[0] + np.cos(planes) * forward[2]
    )
    apart = np.degrees(seen)[:, None] - np.arange(DIRECTIONS) * 180 / DIRECTIONS
    apart = (apart + 90) % 180 - 90
    shares[:-1] = np.exp(-0.5 * (apart / SPREAD) ** 2).sum(0)
    return shares / shares.sum()
