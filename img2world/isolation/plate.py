"""What the support of the subject looks like without the subject."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.isolation.aim import Aim
from img2world.isolation.plane_cells import evenly, looked_up, median_over_views, square_cells, world_from_plane

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


UNKNOWN = 1e6
"""Deviation in pictures that stands for infinity, which cannot be sampled."""


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


@dataclass(frozen=True, kw_only=True)
class PlateView:
    """What the support looks like in a view, for each pixel."""

    low: Float32[np.ndarray, "H W 3"]
    high: Float32[np.ndarray, "H W 3"]
    """Least and largest colour nearby, since cameras and plane are not exact to the pixel."""
    spread: Float32[np.ndarray, "H W"]
    texture: Float32[np.ndarray, "H W"]
    """As those of the plate."""


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
    cells = square_cells(frame, half, CELLS)
    salient, shown = np.zeros((2, len(cells)), np.float32)
    samples = []
    for i in evenly(len(rgb), MAX_LOOKS):
        color, seen = looked_up(cells, rgb[i], cameras.select([i]))
        found, _ = looked_up(cells, np.dstack([network[i], free[i]]).astype(np.float32), cameras.select([i]))
        salient += seen & (found[:, 0] > 0.5)
        shown += seen
        samples.append(np.where((seen & (found[:, 1] > 0.99))[:, None], color, np.float32(np.nan)))
    stack = np.stack(samples)
    looks = np.isfinite(stack[..., 0]).sum(0)
    known = looks >= min(MIN_LOOKS, len(stack))
    colors, spread = np.zeros((len(cells), 3), np.float32), np.full(len(cells), np.inf, np.float32)
    colors[known] = median_over_views(stack[:, known], looks[known])
    deviation = np.abs(stack[:, known] - colors[known]).max(-1, keepdims=True)
    spread[known] = np.maximum(1.5 * median_over_views(deviation, looks[known])[:, 0], SPREAD_FLOOR)
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


def completed(plate: Plate, other: Plate) -> Plate:
    """Return a plate with the cells of another where it is not known: those that an outline hides in too many views."""
    known = np.isfinite(plate.spread)
    return replace(
        plate,
        colors=np.where(known[..., None], plate.colors, other.colors),
        spread=np.where(known, plate.spread, other.spread),
        texture=np.where(known, plate.texture, other.texture),
    )


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
