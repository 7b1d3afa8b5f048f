"""Procedural small objects: vessels, food, toys and machines."""

import numpy as np

from training.assembly import Assembly
from training.materials import MaterialSampler
from training.rotations import random_rotation, random_rotation_y
from training.shapes import (
    bezier,
    cylinder,
    random_blob,
    random_bowl,
    random_shape,
    random_vase,
    superquadric,
    torus,
    tube,
)


def make_vessel(materials: MaterialSampler) -> Assembly:
    """Make a cup, pot, vase or bottle, with or without handle, spout, lid and plate."""
    rng, parts = materials.rng, Assembly()
    body = materials.sample()
    height, width = rng.uniform(0.2, 1), rng.uniform(0.35, 0.9)
    parts.add(
        random_vase(rng) if rng.random() < 0.5 else random_bowl(rng),
        body,
        at=(0, height / 2, 0),
        size=(width, height, width),
    )
    if rng.random() < 0.5:
        reach = width / 2 + rng.uniform(0.08, 0.3)
        ends = [(width * 0.42, height * rng.uniform(0.1, 0.4), 0), (width * 0.42, height * rng.uniform(0.6, 0.95), 0)]
        control = (reach + 0.15, height * 0.55, 0)
        parts.add(tube(bezier(ends[0], control, ends[1], steps=9), np.full(9, rng.uniform(0.015, 0.05))), body)
    if rng.random() < 0.25:
        parts.add(
            tube(
                bezier(
                    (-width * 0.4, height * 0.3, 0), (-width * 0.7, height * 0.4, 0), (-width * 0.75, height * 0.9, 0)
                ),
                np.linspace(0.08, 0.03, 7),
            ),
            body,
        )
    if rng.random() < 0.4:
        parts.add(
            superquadric(0.8),
            materials.sample(),
            at=(0, height * 0.98, 0),
            size=(width * 0.7, height * 0.15, width * 0.7),
        )
    if rng.random() < 0.4:
        parts.add(cylinder(detail=24), materials.sample(), at=(0, 0.015, 0), size=(width * 1.7, 0.03, width * 1.7))
    return parts


def make_stack(materials: MaterialSampler) -> Assembly:
    """Make a stack of random shapes."""
    rng, parts, height = materials.rng, Assembly(), 0.0
    for _ in range(int(rng.integers(2, 6))):
        size = rng.uniform(0.12, 0.4)
        parts.add(
            random_shape(rng),
            materials.sample(),
            at=(rng.uniform(-0.05, 0.05), height + size / 2, rng.uniform(-0.05, 0.05)),
            size=(rng.uniform(0.2, 0.7), size, rng.uniform(0.2, 0.7)),
            rotation=random_rotation_y(rng),
        )
        height += 0.95 * size
    return parts


def make_heap(materials: MaterialSampler) -> Assembly:
    """Make a cluster of intersecting random shapes."""
    rng, parts = materials.rng, Assembly()
    for _ in range(int(rng.integers(1, 7))):
        size = rng.uniform(0.15, 0.8, 3)
        rotation = random_rotation(rng) if rng.random() < 0.4 else random_rotation_y(rng)
        parts.add(
            random_shape(rng),
            materials.sample(),
            at=(rng.uniform(-0.3, 0.3), size[1] * rng.uniform(0.4, 0.8), rng.uniform(-0.3, 0.3)),
            size=size,
            rotation=rotation,
        )
    return parts


def make_machine(materials: MaterialSampler) -> Assembly:
    """Make a symmetric object: a body with the same parts on both sides."""
    rng, parts = materials.rng, Assembly()
    parts.add(random_shape(rng), materials.sample(), at=(0, 0.5, 0), size=rng.uniform(0.3, 0.9, 3))
    for _ in range(int(rng.integers(1, 5))):
        shape, material = random_shape(rng), materials.sample()
        position, size = rng.uniform(0.05, 0.5, 3), rng.uniform(0.06, 0.5, 3)
        for side in (-1, 1):
            parts.add(shape, material, at=(position[0] - 0.25, position[1] * 1.6, side * position[2]), size=size)
    if rng.random() < 0.4:
        parts.add(
            torus(rng.uniform(0.03, 0.15)),
            materials.sample(),
            at=(0, rng.uniform(0.3, 0.9), 0),
            size=rng.uniform(0.4, 0.9),
            rotation=random_rotation(rng),
        )
    return parts


def make_food(materials: MaterialSampler) -> Assembly:
    """Make round flat layers, or small pieces, on a plate."""
    rng, parts = materials.rng, Assembly()
    parts.add(random_bowl(rng), materials.sample(), at=(0, 0.05, 0), size=(1, 0.1, 1))
    if rng.random() < 0.5:
        height, width = 0.08, rng.uniform(0.4, 0.8)
        for _ in range(int(rng.integers(2, 6))):
            thickness = rng.uniform(0.05, 0.2)
            parts.add(
                superquadric(rng.uniform(0.2, 1), 1),
                materials.sample(),
                at=(0, height + thickness / 2, 0),
                size=(width, thickness, width * rng.uniform(0.8, 1.1)),
            )
            height += 0.8 * thickness
        return parts
    piece = random_blob(rng, detail=9)
    material = materials.sample()
    for _ in range(int(rng.integers(4, 20))):
        position = rng.uniform(-0.35, 0.35, 2)
        parts.add(
            piece,
            material,
            at=(position[0], 0.12 + rng.uniform(0, 0.15), position[1]),
            size=rng.uniform(0.1, 0.25),
            rotation=random_rotation(rng),
        )
    return parts
