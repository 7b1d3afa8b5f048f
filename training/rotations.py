"""Turns of made things."""

import numpy as np


def about_y_by(angle: float) -> np.ndarray:
    """A turn about the upright axis."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def about_y(rng: np.random.Generator) -> np.ndarray:
    """Any turn about the upright axis."""
    return about_y_by(rng.uniform(0, 2 * np.pi))


def about_x(angle: float) -> np.ndarray:
    """A turn about the X axis."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def any_turn(rng: np.random.Generator) -> np.ndarray:
    """Any turn at all, from a seeded quaternion."""
    w, x, y, z = (lambda q: q / np.linalg.norm(q))(rng.standard_normal(4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
