"""Models changed to ones that nobody has made: stretched, tapered and put together, so that few stand for many.

What is straight or flat stays so, as most that people make is. What this brings: `assets/nano/README.md`.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from training.assembly import Composition
from training.rotations import about_y

STRETCH = 0.2
"""Standard deviation of the logarithm of what each side is stretched by."""

SHARE_OF_TAPERED, TAPER = 0.25, 0.3
"""How many become wider or narrower towards their top, and by which share of their width at most."""


def varied(model: Composition, rng: np.random.Generator) -> Composition:
    """A model of other proportions, no larger than it was and where it stood; its texture moves with it."""
    low, high = model.bounds()
    size = high - low + 1e-9
    stretch = np.exp(rng.normal(0, STRETCH, 3))
    taper = rng.uniform(-TAPER, TAPER) if rng.random() < SHARE_OF_TAPERED else 0.0
    widest = max(stretch[0] * size[0], stretch[2] * size[2]) * (1 + abs(taper))
    stretch *= size.max() / max(widest, stretch[1] * size[1])

    def changed(points: Float[np.ndarray, "M 3"]) -> Float[np.ndarray, "M 3"]:
        above = points - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]
        wider = 1 + taper * (2 * above[:, 1] / size[1] - 1)
        return above * stretch * np.stack([wider, np.ones_like(wider), wider], 1) + [0, low[1], 0]

    return replace(model, shapes=[replace(shape, vertices=changed(shape.vertices)) for shape in model.shapes])


def joined(first: Composition, second: Composition, rng: np.random.Generator) -> Composition:
    """A smaller model on top of another one, or beside it."""
    made = Composition()
    made.include(first, at=(0, 0, 0))
    size, turn = float(rng.uniform(0.25, 0.8)), about_y(rng)
    (low, high), (second_low, second_high) = first.bounds(), second.bounds()
    middle = (low + high) / 2
    if rng.random() < 0.5:
        at = np.array([middle[0], high[1] - size * second_low[1] - 0.01, middle[2]])
    else:
        reach = 0.5 * size * float(np.max(second_high - second_low)) + 0.5 * (high - low)[[0, 2]]
        side = rng.uniform(0, 2 * np.pi)
        at = np.array([middle[0] + np.cos(side) * reach[0], low[1], middle[2] + np.sin(side) * reach[1]])
    made.include(second, at=at, size=size, turn=turn)
    return made
