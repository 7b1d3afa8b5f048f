"""Buildings and vehicles."""

import numpy as np

from training.assembly import Composition
from training.materials import Maker
from training.shapes import BOX, any_shape, cylinder, superquadric
from training.rotations import about_x, about_y_by


def building(make: Maker) -> Composition:
    """A house, a tower or a castle."""
    rng, made = make.rng, Composition()
    wall, roof, glass = make.material(), make.material(base=(0.5, 0.3, 0.25)), make.material(base=(0.25, 0.3, 0.35))
    for i in range(int(rng.integers(1, 5))):
        place = np.array([rng.uniform(-0.4, 0.4), 0, rng.uniform(-0.3, 0.3)]) * (i > 0)
        width, depth, high = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.7), rng.uniform(0.3, 0.9)
        is_round = rng.random() < 0.2
        made.put(cylinder() if is_round else BOX, wall, at=place + (0, high / 2, 0), size=(width, high, depth))
        if rng.random() < 0.7:
            slope = cylinder(0.01, detail=20 if is_round else 5)
            turn = None if is_round else about_y_by(np.pi / 4)
            spread = np.array([width, rng.uniform(0.15, 0.5), depth]) * (1.05 if is_round else 1.0)
            if is_round:
                made.put(slope, roof, at=place + (0, high + spread[1] / 2, 0), size=spread)
            else:
                cone = Composition()
                cone.put(slope, roof, turn=turn)
                made.put(cone.shapes[0], roof, at=place + (0, high + spread[1] / 2, 0), size=spread * (1.5, 1, 1.5))
        if not is_round:
            for side in (-1, 1):
                for x in np.linspace(-0.35, 0.35, int(rng.integers(1, 4))):
                    made.put(
                        BOX,
                        glass,
                        at=place + (x * width, high * rng.uniform(0.3, 0.8), side * depth / 2),
                        size=(width * 0.15, high * 0.16, 0.02),
                    )
    return made


def vehicle(make: Maker) -> Composition:
    """A car, a lorry, a train, a boat or an aircraft."""
    rng, made = make.rng, Composition()
    paint, dark, glass = make.material(), make.material(base=(0.08, 0.08, 0.08)), make.material(base=(0.2, 0.25, 0.3))
    width, high, edge = rng.uniform(0.35, 0.6), rng.uniform(0.18, 0.4), rng.uniform(0.1, 0.5)
    floor = rng.uniform(0.08, 0.2)
    made.put(superquadric(edge, edge), paint, at=(0, floor + high / 2, 0), size=(1.3, high, width))
    cabin = rng.uniform(0.3, 0.9)
    place = rng.uniform(-0.25, 0.25)
    made.put(superquadric(edge, edge), glass, at=(place, floor + high, 0), size=(cabin, high * 1.2, width * 0.9))
    made.put(
        superquadric(edge, edge),
        paint,
        at=(place, floor + high * 1.45, 0),
        size=(cabin * 0.9, high * 0.35, width * 0.88),
    )
    wheel = about_x(np.pi / 2)
    radius = rng.uniform(0.12, 0.3)
    if rng.random() < 0.8:
        for x in np.linspace(-0.42, 0.42, int(rng.choice([2, 2, 3]))):
            for z in (-0.46, 0.46):
                made.put(
                    cylinder(detail=16), dark, at=(x, radius / 2, z * width), size=(radius, 0.08, radius), turn=wheel
                )
                made.put(
                    cylinder(detail=12),
                    paint,
                    at=(x, radius / 2, z * width * 1.02),
                    size=(radius * 0.5, 0.09, radius * 0.5),
                    turn=wheel,
                )
    else:
        for z in (-1, 1):
            made.put(BOX, paint, at=(0, floor + high * 0.5, z * width * 1.2), size=(0.3, 0.03, width * 1.6))
        made.put(BOX, paint, at=(-0.6, floor + high, 0), size=(0.15, 0.35, 0.03))
    for z in (-0.3, 0.3):
        made.put(superquadric(), make.material(glow=0.3), at=(0.63, floor + high * 0.5, z * width), size=0.07)
    for _ in range(int(rng.integers(0, 4))):
        made.put(
            any_shape(rng),
            make.material(),
            at=(rng.uniform(-0.4, 0.4), floor + high * rng.uniform(0.6, 2), 0),
            size=rng.uniform(0.05, 0.25, 3),
        )
    return made
