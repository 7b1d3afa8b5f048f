"""Procedural furniture and household objects."""

import numpy as np

from training.assembly import Assembly
from training.materials import MaterialSampler
from training.rotations import random_rotation_y, rotation_x
from training.shapes import BOX, bezier, cylinder, lathe, random_shape, random_star, random_vase, superquadric, tube


def make_table(materials: MaterialSampler) -> Assembly:
    """Make a table with a few objects on it."""
    rng, parts = materials.rng, Assembly()
    top, leg = materials.sample(), materials.sample()
    width, depth, thickness = rng.uniform(0.6, 1.6), rng.uniform(0.5, 1.1), rng.uniform(0.03, 0.1)
    height = rng.uniform(0.4, 0.8)
    board = BOX if rng.random() < 0.7 else cylinder(detail=24)
    parts.add(board, top, at=(0, height, 0), size=(width, thickness, depth))
    if rng.random() < 0.75:
        shape = BOX if rng.random() < 0.5 else cylinder(rng.uniform(0.3, 0.5), detail=9)
        spread, size = rng.uniform(0.3, 0.46), rng.uniform(0.03, 0.1)
        for x in (-spread, spread):
            for z in (-spread, spread):
                parts.add(shape, leg, at=(x * width, height / 2, z * depth), size=(size, height, size))
    else:
        parts.add(random_vase(rng), leg, at=(0, height / 2, 0), size=(0.3, height, 0.3))
    for _ in range(int(rng.integers(0, 4))):
        size = rng.uniform(0.08, 0.3)
        position = (rng.uniform(-0.35, 0.35) * width, height + (thickness + size) / 2, rng.uniform(-0.35, 0.35) * depth)
        parts.add(random_shape(rng), materials.sample(), at=position, size=size, rotation=random_rotation_y(rng))
    return parts


def make_seat(materials: MaterialSampler) -> Assembly:
    """Make a chair, sofa or bed."""
    rng, parts = materials.rng, Assembly()
    cover, frame = materials.sample(), materials.sample()
    soft = rng.random() < 0.5
    width, thickness = (
        (rng.uniform(0.7, 1.8), rng.uniform(0.15, 0.35)) if soft else (rng.uniform(0.4, 0.6), rng.uniform(0.03, 0.1))
    )
    shape = superquadric(rng.uniform(0.1, 0.4), rng.uniform(0.1, 0.3)) if soft else BOX
    depth, height, back = rng.uniform(0.45, 0.8), rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.7)
    parts.add(shape, cover, at=(0, height - thickness / 2, 0), size=(width, thickness, depth))
    lean = rotation_x(rng.uniform(-0.25, 0))
    if soft or rng.random() < 0.5:
        parts.add(
            shape,
            cover,
            at=(0, height + back / 2, -0.47 * depth),
            size=(width, back, max(0.06, thickness * 0.6)),
            rotation=lean,
        )
    else:
        for x in np.linspace(-0.45, 0.45, int(rng.integers(3, 8))):
            parts.add(
                BOX, frame, at=(x * width, height + back / 2, -0.47 * depth), size=(0.04, back, 0.04), rotation=lean
            )
        parts.add(BOX, frame, at=(0, height + 0.9 * back, -0.52 * depth), size=(width, 0.12, 0.05), rotation=lean)
    leg = cylinder(rng.uniform(0.2, 0.5), detail=8)
    for x in (-0.44, 0.44):
        if soft and rng.random() < 0.8:
            parts.add(shape, cover, at=(x * 1.1 * width, height * 0.8, 0), size=(0.15, height, depth))
        for z in (-0.42, 0.42):
            parts.add(
                leg, frame, at=(x * width, (height - thickness) / 2, z * depth), size=(0.05, height - thickness, 0.05)
            )
    return parts


def make_lamp(materials: MaterialSampler) -> Assembly:
    """Make an object on a thin rod: a lamp, street sign or tap."""
    rng, parts = materials.rng, Assembly()
    metal = materials.sample()
    end = (rng.uniform(-0.3, 0.3), rng.uniform(0.6, 1), 0)
    parts.add(cylinder(), metal, at=(0, 0.02, 0), size=(rng.uniform(0.15, 0.4), 0.04, rng.uniform(0.15, 0.4)))
    parts.add(tube(bezier((0, 0, 0), (0, 0.8, 0), end), np.full(7, rng.uniform(0.012, 0.03))), metal)
    shade = (
        random_shape(rng)
        if rng.random() < 0.4
        else lathe(np.array([0.5, rng.uniform(0.2, 0.5)]), np.array([-0.5, 0.5]), closed=False)
    )
    parts.add(shade, materials.sample(emission=float(rng.choice([0, 0.8]))), at=end, size=rng.uniform(0.15, 0.45, 3))
    return parts


def make_flat_object(materials: MaterialSampler) -> Assembly:
    """Make a thin upright object: a sign, book, screen, picture or shield."""
    rng, parts = materials.rng, Assembly()
    lean = rotation_x(rng.uniform(-0.6, 0.1))
    height, thickness = rng.uniform(0.3, 0.9), rng.uniform(0.02, 0.2)
    shape = BOX if rng.random() < 0.6 else random_star(rng)
    parts.add(
        shape,
        materials.sample(),
        at=(0, height / 2 + 0.03, 0),
        size=(rng.uniform(0.3, 1.2), height, thickness),
        rotation=lean,
    )
    if rng.random() < 0.5:
        parts.add(BOX, materials.sample(), at=(0, 0.03, 0), size=(rng.uniform(0.2, 0.5), 0.06, rng.uniform(0.15, 0.4)))
    return parts


def make_shelf(materials: MaterialSampler) -> Assembly:
    """Make shelves with objects on them."""
    rng, parts = materials.rng, Assembly()
    wood = materials.sample()
    width, depth, count = rng.uniform(0.4, 1.2), rng.uniform(0.15, 0.4), int(rng.integers(2, 5))
    for x in (-0.5, 0.5):
        parts.add(BOX, wood, at=(x * width, 0.5, 0), size=(0.03, 1, depth))
    if rng.random() < 0.6:
        parts.add(BOX, wood, at=(0, 0.5, -depth / 2), size=(width, 1, 0.02))
    for level in np.linspace(0.03, 0.97, count + 1):
        parts.add(BOX, wood, at=(0, level, 0), size=(width, 0.03, depth))
        for x in np.arange(-0.45, 0.4, rng.uniform(0.06, 0.25)) * (level < 0.9):
            size = rng.uniform(0.05, 0.8 / count)
            shape = BOX if rng.random() < 0.7 else random_shape(rng)
            parts.add(
                shape, materials.sample(), at=(x * width, level + size / 2 + 0.015, 0), size=(0.06, size, depth * 0.7)
            )
    return parts
