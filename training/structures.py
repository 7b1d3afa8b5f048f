"""Procedural buildings and vehicles."""

import numpy as np

from training.assembly import Assembly
from training.materials import MaterialSampler
from training.rotations import rotation_x, rotation_y
from training.shapes import BOX, cylinder, random_shape, superquadric


def make_building(materials: MaterialSampler) -> Assembly:
    """Make a house, tower or castle."""
    rng, parts = materials.rng, Assembly()
    wall = materials.sample()
    roof, glass = materials.sample(base=(0.5, 0.3, 0.25)), materials.sample(base=(0.25, 0.3, 0.35))
    for i in range(int(rng.integers(1, 5))):
        position = np.array([rng.uniform(-0.4, 0.4), 0, rng.uniform(-0.3, 0.3)]) * (i > 0)
        width, depth, height = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.7), rng.uniform(0.3, 0.9)
        is_round = rng.random() < 0.2
        parts.add(cylinder() if is_round else BOX, wall, at=position + (0, height / 2, 0), size=(width, height, depth))
        if rng.random() < 0.7:
            slope = cylinder(0.01, detail=20 if is_round else 5)
            spread = np.array([width, rng.uniform(0.15, 0.5), depth]) * (1.05 if is_round else 1.0)
            if is_round:
                parts.add(slope, roof, at=position + (0, height + spread[1] / 2, 0), size=spread)
            else:
                cone = Assembly()
                cone.add(slope, roof, rotation=rotation_y(np.pi / 4))
                parts.add(
                    cone.shapes[0], roof, at=position + (0, height + spread[1] / 2, 0), size=spread * (1.5, 1, 1.5)
                )
        if not is_round:
            for side in (-1, 1):
                for x in np.linspace(-0.35, 0.35, int(rng.integers(1, 4))):
                    parts.add(
                        BOX,
                        glass,
                        at=position + (x * width, height * rng.uniform(0.3, 0.8), side * depth / 2),
                        size=(width * 0.15, height * 0.16, 0.02),
                    )
    return parts


def make_vehicle(materials: MaterialSampler) -> Assembly:
    """Make a car, lorry, train, boat or aircraft."""
    rng, parts = materials.rng, Assembly()
    paint = materials.sample()
    rubber, glass = materials.sample(base=(0.08, 0.08, 0.08)), materials.sample(base=(0.2, 0.25, 0.3))
    width, height, edge = rng.uniform(0.35, 0.6), rng.uniform(0.18, 0.4), rng.uniform(0.1, 0.5)
    floor = rng.uniform(0.08, 0.2)
    parts.add(superquadric(edge, edge), paint, at=(0, floor + height / 2, 0), size=(1.3, height, width))
    cabin = rng.uniform(0.3, 0.9)
    position = rng.uniform(-0.25, 0.25)
    parts.add(
        superquadric(edge, edge), glass, at=(position, floor + height, 0), size=(cabin, height * 1.2, width * 0.9)
    )
    parts.add(
        superquadric(edge, edge),
        paint,
        at=(position, floor + height * 1.45, 0),
        size=(cabin * 0.9, height * 0.35, width * 0.88),
    )
    upright = rotation_x(np.pi / 2)
    radius = rng.uniform(0.12, 0.3)
    if rng.random() < 0.8:
        for x in np.linspace(-0.42, 0.42, int(rng.choice([2, 2, 3]))):
            for z in (-0.46, 0.46):
                parts.add(
                    cylinder(detail=16),
                    rubber,
                    at=(x, radius / 2, z * width),
                    size=(radius, 0.08, radius),
                    rotation=upright,
                )
                parts.add(
                    cylinder(detail=12),
                    paint,
                    at=(x, radius / 2, z * width * 1.02),
                    size=(radius * 0.5, 0.09, radius * 0.5),
                    rotation=upright,
                )
    else:
        for z in (-1, 1):
            parts.add(BOX, paint, at=(0, floor + height * 0.5, z * width * 1.2), size=(0.3, 0.03, width * 1.6))
        parts.add(BOX, paint, at=(-0.6, floor + height, 0), size=(0.15, 0.35, 0.03))
    for z in (-0.3, 0.3):
        parts.add(superquadric(), materials.sample(emission=0.3), at=(0.63, floor + height * 0.5, z * width), size=0.07)
    for _ in range(int(rng.integers(0, 4))):
        parts.add(
            random_shape(rng),
            materials.sample(),
            at=(rng.uniform(-0.4, 0.4), floor + height * rng.uniform(0.6, 2), 0),
            size=rng.uniform(0.05, 0.25, 3),
        )
    return parts
