"""Where the points of a three-dimensional array lie in the world."""

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
        """Positions of indices."""
        return np.asarray(self.low) + self.step * index.astype(np.float64)

    def pitch(self, index: np.ndarray) -> Float32[np.ndarray, "M"]:
        """The step, everywhere."""
        return np.full(len(index), self.step, np.float32)


@dataclass(frozen=True, kw_only=True)
class FrustumGrid:
    """A grid on the rays of one camera, whose points lie the farther apart the deeper they are.

    The first index runs along x / z, the second along y / z, the third along the logarithm of z.
    """

    world_from_cam: Float64[np.ndarray, "4 4"]
    low: tuple[float, float, float]
    """x / z, y / z and z of the first point."""
    step: float
    """Of x / z and of y / z."""
    depth_ratio: float
    """Of z from each point to the next."""
    shape: tuple[int, int, int]

    def to_world(self, index: np.ndarray) -> Float64[np.ndarray, "M 3"]:
        """Positions of indices."""
        z = self.low[2] * self.depth_ratio ** index[:, 2].astype(np.float64)
        x, y = (z * (self.low[axis] + self.step * index[:, axis]) for axis in (0, 1))
        return np.stack([x, y, z], -1) @ self.world_from_cam[:3, :3].T + self.world_from_cam[:3, 3]

    def pitch(self, index: np.ndarray) -> Float32[np.ndarray, "M"]:
        """Distance along the ray, which is the coarser one."""
        return (self.low[2] * self.depth_ratio ** index[:, 2] * (self.depth_ratio - 1)).astype(np.float32)


Grid = BoxGrid | FrustumGrid


def box_grid(low: Float64[np.ndarray, "3"], high: Float64[np.ndarray, "3"], resolution: int) -> BoxGrid:
    """Cubes that fill a box, with two to spare on each side."""
    step = float((high - low).max()) / (resolution - 5)
    columns, rows, layers = (int(size) for size in np.ceil((high - low) / step).astype(int) + 5)
    shape = (columns, rows, layers)
    low = (low + high) / 2 - step * (np.array(shape) - 1) / 2
    return BoxGrid(low=tuple(low.tolist()), step=step, shape=shape)


def frustum_grid(
    points_in_ref: Float64[np.ndarray, "M 3"],
    rotation: Float64[np.ndarray, "3 3"],
    center: Float64[np.ndarray, "3"],
    resolution: int,
) -> FrustumGrid:
    """The frustum from `center` that holds nearly all of the points."""
    ahead = points_in_ref[points_in_ref[:, 2] > NEAR]
    near, far = np.quantile(ahead[:, 2], [0.0005, 1.0])
    low, high = np.quantile(ahead[:, :2] / ahead[:, 2:], [0.0005, 0.9995], axis=0)
    step = float((high - low).max()) / (resolution - 1)
    # Depth is known less well than direction, so twice the step is fine enough.
    ratio = 1 + 2 * step
    layers = int(np.ceil(np.log(1.05 * far / (0.95 * near)) / np.log(ratio))) + 1
    columns, rows = (int(size) for size in np.ceil((high - low) / step).astype(int) + 1)
    world_from_cam = np.eye(4)
    world_from_cam[:3, :3], world_from_cam[:3, 3] = rotation, center
    return FrustumGrid(
        world_from_cam=world_from_cam,
        low=(float(low[0]), float(low[1]), float(0.95 * near)),
        step=step,
        depth_ratio=ratio,
        shape=(columns, rows, layers),
    )
