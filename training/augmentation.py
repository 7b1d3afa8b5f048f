"""Augment assets: stretch, taper and combine them. Straight and flat parts stay so.

The effect is measured in `assets/nano/README.md`.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from training.assembly import Assembly
from training.rotations import random_rotation_y

STRETCH_SIGMA = 0.2
"""Standard deviation of the logarithm of the stretch along each axis."""

TAPERED_FRACTION, MAX_TAPER = 0.25, 0.3
"""Fraction of assets that widen or narrow towards the top, and by which fraction of their width at most."""


def vary_proportions(asset: Assembly, rng: np.random.Generator) -> Assembly:
    """Return an asset with other proportions, standing where it stood and no larger; textures deform with it."""
    low, high = asset.bounds()
    size = high - low + 1e-9
    stretch = np.exp(rng.normal(0, STRETCH_SIGMA, 3))
    taper = rng.uniform(-MAX_TAPER, MAX_TAPER) if rng.random() < TAPERED_FRACTION else 0.0
    max_width = max(stretch[0] * size[0], stretch[2] * size[2]) * (1 + abs(taper))
    stretch *= size.max() / max(max_width, stretch[1] * size[1])

    def deform(points: Float[np.ndarray, "M 3"]) -> Float[np.ndarray, "M 3"]:
        relative = points - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]
        width_factor = 1 + taper * (2 * relative[:, 1] / size[1] - 1)
        return relative * stretch * np.stack([width_factor, np.ones_like(width_factor), width_factor], 1) + [
            0,
            low[1],
            0,
        ]

    return replace(asset, shapes=[replace(shape, vertices=deform(shape.vertices)) for shape in asset.shapes])


def combine(first: Assembly, second: Assembly, rng: np.random.Generator) -> Assembly:
    """Return an assembly of one asset with a smaller one on top of it or beside it."""
    assembly = Assembly()
    assembly.add_assembly(first, at=(0, 0, 0))
    size, rotation = float(rng.uniform(0.25, 0.8)), random_rotation_y(rng)
    (low, high), (second_low, second_high) = first.bounds(), second.bounds()
    center = (low + high) / 2
    if rng.random() < 0.5:
        at = np.array([center[0], high[1] - size * second_low[1] - 0.01, center[2]])
    else:
        distance = 0.5 * size * float(np.max(second_high - second_low)) + 0.5 * (high - low)[[0, 2]]
        azimuth = rng.uniform(0, 2 * np.pi)
        at = np.array([center[0] + np.cos(azimuth) * distance[0], low[1], center[2] + np.sin(azimuth) * distance[1]])
    assembly.add_assembly(second, at=at, size=size, rotation=rotation)
    return assembly
