"""The table or ground that the subject stands on: a plane through the points, settled where the views agree."""

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.cameras import Cameras
from img2world.isolation.aim import Aim
from img2world.isolation.plane_cells import evenly, looked_up, median_over_views, square_cells, world_from_plane
from img2world.isolation.plate import MAX_SPREAD, MIN_LOOKS

MIN_POINTS, MIN_FRACTION = 30, 0.08
"""Points of a support, and their fraction of all points around the subject."""

TRIALS = 600
"""Planes through three random points that are tried."""

THICKNESS = 0.015
"""Distance of a point from its plane, relative to the radius around the aim."""

REACH = 2.5
"""Distance from the aim of the points that may lie on the support, in radii."""

MIN_ABOVE = 0.9
"""Fraction of the cameras that must be on one side of a support."""

MIN_SURROUNDED = 5
"""Of eight sectors about the foot of the subject, those that must have points of the support."""

FOOT = 0.3
"""Distance from the aim along the support, in radii, beyond which it is not hidden by the subject."""

MAX_ABOVE_AIM = 0.35
"""Height of a support above the aim, in radii; the lid of a box is higher than what the cameras aim at by more."""

SETTLING_STEPS, MIN_GAIN = (0.08, 0.04, 0.02, 0.01, 0.005), 0.005
"""Moves of a support in radii, and tilts, that are tried; the decrease of the differences that a move must bring."""

SETTLING_CELLS, SETTLING_VIEWS = 96, 16
"""Cells along each side of the square and views that are compared for that."""


def find_support(points: Float32[np.ndarray, "P 3"], cameras: Cameras, aim: Aim) -> Float64[np.ndarray, "4"] | None:
    """Return the plane on which the subject stands: its unit normal towards the cameras, and offset; None without one.

    Of the planes that hold many points on all sides of the subject, with the cameras above it, the one with the most
    points, by random sampling (Fischler and Bolles, "Random sample consensus", 1981).
    """
    distance = np.linalg.norm(points - aim.point, axis=1)
    near = points[distance < REACH * aim.radius].astype(np.float64)
    if len(near) < MIN_POINTS:
        return None
    random = np.random.default_rng(0)
    centers = cameras.centers_in_world.astype(np.float64)
    best, best_count = None, max(MIN_POINTS, MIN_FRACTION * len(near))
    for _ in range(TRIALS):
        corner, first, second = near[random.choice(len(near), 3, replace=False)]
        normal = np.cross(first - corner, second - corner)
        if (length := np.linalg.norm(normal)) < 1e-9:
            continue
        plane = np.append(normal / length, -corner @ normal / length)
        for _ in range(2):
            on_plane = np.abs(near @ plane[:3] + plane[3]) < THICKNESS * aim.radius
            if np.count_nonzero(on_plane) < max(4, 0.7 * best_count):
                break
            plane = _fitted(near[on_plane], centers)
        on_plane = np.abs(near @ plane[:3] + plane[3]) < THICKNESS * aim.radius
        count = np.count_nonzero(on_plane)
        if count > best_count and _supports(plane, near[on_plane], centers, aim):
            best, best_count = plane, count
    return best


def settle_support(
    plane: Float64[np.ndarray, "4"], rgb: list[Float32[np.ndarray, "h w 3"]], cameras: Cameras, aim: Aim
) -> Float64[np.ndarray, "4"]:
    """Return the plane moved and tilted a little to where the views show most nearly the same on it.

    A plane through few points is off by a few hundredths of the radius, which would cut off the foot of the subject.
    """
    best, least = plane, _disagreement(plane, rgb, cameras, aim)
    frame = world_from_plane(plane, aim.point)
    for step in SETTLING_STEPS:
        for axis in (2, 0, 1, 2):
            for sign in (-1.0, 1.0):
                # A tilt is about the foot of the subject, so that it moves the rest only.
                change = sign * step * (np.eye(3)[axis] if axis < 2 else np.zeros(3))
                normal = best[:3] + frame[:3, :3] @ change
                normal /= np.linalg.norm(normal)
                foot = aim.point - (aim.point @ best[:3] + best[3]) * best[:3]
                lift = sign * step * aim.radius if axis == 2 else 0.0
                moved = np.append(normal, -foot @ normal - lift)
                if (found := _disagreement(moved, rgb, cameras, aim)) < (1 - MIN_GAIN) * least:
                    best, least = moved, found
                    break
    return best


def _disagreement(
    plane: Float64[np.ndarray, "4"], rgb: list[Float32[np.ndarray, "h w 3"]], cameras: Cameras, aim: Aim
) -> float:
    """Return by how many grey levels the views differ on a plane around the foot of the subject."""
    frame = world_from_plane(plane, aim.point)
    cells = square_cells(frame, aim.radius, SETTLING_CELLS)
    samples = []
    for i in evenly(len(rgb), SETTLING_VIEWS):
        color, seen = looked_up(cells, rgb[i], cameras.select([i]))
        color /= max(float(color[seen].mean()), 1.0) / 128 if seen.any() else 1.0
        samples.append(np.where(seen[:, None], color, np.float32(np.nan)))
    stack = np.stack(samples)
    looks = np.isfinite(stack[..., 0]).sum(0)
    known = looks >= MIN_LOOKS
    if not known.any():
        return float("inf")
    middle = median_over_views(stack[:, known], looks[known])
    apart = np.abs(stack[:, known] - middle).max(-1, keepdims=True)
    return float(np.minimum(median_over_views(apart, looks[known]), MAX_SPREAD).mean())


def _fitted(points: Float64[np.ndarray, "N 3"], centers: Float64[np.ndarray, "V 3"]) -> Float64[np.ndarray, "4"]:
    """Return the plane with the least squares distance to points, its normal towards the cameras."""
    middle = points.mean(0)
    normal = np.linalg.svd(points - middle, full_matrices=False)[2][2]
    normal = normal if np.median((centers - middle) @ normal) > 0 else -normal
    return np.append(normal, -middle @ normal)


def _supports(
    plane: Float64[np.ndarray, "4"], points: Float64[np.ndarray, "N 3"], centers: Float64[np.ndarray, "V 3"], aim: Aim
) -> bool:
    """Return whether a plane may be what the subject stands on: it goes on around it, below it and the cameras."""
    if (centers @ plane[:3] + plane[3] > 0).mean() < MIN_ABOVE:
        return False
    height = float(aim.point @ plane[:3] + plane[3])
    if not -MAX_ABOVE_AIM * aim.radius < height < aim.radius:
        return False
    in_plane = world_from_plane(plane, aim.point)
    x, y, _ = ((points - in_plane[:3, 3]) @ in_plane[:3, :3]).T
    around = np.hypot(x, y) > FOOT * aim.radius
    sectors = np.floor((np.arctan2(y, x)[around] / (2 * np.pi) + 0.5) * 8).astype(int) % 8
    return len(np.unique(sectors)) >= MIN_SURROUNDED
