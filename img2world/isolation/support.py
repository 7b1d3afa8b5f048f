"""The table or ground that the subject stands on: a plane through the points, and what it looks like without it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from img2world.core.cameras import Cameras
from img2world.core.conventions import NEAR
from img2world.isolation.aim import Aim

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

SETTLING_STEPS, MIN_GAIN = (0.03, 0.015, 0.007), 0.005
"""Moves of a support in radii, and tilts, that are tried; the decrease of the differences that a move must bring."""

SETTLING_CELLS, SETTLING_VIEWS = 96, 16
"""Cells along each side of the square and views that are compared for that."""

ROW = 32
"""Points are looked up in rows of so many; all numbers of cells are multiples of it."""

CELLS = 256
"""Cells along each side of the square of the support whose appearance is kept."""

SIDE = 1.8
"""Half side of this square, in radii."""

MIN_LOOKS, MAX_LOOKS = 4, 32
"""Views that must see a cell, and views that are looked at."""

SPREAD_FLOOR = 4.0
"""Least deviation of a cell's colour, in grey levels, which is that of noise and compression."""

MAX_SPREAD = 28.0
"""A cell whose colour differs by more between the views looks like nothing in particular."""


BASE_VIEWS = 0.8
"""Fraction of the views in which the network takes a cell for the subject if it is part of its base."""

BASE_LEVELS, BASE_CONTRAST = 8, 3.0
"""Levels of each colour channel; a base has its colours so many times as often as the rest of the support."""

MAX_BASE = 0.6
"""Radius of a base, relative to that around the aim, of which a table has more."""

NEIGHBORHOOD, TEXTURED = 9, 6.0
"""Cells along each side of what is compared for texture; contrast between them, in deviations, of certain texture."""


@dataclass(frozen=True, kw_only=True)
class Plate:
    """The colours of the support, as most views show it."""

    world_from_plane: Float64[np.ndarray, "4 4"]
    """The x and y axes lie in the plane, z points to the cameras."""
    half: float
    """Half side of the square about the origin."""
    colors: Float32[np.ndarray, "C C 3"]
    spread: Float32[np.ndarray, "C C"]
    """Typical deviation in grey levels, infinite where the support is not known."""
    texture: Float32[np.ndarray, "C C"]
    """0 where neighbouring cells look alike, so that a thing may look like them by chance, to 1."""


def completed(plate: Plate, other: Plate) -> Plate:
    """Return a plate with the cells of another where it is not known: those that an outline hides in too many views."""
    known = np.isfinite(plate.spread)
    return replace(
        plate,
        colors=np.where(known[..., None], plate.colors, other.colors),
        spread=np.where(known, plate.spread, other.spread),
        texture=np.where(known, plate.texture, other.texture),
    )


def _base(
    colors: Float32[np.ndarray, "C 3"], known: Bool[np.ndarray, "C"], share: Float32[np.ndarray, "C"]
) -> Bool[np.ndarray, "C"]:
    """Return the cells that most views take for the subject and that do not have the colours of the other cells."""
    level = (colors.clip(0, 255) / (256 / BASE_LEVELS)).astype(np.int64)
    bins = (level[:, 0] * BASE_LEVELS + level[:, 1]) * BASE_LEVELS + level[:, 2]
    base = known & (share > BASE_VIEWS)
    inside, outside = (
        np.bincount(bins[cells], minlength=BASE_LEVELS**3) / max(np.count_nonzero(cells), 1)
        for cells in (base, known & (share < 0.5))
    )
    return base & (inside > BASE_CONTRAST * outside)[bins]


