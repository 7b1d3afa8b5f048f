"""Fit a surface of revolution about an upright axis to the outline of an object: cans, cups, bottles, balls.

The embedded network predicts such objects as leaning pillows; its prediction only decides whether the object is round
at all, and the elevation of the camera.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.layers import rays_in_cam
from img2world.layered.solids import (
    MAX_DIFFERENCE,
    MIN_IOU,
    around_axis,
    frame_width,
    sample_at_points,
    shape_difference,
    up_in_cam,
)
from img2world.layered.symmetry import sum_neighbors

ELEVATIONS = np.radians(np.arange(0, 61, 2.5))
"""Elevations of the camera above the object that are tried, in radians."""

NUM_SLICES, NUM_RADII, NUM_ANGLES = 96, 64, 48
"""Slices along the axis, radii that are tried for each, points of each circle that must lie within the outline."""

NUM_DEPTHS = 64
"""Points on each ray at which the shape is tested."""

MIN_EVENNESS = 0.35
"""Probability of the least likely direction of a symmetry plane relative to the likeliest, above which the embedded
network sees an object that looks alike from all around. Boxes have less than 0.15."""

EVEN_MIN_IOU, EVEN_MAX_DIFFERENCE = 0.92, 0.08
"""Used for such objects in place of MIN_IOU and MAX_DIFFERENCE: a cake has berries, a burger salad at its outline."""

ELEVATION_TOLERANCE = np.radians(7.5)
"""Maximum difference from the predicted elevation of the camera for such objects, whose outline is less exact."""

EXTREME_TOLERANCE = 0.5
"""Difference in pixels up to which the lowest or highest rows of two slices count as equal."""

SEARCH_RANGE = 0.6
"""Half of the depth range of those points, relative to the frame's width at the object's distance."""


@dataclass(frozen=True, kw_only=True)
class Revolution:
    """A surface of revolution whose axis goes through the point that the camera looks at; a `Solid`."""

    elevation: float
    """Elevation of the camera in radians: the axis leans towards the camera by this angle."""
    heights: Float64[np.ndarray, "N"]
    """Increasing positions along the axis, in world units."""
    radii: Float64[np.ndarray, "N"]
    """Radius at each height, in world units."""

    def surface(self, rows: int, columns: int) -> Float64[np.ndarray, "rows columns 3"]:
        """Return a grid of surface points, see `Solid`; rows are evenly spaced along the profile."""
        radii = np.concatenate([[0], self.radii, [0]])
        heights = np.concatenate([self.heights[:1], self.heights, self.heights[-1:]])
        length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(radii), np.diff(heights)))])
        at = np.linspace(0, length[-1], rows)
        radius, height = np.interp(at, length, radii)[:, None, None], np.interp(at, length, heights)[:, None, None]
        angles = np.linspace(0, 2 * np.pi, columns)
        return (
            (0, 0, INPUT_DISTANCE) + height * up_in_cam(self.elevation) + radius * around_axis(self.elevation, angles)
        )

    def depths(self, camera: Cameras) -> tuple[Float64[np.ndarray, "H W"], Float64[np.ndarray, "H W"]]:
        """Return the depths of the first and last surface, see `Solid`.

        Precise to half of a step, which is 0.02 of the frame's width at the object's distance.
        """
        rays = rays_in_cam(camera).astype(np.float64)
        reach = SEARCH_RANGE * frame_width(camera)
        depths = INPUT_DISTANCE + np.linspace(-reach, reach, NUM_DEPTHS)
        up = up_in_cam(self.elevation)
        # Height and squared radius of the points depth * ray about the axis follow from two products of each ray.
        along, squared_length = rays @ up, (rays**2).sum(-1)
        inside = np.empty((NUM_DEPTHS, *along.shape), bool)
        for i, depth in enumerate(depths):
            height = depth * along - INPUT_DISTANCE * up[2]
            squared = depth**2 * squared_length - 2 * depth * INPUT_DISTANCE + INPUT_DISTANCE**2 - height**2
            radius = np.interp(height, self.heights, self.radii, left=-1, right=-1)
            inside[i] = (radius > 0) & (squared < radius**2)
        hit, half_step = inside.any(0), reach / (NUM_DEPTHS - 1)
        near = depths[inside.argmax(0)] - half_step
        far = depths[NUM_DEPTHS - 1 - inside[::-1].argmax(0)] + half_step
        return np.where(hit, near, np.nan), np.where(hit, far, np.nan)


def fit_revolution(
    distance: Float32[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    thickness: Float32[np.ndarray, "S S"],
    planes: Float32[np.ndarray, "37"],
    elevation: float,
    camera: Cameras,
) -> Revolution | None:
    """Return the surface of revolution with the outline of an object, or None if none agrees with the prediction.

    `distance` is the signed distance to the outline in pixels, negative outside; `front`, `thickness`, `planes` and
    `elevation` are those of `ObjectGeometry`.
    """
    directions = sum_neighbors(planes)
    is_even = directions.min() > MIN_EVENNESS * directions.max()
    min_iou, min_difference = (EVEN_MIN_IOU, EVEN_MAX_DIFFERENCE) if is_even else (MIN_IOU, MAX_DIFFERENCE)
    inside = distance > 0
    mirrored = inside[:, ::-1]
    # The result has a symmetric silhouette, so that an outline that overlaps it overlaps its own mirror image, too.
    # A needle has no inside at this size.
    if not inside.any() or (inside & mirrored).sum() < (2 * min_iou - 1) * (inside | mirrored).sum():
        return None
    best = None
    near = np.abs(ELEVATIONS - max(elevation, 0)) < ELEVATION_TOLERANCE
    for angle in ELEVATIONS[near] if is_even else ELEVATIONS:
        shape = carve_revolution(distance, camera, float(angle))
        if shape is None:
            continue
        found = shape_difference(shape, inside, front, thickness, camera, min_iou=min_iou)
        if found < min_difference:
            best, min_difference = shape, found
    return best


def carve_revolution(distance: Float32[np.ndarray, "S S"], camera: Cameras, elevation: float) -> Revolution | None:
    """Return the largest surface of revolution whose silhouette lies within an outline; None where nothing fits.

    Each slice is the largest circle about the axis that projects into the outline. The result is the visual hull
    (Laurentini 1994) of an object that shows the same silhouette from all around.
    """
    up = up_in_cam(elevation)
    pixel = frame_width(camera) / camera.width
    extents = [np.ptp(np.flatnonzero((distance > 0).any(axis))) + 1 for axis in (1, 0)]
    half_height, half_width = (0.5 * pixel * extent for extent in extents)
    heights = np.linspace(-1, 1, NUM_SLICES) * 1.2 * half_height / max(np.cos(elevation), 0.4)
    radii = np.linspace(0, 1.1 * half_width, NUM_RADII)
    circle = around_axis(elevation, np.linspace(0, 2 * np.pi, NUM_ANGLES, endpoint=False))
    points = (0, 0, INPUT_DISTANCE) + heights[:, None, None, None] * up + radii[:, None, None] * circle  # [N, R, A, 3]
    clearance = sample_at_points(distance, points, camera).min(-1)  # [N, R]
    fitting = np.minimum.accumulate(clearance >= 0, axis=1).sum(1)  # [N]
    last = (fitting - 1).clip(0, NUM_RADII - 2)
    here, beyond = (np.take_along_axis(clearance, index[:, None], 1)[:, 0] for index in (last, last + 1))
    between = np.where(beyond < 0, here / np.maximum(here - beyond, 1e-9), 0).clip(0, 1)
    found = np.where(fitting > 1, radii[last] + between * radii[1], 0)
    return trim_hidden_ends(heights, found, elevation, pixel)


def trim_hidden_ends(heights: np.ndarray, radii: np.ndarray, elevation: float, pixel: float) -> Revolution | None:
    """Cut off ends that the outline does not determine: from above, a can and a can with a cone under it look alike.

    The slices at both ends are those that reach the lowest and the highest row of the outline; slices below and above
    would be hidden. `pixel` is the size of a pixel at the object's distance, in world units. Return None where fewer
    than 3 slices have a radius.
    """
    used = np.flatnonzero(radii > 0)
    if len(used) < 3:
        return None
    up = up_in_cam(elevation)
    farthest, nearest = (
        (0, 0, INPUT_DISTANCE) + heights[used, None] * up + radii[used, None] * direction
        for direction in around_axis(elevation, np.array([0, np.pi]))
    )
    # Rows grow downwards.
    lowest, highest = (INPUT_DISTANCE * points[:, 1] / points[:, 2] for points in (nearest, farthest))
    bottom = np.flatnonzero(lowest > lowest.max() - EXTREME_TOLERANCE * pixel)[-1]
    top = np.flatnonzero(highest < highest.min() + EXTREME_TOLERANCE * pixel)[0]
    low, high = sorted((used[bottom], used[top]))
    kept = slice(low, max(high, low + 1) + 1)
    return Revolution(elevation=elevation, heights=heights[kept], radii=radii[kept])
