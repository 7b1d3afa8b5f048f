"""A far shell of Gaussians behind a captured scene: its sky, its ground, and what is too far or too plain for points.

Without it a training explains a sky or a plain wall by haze close to the cameras, which no other view confirms.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32

from img2world.core.cameras import Cameras
from img2world.core.gaussians import Gaussians
from img2world.core.metric import up_direction
from img2world.core.views import Views
from img2world.render import rasterize
from img2world.render.splats import splats_from_gaussians
from img2world.splat.initialize import MIN_POINTS, gaussians_from_surface

NUM_DIRECTIONS = 4000
"""Gaussians on the whole sphere, about 3° apart; training splits them where the background has detail."""

OVERLAP = 1.4
"""Size of the Gaussians in units of that of discs on a surface, so that nothing shows between them."""

DISTANCE = 4.0
"""Radius in units of the distance, from the middle of the cameras, of all but the farthest points."""

BORDER = 0.05
"""Width around each picture, as a fraction of its longer side, in which the sphere goes on."""

MIN_FLOOR = 0.01
"""Smallest distance of a floor below the cameras, as a fraction of the radius."""

TOLERANCE = 0.9
"""Fraction of the shell's distance from which a Gaussian counts as part of it."""

MIN_WEIGHT = 1.0
"""Pixels, over all views, that a Gaussian of the sphere must fill to be kept."""


@dataclass(frozen=True, kw_only=True)
class FarShell:
    """A sphere around all cameras and points, cut off below by a floor beneath all points."""

    center: Float[np.ndarray, "3"]
    """Mean position of the cameras in the world."""
    radius: float
    down: Float[np.ndarray, "3"]
    """Unit vector."""
    floor: float
    """Distance from the centre down to the floor; infinite where no points are below."""

    @staticmethod
    def around(views: Views) -> "FarShell":
        """Return the shell of views with sparse points."""
        positions = views.cameras.centers_in_world.astype(np.float64)
        center, down = positions.mean(0), -up_direction(views.cameras)
        offsets = np.concatenate([views.points, positions]) - center
        radius = DISTANCE * float(np.percentile(np.linalg.norm(offsets, axis=1), 99))
        depth = float(np.percentile(offsets @ down, 99))
        return FarShell(center=center, radius=radius, down=down, floor=depth if depth > MIN_FLOOR * radius else np.inf)

    def distance(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
        """Return the distance of the shell from its centre in directions of unit length."""
        return np.minimum(self.radius, self.floor / np.maximum(directions @ self.down, 1e-9))

    def holds(self, gaussians: Gaussians) -> Bool[np.ndarray, "N"]:
        """Mark the Gaussians that are on the shell or beyond."""
        offsets = gaussians.means - self.center
        lengths = np.linalg.norm(offsets, axis=1)
        return lengths > TOLERANCE * self.distance(offsets / np.maximum(lengths, 1e-9)[:, None])

    def gaussians(self, views: Views) -> Gaussians | None:
        """Return Gaussians wherever the views look, in the median colour of the views, or None if too few."""
        directions = _fibonacci_sphere(NUM_DIRECTIONS)
        distances = self.distance(directions)
        points = (self.center + distances[:, None] * directions).astype(np.float32)
        colors, seen = _median_colors(views, points)
        if seen.sum() < MIN_POINTS:
            return None
        normals = np.where((distances < self.radius)[:, None], -self.down, -directions)
        shell = gaussians_from_surface(points[seen], normals[seen], colors[seen], NUM_DIRECTIONS)
        return replace(shell, log_scales=shell.log_scales + np.float32(np.log(OVERLAP)))

    def without_hidden(self, gaussians: Gaussians, cameras: Cameras) -> Gaussians:
        """Remove what is on the shell but hidden from all cameras by what is in front of it."""
        on_shell = self.holds(gaussians)
        if not on_shell.any():
            return gaussians
        return gaussians.select(~on_shell | (pixels_filled(gaussians, cameras) >= MIN_WEIGHT))


def pixels_filled(gaussians: Gaussians, cameras: Cameras) -> Float32[np.ndarray, "N"]:
    """Return the sum of each Gaussian's blending weights over all pixels of all cameras.

    A weight is the derivative of a pixel's colour by the Gaussian's, so one backward pass a camera gives them all. It
    is taken on the CPU, wherever the Gaussians were trained.
    """
    splats = splats_from_gaussians(gaussians)
    colors = torch.ones(len(gaussians), 3, requires_grad=True)
    for i in range(len(cameras)):
        rendering = rasterize(splats, cameras.select([i]), colors=colors, backend="native")
        rendering.rgb[..., 0].sum().backward()
    assert colors.grad is not None  # Every camera has had a backward pass.
    return colors.grad[:, 0].numpy()


def _fibonacci_sphere(count: int) -> Float[np.ndarray, "N 3"]:
    """Return directions evenly over a sphere (González 2010, "Measurement of areas on a sphere")."""
    k = np.arange(count) + 0.5
    y = 1 - 2 * k / count
    angle = np.pi * (1 + np.sqrt(5)) * k
    across = np.sqrt(1 - y * y)
    return np.stack([across * np.cos(angle), y, across * np.sin(angle)], -1)


def _median_colors(
    views: Views, points: Float32[np.ndarray, "P 3"]
) -> tuple[Float[np.ndarray, "P 3"], Bool[np.ndarray, "P"]]:
    """Return the median colour of each point in the views that see it, 0 to 1, and whether any does."""
    import cv2

    cameras = views.cameras
    spacing = np.sqrt(4 * np.pi / NUM_DIRECTIONS)
    samples = np.full((len(views), len(points), 3), np.nan, np.float32)
    border = BORDER * max(cameras.width, cameras.height)
    for i, rgb in enumerate(views.rgb):
        _, pixels, inside = cameras.project(i, points, border)
        # The mean colour of the area that a Gaussian covers.
        side = max(1, round(spacing * float(cameras.intrinsics[i, 0, 0])))
        blurred = cv2.blur(rgb, (side, side))
        columns, rows = np.clip(pixels[inside].astype(np.int64), 0, [cameras.width - 1, cameras.height - 1]).T
        usable = np.ones(len(rows), bool) if views.mask is None else views.mask[i][rows, columns] > 0
        samples[i, np.flatnonzero(inside)[usable]] = blurred[rows[usable], columns[usable]] / 255.0
    seen = np.asarray(np.isfinite(samples[..., 0]).any(0))
    colors = np.zeros((len(points), 3))
    colors[seen] = np.nanmedian(samples[:, seen], axis=0)
    return colors, seen
