"""The visual hull of soft silhouettes: a volume in which the views vote, and its outline in each view.

Source: Laurentini, "The visual hull concept for silhouette-based image understanding", PAMI 1994; voting as in
Franco and Boyer, "Fusion of multi-view silhouette cues using a space occupancy grid", ICCV 2005.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.isolation.aim import Aim
from img2world.meshing.grids import BoxGrid, box_grid
from img2world.meshing.surface import Surface
from img2world.meshing.volume import extract_surface
from img2world.render.triangles import rasterize_triangles

MIN_SEEN = 0.5
"""A point that fewer of the views see, relative to the most seen one, is not part of the subject."""

GOLDEN = 0.618034
"""Fraction of the golden ratio, whose multiples modulo 1 are evenly spread from the first on."""

WORTHWHILE = 0.9
"""Part of the points that may be left when those that are ruled out are dropped, which takes time itself."""

MIN_POINTS = 60
"""Grid points of the smallest subject."""

AIM_SIGMA = 0.5
"""Distance from the aim, relative to the radius around it, at which a thing counts for e^(-1/2) of its volume."""


@dataclass(frozen=True, kw_only=True)
class Hull:
    """Where the subject is, as votes on a grid: positive inside."""

    grid: BoxGrid
    votes: Float32[np.ndarray, "X Y Z"]

    @property
    def is_empty(self) -> bool:
        """True when there is too little to be a subject."""
        return bool(np.count_nonzero(self.votes > 0) < MIN_POINTS)

    @property
    def bounds(self) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
        """The lowest and the highest corner of the subject, in the world."""
        inside = np.argwhere(self.votes > 0)
        return self.grid.to_world(inside.min(0)[None])[0], self.grid.to_world(inside.max(0)[None])[0]

    def surface(self) -> Surface:
        """Return the closed surface in the world."""
        vertices, faces = extract_surface(-self.votes, np.ones(self.votes.shape, bool), solid=True)
        return Surface(self.grid.to_world(vertices), faces)

    def contains(self, points: Float[np.ndarray, "P 3"], reach: float) -> Bool[np.ndarray, "P"]:
        """Return which points are inside or at most `reach` grid steps outside."""
        from scipy.ndimage import distance_transform_edt, map_coordinates

        distance = np.asarray(distance_transform_edt(self.votes <= 0), np.float32)
        index = self.grid.to_index(points.astype(np.float64))
        return map_coordinates(distance, index.T, order=1, cval=np.inf) <= reach


def first_grid(aim: Aim, resolution: int) -> BoxGrid:
    """Return the grid around the place where the cameras look."""
    return box_grid(aim.point - aim.radius, aim.point + aim.radius, resolution)


def closer_grid(hull: Hull, resolution: int) -> BoxGrid:
    """Return a finer grid around a hull, with room for what it lacks."""
    low, high = hull.bounds
    margin = 0.08 * float((high - low).max()) + hull.grid.step
    return box_grid(low - margin, high + margin, resolution)


def vote(
    cover: list[Float32[np.ndarray, "h w"]],
    weights: Float64[np.ndarray, "V"],
    cameras: Cameras,
    grid: BoxGrid,
    *,
    agreement: float,
) -> Hull:
    """Return the mean probability of being on the subject over the views that see each grid point, less `agreement`.

    `cover` has the probability at each pixel of each view, NaN where a view is to be ignored.
    """
    points = grid.to_world(np.indices(grid.shape).reshape(3, -1).T).astype(np.float32)
    missed, seen = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
    left, points_left = np.arange(len(points)), points
    views = np.flatnonzero(weights > 0)
    # Views that are far apart come first: they rule out most points, which the others need not look at.
    for i in views[np.argsort(np.arange(len(views)) * GOLDEN % 1, kind="stable")].tolist():
        values = _sampled(cover[i], cameras, i, points_left)
        counted = np.isfinite(values)
        missed[left] += np.float32(weights[i]) * np.where(counted, 1 - values, 0)
        seen[left] += np.float32(weights[i]) * counted
        possible = missed[left] <= (1 - agreement) * weights.sum()
        if np.count_nonzero(possible) < WORTHWHILE * len(left):
            left, points_left = left[possible], points_left[possible]
    mean = np.where(seen > 0, 1 - missed / np.maximum(seen, 1e-6), 0)
    mean[left[seen[left] < MIN_SEEN * seen.max()]] = 0
    return Hull(grid=grid, votes=(mean - agreement).reshape(grid.shape).astype(np.float32))


def _sampled(
    cover: Float32[np.ndarray, "h w"], cameras: Cameras, i: int, points: Float32[np.ndarray, "P 3"]
) -> Float32[np.ndarray, "P"]:
    """Return the values of the picture of view i at points, NaN at those that it does not show."""
    height, width = cover.shape
    _, pixels, inside = cameras.resized(width, height).project(i, points)
    column, row = pixels[inside].astype(np.int64).T
    values = np.full(len(points), np.nan, np.float32)
    values[inside] = cover[row, column]
    return values


def without_below(hull: Hull, plane: Float64[np.ndarray, "4"]) -> Hull:
    """Return the hull without what is below a plane (unit normal towards the cameras, offset)."""
    points = hull.grid.to_world(np.indices(hull.grid.shape).reshape(3, -1).T)
    height = (points @ plane[:3] + plane[3]).reshape(hull.grid.shape) / hull.grid.step
    # In steps of a tenth, so that the cut is where the plane is and not where the grid is.
    return replace(hull, votes=np.minimum(hull.votes, 0.1 * height).astype(np.float32))


def main_part(hull: Hull, aim: Aim) -> Hull:
    """Return the hull without what is apart from the part that the cameras look at, the largest near the aim."""
    import scipy.ndimage

    labels, count = scipy.ndimage.label(hull.votes > 0)  # pyright: ignore[reportGeneralTypeIssues]
    if count < 2:
        return hull
    inside = np.argwhere(labels > 0)
    part = labels[tuple(inside.T)]
    distance = np.linalg.norm(hull.grid.to_world(inside) - aim.point, axis=1) / (AIM_SIGMA * aim.radius)
    mass = np.bincount(part, np.exp(-0.5 * distance**2), count + 1)
    return replace(
        hull, votes=np.where((labels == mass.argmax()) | (labels == 0), hull.votes, -0.01).astype(np.float32)
    )


def silhouette(surface: Surface, camera: Cameras) -> Bool[np.ndarray, "H W"]:
    """Return the pixels of one view that show a closed surface."""
    pose = camera.cam_from_world[0].astype(np.float64)
    in_cam = (surface.vertices @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    if not len(surface.faces):
        return np.zeros((camera.height, camera.width), bool)
    return rasterize_triangles(in_cam, surface.faces, np.ones(len(in_cam), np.float32), camera).face >= 0