def _median(samples: Float32[np.ndarray, "V C K"], counts: Int[np.ndarray, "C"]) -> Float32[np.ndarray, "C K"]:
    """Return the median over the views of samples that are NaN in some; `numpy.nanmedian` takes ten times as long."""
    ordered = np.sort(samples, axis=0)
    return ordered[(counts - 1) // 2, np.arange(len(counts))]


@dataclass(frozen=True, kw_only=True)
class PlateView:
    """What the support looks like in a view, for each pixel."""

    low: Float32[np.ndarray, "H W 3"]
    high: Float32[np.ndarray, "H W 3"]
    """Least and largest colour nearby, since cameras and plane are not exact to the pixel."""
    spread: Float32[np.ndarray, "H W"]
    texture: Float32[np.ndarray, "H W"]
    """As those of the plate."""


UNKNOWN = 1e6
"""Deviation in pictures that stands for infinity, which cannot be sampled."""


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


def world_from_plane(plane: Float64[np.ndarray, "4"], point: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "4 4"]:
    """Return the frame of a plane whose origin is below a point."""
    normal = plane[:3]
    across = np.cross(normal, [0.0, 0.0, 1.0] if abs(normal[2]) < 0.9 else [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([across, np.cross(normal, across), normal], -1)
    matrix[:3, 3] = point - (point @ normal + plane[3]) * normal
    return matrix


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
    cells = _cells(frame, aim.radius, SETTLING_CELLS)
    samples = []
    for i in _evenly(len(rgb), SETTLING_VIEWS):
        color, seen = _looked_up(cells, rgb[i], cameras.select([i]))
        color /= max(float(color[seen].mean()), 1.0) / 128 if seen.any() else 1.0
        samples.append(np.where(seen[:, None], color, np.float32(np.nan)))
    stack = np.stack(samples)
    looks = np.isfinite(stack[..., 0]).sum(0)
    known = looks >= MIN_LOOKS
    if not known.any():
        return float("inf")
    middle = _median(stack[:, known], looks[known])
    apart = np.abs(stack[:, known] - middle).max(-1, keepdims=True)
    return float(np.minimum(_median(apart, looks[known]), MAX_SPREAD).mean())


def _evenly(count: int, most: int) -> list[int]:
    """Return the indices of at most so many of all views, in even steps."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist()


def _cells(frame: Float64[np.ndarray, "4 4"], half: float, count: int) -> Float64[np.ndarray, "C 3"]:
    """Return the centres of the cells of a square with so many along each side, row by row."""
    axis = (np.arange(count) + 0.5) / count * 2 * half - half
    right, up = np.meshgrid(axis, axis)
    return np.stack([right, up, np.zeros_like(up)], -1).reshape(-1, 3) @ frame[:3, :3].T + frame[:3, 3]


def _looked_up(
    points: Float64[np.ndarray, "C 3"], picture: Float32[np.ndarray, "h w *K"], camera: Cameras
) -> tuple[Float32[np.ndarray, "C *K"], Bool[np.ndarray, "C"]]:
    """Return the values of a picture at points, and which points are in it."""
    import cv2

    pose, intrinsics = camera.cam_from_world[0].astype(np.float64), camera.intrinsics[0].astype(np.float64)
    in_cam = points @ pose[:3, :3].T + pose[:3, 3]
    flat = in_cam[:, :2] / np.maximum(in_cam[:, 2:], NEAR) * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
    size = [camera.width, camera.height]
    seen = (in_cam[:, 2] > NEAR) & ((flat > 0.5) & (flat < np.array(size) - 0.5)).all(1)
    # In rows of a picture, which OpenCV limits to 32767 pixels in a row.
    x, y = (np.clip(flat, -2, 4 * max(size)) - 0.5).astype(np.float32).T.reshape(2, -1, ROW)
    values = cv2.remap(picture, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_LINEAR)
    return values.reshape(len(points), *picture.shape[2:]), seen


def make_plate(
    plane: Float64[np.ndarray, "4"],
    rgb: list[Float32[np.ndarray, "h w 3"]],
    network: list[Float32[np.ndarray, "h w"]],
    free: list[Bool[np.ndarray, "h w"]],
    cameras: Cameras,
    aim: Aim,
) -> Plate:
    """Return the median colour of each cell of the support over the views in which it is `free`.

    What a thing hides in some views is seen by the others; a shadow that lies still belongs to the support. A small
    area that the `network` takes for the subject in nearly all views is its base, such as the plate under a burger,
    and not known, unless it looks like the rest; a large one is a table.
    """
    import cv2

    frame, half = world_from_plane(plane, aim.point), SIDE * aim.radius
    cells = _cells(frame, half, CELLS)
    salient, shown = np.zeros((2, len(cells)), np.float32)
    samples = []
    for i in _evenly(len(rgb), MAX_LOOKS):
        color, seen = _looked_up(cells, rgb[i], cameras.select([i]))
        found, _ = _looked_up(cells, np.dstack([network[i], free[i]]).astype(np.float32), cameras.select([i]))
        salient += seen & (found[:, 0] > 0.5)
        shown += seen
        samples.append(np.where((seen & (found[:, 1] > 0.99))[:, None], color, np.float32(np.nan)))
    stack = np.stack(samples)
    looks = np.isfinite(stack[..., 0]).sum(0)
    known = looks >= min(MIN_LOOKS, len(stack))
    colors, spread = np.zeros((len(cells), 3), np.float32), np.full(len(cells), np.inf, np.float32)
    colors[known] = _median(stack[:, known], looks[known])
    deviation = np.abs(stack[:, known] - colors[known]).max(-1, keepdims=True)
    spread[known] = np.maximum(1.5 * _median(deviation, looks[known])[:, 0], SPREAD_FLOOR)
    spread[spread > MAX_SPREAD] = np.inf
    share = (salient / np.maximum(shown, 1)).astype(np.float32)
    base = _base(colors, known, share)
    if base.any() and np.percentile(np.linalg.norm(cells[base] - frame[:3, 3], axis=1), 95) < MAX_BASE * aim.radius:
        spread[base] = np.inf
    colors, spread = colors.reshape(CELLS, CELLS, 3), spread.reshape(CELLS, CELLS)
    window = np.ones((NEIGHBORHOOD, NEIGHBORHOOD), np.uint8)
    contrast = (cv2.dilate(colors, window) - cv2.erode(colors, window)).max(-1)
    texture = np.clip((contrast / np.where(np.isfinite(spread), spread, np.float32(1e6)) - 2) / TEXTURED, 0, 1)
    return Plate(world_from_plane=frame, half=half, colors=colors, spread=spread, texture=texture.astype(np.float32))


def plate_in_view(plate: Plate, camera: Cameras) -> PlateView:
    """Return what the support looks like in a view without the subject."""
    import cv2

    height, width = camera.height, camera.width
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0].astype(np.float64)
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pose = camera.world_from_cam[0].astype(np.float64)
    plane_from_cam = plate.world_from_plane[:3, :3].T @ pose[:3, :3]
    eye = plate.world_from_plane[:3, :3].T @ (pose[:3, 3] - plate.world_from_plane[:3, 3])
    rays = np.stack([(column - cx) / fx, (row - cy) / fy, np.ones_like(row)], -1) @ plane_from_cam.T
    along = -eye[2] / np.where(np.abs(rays[..., 2]) > 1e-6, rays[..., 2], 1e-6)
    xy = np.where((along > 0)[..., None], eye[:2] + along[..., None] * rays[..., :2], 10 * plate.half)
    at = ((xy + plate.half) / (2 * plate.half) * CELLS - 0.5).clip(-10, CELLS + 10).astype(np.float32)
    window = np.ones((3, 3), np.uint8)
    finite = np.where(np.isfinite(plate.spread), plate.spread, np.float32(UNKNOWN))
    spread = _sampled(finite, at, UNKNOWN)
    return PlateView(
        low=_sampled(cv2.erode(plate.colors, window), at, 0.0),
        high=_sampled(cv2.dilate(plate.colors, window), at, 0.0),
        spread=np.where(spread < UNKNOWN, spread, np.float32(np.inf)),
        texture=_sampled(plate.texture, at, 0.0),
    )


def _sampled(
    picture: Float32[np.ndarray, "h w *C"], at: Float32[np.ndarray, "H W 2"], outside: float
) -> Float32[np.ndarray, "H W *C"]:
    """Return the nearest pixels of a picture, and a constant beside it."""
    import cv2

    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    border: dict[str, Any] = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (outside,) * 3}
    return cv2.remap(picture, x, y, cv2.INTER_NEAREST, **border)
