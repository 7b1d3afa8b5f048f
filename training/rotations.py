"""Rotation matrices and directions for procedural geometry, +Y up."""

import numpy as np


def rotation_y(angle: float) -> np.ndarray:
    """Return the rotation about the Y axis by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def random_rotation_y(rng: np.random.Generator) -> np.ndarray:
    """Return a uniformly random rotation about the Y axis."""
    return rotation_y(rng.uniform(0, 2 * np.pi))


def rotation_x(angle: float) -> np.ndarray:
    """Return the rotation about the X axis by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Return a uniformly random rotation, drawn as a unit quaternion."""
    w, x, y, z = (lambda q: q / np.linalg.norm(q))(rng.standard_normal(4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def unit_direction(azimuth: float, elevation: float) -> np.ndarray:
    """Return the unit vector at an azimuth from +Z towards +X and an elevation above the horizon, in radians."""
    return np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
