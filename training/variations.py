"""Models changed to ones that nobody has made: stretched, bent and put together, so that few stand for many."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from training.composition import Composition
from training.turns import about_y

STRETCH = 0.2
"""Standard deviation of the logarithm of what each side is stretched by."""

CHANCE = 0.35
"""Of each way of bending."""

Points = Float[np.ndarray, "M 3"]


def varied(model: Composition, rng: np.random.Generator) -> Composition:
    """A model of other proportions, perhaps bent; its texture moves with it."""
    starts = np.cumsum([len(shape.vertices) for shape in model.shapes])[:-1]
    low, high = model.bounds()
    size = float((high - low).max()) + 1e-9
    # Of all shapes at once, so that what touches goes on touching.
    points = (np.concatenate([shape.vertices for shape in model.shapes]) - (low + high) / 2) / size
    bent = _bent(points * np.exp(rng.normal(0, STRETCH, 3)), rng)
    bent[:, 1] -= bent[:, 1].min()
    parts = np.split(bent * (size / float(np.ptp(bent, axis=0).max())), starts)
    shapes = [replace(shape, vertices=part) for shape, part in zip(model.shapes, parts, strict=True)]
    return replace(model, shapes=shapes)


def _bent(points: Points, rng: np.random.Generator) -> Points:
    """Points about the origin, about one unit wide: tapered, twisted, bent and in waves, each by chance."""
    points = points.copy()
    x, y, z = points.T  # Views: the points change with them.
    if rng.random() < CHANCE:
        points[:, [0, 2]] *= 1 + rng.uniform(-0.6, 0.6) * y[:, None].clip(-0.5, 0.5)
    if rng.random() < CHANCE:
        turn = rng.uniform(-0.8, 0.8) * y
        x[:], z[:] = x * np.cos(turn) + z * np.sin(turn), z * np.cos(turn) - x * np.sin(turn)
    if rng.random() < CHANCE:
        along, across = rng.permutation(3)[:2]
        points[:, across] += rng.uniform(-0.5, 0.5) * points[:, along] ** 2
    if rng.random() < CHANCE:
        for axis in range(3):
            other = points[:, (axis + 1) % 3]
            points[:, axis] += rng.uniform(0, 0.05) * np.sin(rng.uniform(2, 7) * other + rng.uniform(0, 2 * np.pi))
    return points


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
