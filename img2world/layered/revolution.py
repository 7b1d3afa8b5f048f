"""Things that are round about an upright axis: cans, cups, bottles, balls. Their outline tells their shape.

The embedded network takes them for pillows that lean; what it sees is only asked whether a thing is round at all, and
from how far above it is seen.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.layers import rays_in_cam
from img2world.layered.solids import (
    LARGEST_DIFFERENCE,
    LEAST_OVERLAP,
    around_axis,
    difference,
    frame_width,
    sampled,
    up_in_cam,
)

ELEVATIONS = np.radians(np.arange(0, 61, 2.5))
"""Of the camera above the thing, that are tried."""

SLICES, RADII, ANGLES = 96, 64, 48
"""Slices along the axis, radii that are tried for each, places on each circle that must lie within the outline."""

STEPS = 64
"""Places on each ray through the shape."""

SAME_PLACE = 0.5
"""Pixels by which two slices may reach differently far down or up to be taken for equally far."""

REACH = 0.6
"""Half of the depth that is searched, relative to the frame's width at the thing's distance."""


@dataclass(frozen=True, kw_only=True)
class Revolution:
    """A shape that is round about an axis through the point that the camera looks at; a `Solid`."""

    elevation: float
    """Of the camera, in radians: the axis leans by as much towards it."""
    heights: Float64[np.ndarray, "N"]
    """Along the axis, rising; lengths of the world."""
    radii: Float64[np.ndarray, "N"]

    def surface(self, rows: int, columns: int) -> Float64[np.ndarray, "rows columns 3"]:
        """See `Solid`; rows are evenly spaced."""
        radii = np.concatenate([[0], self.radii, [0]])
        heights = np.concatenate([self.heights[:1], self.heights, self.heights[-1:]])
        way = np.concatenate([[0], np.cumsum(np.hypot(np.diff(radii), np.diff(heights)))])
        at = np.linspace(0, way[-1], rows)
        radius, height = np.interp(at, way, radii)[:, None, None], np.interp(at, way, heights)[:, None, None]
        angles = np.linspace(0, 2 * np.pi, columns)
        return (
            (0, 0, INPUT_DISTANCE) + height * up_in_cam(self.elevation) + radius * around_axis(self.elevation, angles)
        )

    def depths(self, camera: Cameras) -> tuple[Float64[np.ndarray, "H W"], Float64[np.ndarray, "H W"]]:
        """See `Solid`; precise to half of a step, which is 0.02 of the frame's width at the thing's distance."""
        rays = rays_in_cam(camera).astype(np.float64)
        reach = REACH * frame_width(camera)
        depths = INPUT_DISTANCE + np.linspace(-reach, reach, STEPS)
        up = up_in_cam(self.elevation)
        # Around the axis, of places d * ray - centre, all from three products of each ray.
        along, length = rays @ up, (rays**2).sum(-1)
        inside = np.empty((STEPS, *along.shape), bool)
        for i, depth in enumerate(depths):
            height = depth * along - INPUT_DISTANCE * up[2]
            squared = depth**2 * length - 2 * depth * INPUT_DISTANCE + INPUT_DISTANCE**2 - height**2
            radius = np.interp(height, self.heights, self.radii, left=-1, right=-1)
            inside[i] = (radius > 0) & (squared < radius**2)
        hit, half_step = inside.any(0), reach / (STEPS - 1)
        near = depths[inside.argmax(0)] - half_step
        far = depths[STEPS - 1 - inside[::-1].argmax(0)] + half_step
        return np.where(hit, near, np.nan), np.where(hit, far, np.nan)


def round_shape(
    distance: Float32[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    thickness: Float32[np.ndarray, "S S"],
    camera: Cameras,
) -> Revolution | None:
    """The round shape with an outline, if one agrees with what the network sees of it.

    `distance` is to the outline in pixels, negative outside of it; `front` and `thickness` are relative to the
    frame's width, as in `ObjectGeometry`.
    """
    inside = distance > 0
    mirrored = inside[:, ::-1]
    # Two outlines that each overlap a third one that much overlap each other; a needle has no inside at this size.
    if not inside.any() or (inside & mirrored).sum() < (2 * LEAST_OVERLAP - 1) * (inside | mirrored).sum():
        return None
    best: Revolution | None = None
    least = LARGEST_DIFFERENCE
    for elevation in ELEVATIONS:
        shape = largest_within(distance, camera, float(elevation))
        if shape is not None and (wrong := difference(shape, inside, front, thickness, camera)) < least:
            best, least = shape, wrong
    return best


def largest_within(distance: Float32[np.ndarray, "S S"], camera: Cameras, elevation: float) -> Revolution | None:
    """The largest round shape that is seen within an outline from one elevation; None where nothing fits.

    Each slice is the largest circle about the axis that is seen within: a visual hull (Laurentini 1994) of one
    silhouette and all that it is when the thing turns.
    """
    up = up_in_cam(elevation)
    pixel = frame_width(camera) / camera.width
    extents = [np.ptp(np.flatnonzero((distance > 0).any(axis))) + 1 for axis in (1, 0)]
    half_height, half_width = (0.5 * pixel * extent for extent in extents)
    heights = np.linspace(-1, 1, SLICES) * 1.2 * half_height / max(np.cos(elevation), 0.4)
    radii = np.linspace(0, 1.1 * half_width, RADII)
    circle = around_axis(elevation, np.linspace(0, 2 * np.pi, ANGLES, endpoint=False))
    points = (0, 0, INPUT_DISTANCE) + heights[:, None, None, None] * up + radii[:, None, None] * circle  # [N, R, A, 3]
    least = sampled(distance, points, camera).min(-1)  # [N, R]
    fitting = np.minimum.accumulate(least >= 0, axis=1).sum(1)  # [N]
    last = (fitting - 1).clip(0, RADII - 2)
    here, beyond = (np.take_along_axis(least, index[:, None], 1)[:, 0] for index in (last, last + 1))
    between = np.where(beyond < 0, here / np.maximum(here - beyond, 1e-9), 0).clip(0, 1)
    found = np.where(fitting > 1, radii[last] + between * radii[1], 0)
    return trimmed(heights, found, elevation, pixel)


def trimmed(heights: np.ndarray, radii: np.ndarray, elevation: float, pixel: float) -> Revolution | None:
    """Without the ends that no outline tells: from above, a can and one with a cone under it look alike.

    The outline's lowest and highest place belong to the slices at both ends; what goes on below or above them is
    hidden by them. `pixel` is the size of one at the thing's distance.
    """
    used = np.flatnonzero(radii > 0)
    if len(used) < 3:
        return None
    up = up_in_cam(elevation)
    farthest, nearest = (
        (0, 0, INPUT_DISTANCE) + heights[used, None] * up + radii[used, None] * direction
        for direction in around_axis(elevation, np.array([0, np.pi]))
    )
    lowest, highest = (
        INPUT_DISTANCE * points[:, 1] / points[:, 2] for points in (nearest, farthest)
    )  # rows grow downwards
    bottom = np.flatnonzero(lowest > lowest.max() - SAME_PLACE * pixel)[-1]
    top = np.flatnonzero(highest < highest.min() + SAME_PLACE * pixel)[0]
    low, high = sorted((used[bottom], used[top]))
    kept = slice(low, max(high, low + 1) + 1)
    return Revolution(elevation=elevation, heights=heights[kept], radii=radii[kept])
