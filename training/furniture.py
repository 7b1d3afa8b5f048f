"""Furniture and what stands in rooms."""

import numpy as np

from training.assembly import Composition
from training.materials import Maker
from training.shapes import BOX, any_shape, bent, cylinder, lathe, profile, star, superquadric, tube
from training.rotations import about_x, about_y


def table(make: Maker) -> Composition:
    """A table with something on it."""
    rng, made = make.rng, Composition()
    top, leg = make.material(), make.material()
    width, depth, thick = rng.uniform(0.6, 1.6), rng.uniform(0.5, 1.1), rng.uniform(0.03, 0.1)
    high = rng.uniform(0.4, 0.8)
    board = BOX if rng.random() < 0.7 else cylinder(detail=24)
    made.put(board, top, at=(0, high, 0), size=(width, thick, depth))
    if rng.random() < 0.75:
        shape = BOX if rng.random() < 0.5 else cylinder(rng.uniform(0.3, 0.5), detail=9)
        spread, size = rng.uniform(0.3, 0.46), rng.uniform(0.03, 0.1)
        for x in (-spread, spread):
            for z in (-spread, spread):
                made.put(shape, leg, at=(x * width, high / 2, z * depth), size=(size, high, size))
    else:
        made.put(profile(rng), leg, at=(0, high / 2, 0), size=(0.3, high, 0.3))
    for _ in range(int(rng.integers(0, 4))):
        size = rng.uniform(0.08, 0.3)
        place = (rng.uniform(-0.35, 0.35) * width, high + (thick + size) / 2, rng.uniform(-0.35, 0.35) * depth)
        made.put(any_shape(rng), make.material(), at=place, size=size, turn=about_y(rng))
    return made


def seat(make: Maker) -> Composition:
    """A chair, a sofa or a bed."""
    rng, made = make.rng, Composition()
    cover, frame = make.material(), make.material()
    soft = rng.random() < 0.5
    width, thick = (
        (rng.uniform(0.7, 1.8), rng.uniform(0.15, 0.35)) if soft else (rng.uniform(0.4, 0.6), rng.uniform(0.03, 0.1))
    )
    shape = superquadric(rng.uniform(0.1, 0.4), rng.uniform(0.1, 0.3)) if soft else BOX
    depth, high, back = rng.uniform(0.45, 0.8), rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.7)
    made.put(shape, cover, at=(0, high - thick / 2, 0), size=(width, thick, depth))
    lean = about_x(rng.uniform(-0.25, 0))
    if soft or rng.random() < 0.5:
        made.put(
            shape, cover, at=(0, high + back / 2, -0.47 * depth), size=(width, back, max(0.06, thick * 0.6)), turn=lean
        )
    else:
        for x in np.linspace(-0.45, 0.45, int(rng.integers(3, 8))):
            made.put(BOX, frame, at=(x * width, high + back / 2, -0.47 * depth), size=(0.04, back, 0.04), turn=lean)
        made.put(BOX, frame, at=(0, high + 0.9 * back, -0.52 * depth), size=(width, 0.12, 0.05), turn=lean)
    leg = cylinder(rng.uniform(0.2, 0.5), detail=8)
    for x in (-0.44, 0.44):
        if soft and rng.random() < 0.8:
            made.put(shape, cover, at=(x * 1.1 * width, high * 0.8, 0), size=(0.15, high, depth))
        for z in (-0.42, 0.42):
            made.put(leg, frame, at=(x * width, (high - thick) / 2, z * depth), size=(0.05, high - thick, 0.05))
    return made


def lamp(make: Maker) -> Composition:
    """A lamp, a street sign, a tap: something on a thin rod."""
    rng, made = make.rng, Composition()
    metal = make.material()
    end = (rng.uniform(-0.3, 0.3), rng.uniform(0.6, 1), 0)
    made.put(cylinder(), metal, at=(0, 0.02, 0), size=(rng.uniform(0.15, 0.4), 0.04, rng.uniform(0.15, 0.4)))
    made.put(tube(bent((0, 0, 0), (0, 0.8, 0), end), np.full(7, rng.uniform(0.012, 0.03))), metal)
    shade = (
        any_shape(rng)
        if rng.random() < 0.4
        else lathe(np.array([0.5, rng.uniform(0.2, 0.5)]), np.array([-0.5, 0.5]), closed=False)
    )
    made.put(shade, make.material(glow=float(rng.choice([0, 0.8]))), at=end, size=rng.uniform(0.15, 0.45, 3))
    return made


def flat(make: Maker) -> Composition:
    """A sign, a book, a screen, a picture, a shield."""
    rng, made = make.rng, Composition()
    lean = about_x(rng.uniform(-0.6, 0.1))
    high, thick = rng.uniform(0.3, 0.9), rng.uniform(0.02, 0.2)
    shape = BOX if rng.random() < 0.6 else star(rng)
    made.put(shape, make.material(), at=(0, high / 2 + 0.03, 0), size=(rng.uniform(0.3, 1.2), high, thick), turn=lean)
    if rng.random() < 0.5:
        made.put(BOX, make.material(), at=(0, 0.03, 0), size=(rng.uniform(0.2, 0.5), 0.06, rng.uniform(0.15, 0.4)))
    return made


def shelf(make: Maker) -> Composition:
    """Boards with things on them."""
    rng, made = make.rng, Composition()
    wood = make.material()
    width, depth, count = rng.uniform(0.4, 1.2), rng.uniform(0.15, 0.4), int(rng.integers(2, 5))
    for x in (-0.5, 0.5):
        made.put(BOX, wood, at=(x * width, 0.5, 0), size=(0.03, 1, depth))
    if rng.random() < 0.6:
        made.put(BOX, wood, at=(0, 0.5, -depth / 2), size=(width, 1, 0.02))
    for level in np.linspace(0.03, 0.97, count + 1):
        made.put(BOX, wood, at=(0, level, 0), size=(width, 0.03, depth))
        for x in np.arange(-0.45, 0.4, rng.uniform(0.06, 0.25)) * (level < 0.9):
            size = rng.uniform(0.05, 0.8 / count)
            shape = BOX if rng.random() < 0.7 else any_shape(rng)
            made.put(
                shape, make.material(), at=(x * width, level + size / 2 + 0.015, 0), size=(0.06, size, depth * 0.7)
            )
    return made
