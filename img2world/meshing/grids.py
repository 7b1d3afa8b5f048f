"""Grids in the world on which a signed distance is sampled."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.conventions import NEAR


@dataclass(frozen=True, kw_only=True)
class BoxGrid:
    """A regular grid along the world's axes."""

    low: tuple[float, float, float]
    step: float
    shape: tuple[int, int, int]

    def to_world(self, index: np.ndarray) -> Float64[np.ndarray, "M 3"]:
        """Return the world positions of grid indices [M, 3], which may be fractional."""
        return np.asarray(self.low) + self.step * index.astype(np.float64)

    def to_index(self, points: Float64[np.ndarray, "M 3"]) -> Float64[np.ndarray, "M 3"]:
        """Return the fractional grid indices of world positions."""
        return (points - np.asarray(self.low)) / self.step

    def pitch(self, index: np.ndarray) -> Float32[np.ndarray, "M"]:
        """Return the distance between grid points at indices [M, 3]."""
        return np.full(len(index), self.step, np.float32)


@dataclass(frozen=True, kw_only=True)
class FrustumGrid:
    """A grid along the rays of one camera, whose spacing grows with depth.

    The first index runs along x / z, the second along y / z, the third along the logarithm of z.
    """

    world_from_cam: Float64[np.ndarray, "4 4"]
    low: tuple[float, float, float]
    """x / z, y / z and z of the first point."""
    step: float
    """Spacing in x / z and in y / z."""
    depth_ratio: float
    """z of a point over z of the one before it."""
    shape: tuple[int, int, int]

    def to_world(self, index: np.ndarray) -> Float64[np.ndarray, "M 3"]:
        """Return the world positions of grid indices [M, 3], which may be fractional."""
        z = self.low[2] * self.depth_ratio ** index[:, 2].astype(np.float64)
        x, y = (z * (self.low[axis] + self.step * index[:, axis]) for axis in (0, 1))
        return np.stack([x, y, z], -1) @ self.world_from_cam[:3, :3].T + self.world_from_cam[:3, 3]

    def to_index(self, points: Float64[np.ndarray, "M 3"]) -> Float64[np.ndarray, "M 3"]:
        """Return the fractional grid indices of world positions in front of the camera; others become NaN."""
        in_cam = (points - self.world_from_cam[:3, 3]) @ self.world_from_cam[:3, :3]
        z = np.where(in_cam[:, 2:] > NEAR, in_cam[:, 2:], np.nan)
        across = (in_cam[:, :2] / z - self.low[:2]) / self.step
        return np.concatenate([across, np.log(z / self.low[2]) / np.log(self.depth_ratio)], 1)

    def pitch(self, index: np.ndarray) -> Float32[np.ndarray, "M"]:
        """Return the distance between grid points along the ray, the coarser direction, at indices [M, 3]."""
        return (self.low[2] * self.depth_ratio ** index[:, 2] * (self.depth_ratio - 1)).astype(np.float32)


Grid = BoxGrid | FrustumGrid


def box_grid(low: Float64[np.ndarray, "3"], high: Float64[np.ndarray, "3"], resolution: int) -> BoxGrid:
    """Return a grid of cubes that fills a box and extends two cubes beyond each side."""
    step = float((high - low).max()) / (resolution - 5)
    columns, rows, layers = (int(size) for size in np.ceil((high - low) / step).astype(int) + 5)
    shape = (columns, rows, layers)
    low = (low + high) / 2 - step * (np.array(shape) - 1) / 2
    return BoxGrid(low=tuple(low.tolist()), step=step, shape=shape)


def frustum_grid(
    points_in_cam: Float64[np.ndarray, "M 3"], world_from_cam: Float64[np.ndarray, "4 4"], resolution: int
) -> FrustumGrid:
    """Return the grid in a camera's frustum that contains nearly all of the points in front of the camera."""
    ahead = points_in_cam[points_in_cam[:, 2] > NEAR]
    near, far = np.quantile(ahead[:, 2], [0.0005, 1.0])
    low, high = np.quantile(ahead[:, :2] / ahead[:, 2:], [0.0005, 0.9995], axis=0)
    step = float((high - low).max()) / (resolution - 1)
    # Depth is known less precisely than direction, so twice the step is fine enough.
    ratio = 1 + 2 * step
    layers = int(np.ceil(np.log(1.05 * far / (0.95 * near)) / np.log(ratio))) + 1
    columns, rows = (int(size) for size in np.ceil((high - low) / step).astype(int) + 1)
    return FrustumGrid(
        world_from_cam=world_from_cam,
        low=(float(low[0]), float(low[1]), float(0.95 * near)),
        step=step,
        depth_ratio=ratio,
        shape=(columns, rows, layers),
    )
