"""Small things: vessels, food, toys, machines."""

import numpy as np

from training.assembly import Composition
from training.materials import Maker
from training.shapes import any_shape, bent, blob, bowl, cylinder, profile, superquadric, torus, tube
from training.rotations import about_y, any_turn


def vessel(make: Maker) -> Composition:
    """A cup, a pot, a vase or a bottle, with or without handle, spout and lid."""
    rng, made = make.rng, Composition()
    body = make.material()
    high, wide = rng.uniform(0.2, 1), rng.uniform(0.35, 0.9)
    made.put(profile(rng) if rng.random() < 0.5 else bowl(rng), body, at=(0, high / 2, 0), size=(wide, high, wide))
    if rng.random() < 0.5:
        out = wide / 2 + rng.uniform(0.08, 0.3)
        ends = [(wide * 0.42, high * rng.uniform(0.1, 0.4), 0), (wide * 0.42, high * rng.uniform(0.6, 0.95), 0)]
        middle = (out + 0.15, high * 0.55, 0)
        made.put(tube(bent(ends[0], middle, ends[1], steps=9), np.full(9, rng.uniform(0.015, 0.05))), body)
    if rng.random() < 0.25:
        made.put(
            tube(
                bent((-wide * 0.4, high * 0.3, 0), (-wide * 0.7, high * 0.4, 0), (-wide * 0.75, high * 0.9, 0)),
                np.linspace(0.08, 0.03, 7),
            ),
            body,
        )
    if rng.random() < 0.4:
        made.put(superquadric(0.8), make.material(), at=(0, high * 0.98, 0), size=(wide * 0.7, high * 0.15, wide * 0.7))
    if rng.random() < 0.4:
        made.put(cylinder(detail=24), make.material(), at=(0, 0.015, 0), size=(wide * 1.7, 0.03, wide * 1.7))
    return made


def stack(make: Maker) -> Composition:
    """Things on top of one another."""
    rng, made, height = make.rng, Composition(), 0.0
    for _ in range(int(rng.integers(2, 6))):
        size = rng.uniform(0.12, 0.4)
        made.put(
            any_shape(rng),
            make.material(),
            at=(rng.uniform(-0.05, 0.05), height + size / 2, rng.uniform(-0.05, 0.05)),
            size=(rng.uniform(0.2, 0.7), size, rng.uniform(0.2, 0.7)),
            turn=about_y(rng),
        )
        height += 0.95 * size
    return made


def heap(make: Maker) -> Composition:
    """Shapes stuck together as it happens."""
    rng, made = make.rng, Composition()
    for _ in range(int(rng.integers(1, 7))):
        size = rng.uniform(0.15, 0.8, 3)
        turn = any_turn(rng) if rng.random() < 0.4 else about_y(rng)
        made.put(
            any_shape(rng),
            make.material(),
            at=(rng.uniform(-0.3, 0.3), size[1] * rng.uniform(0.4, 0.8), rng.uniform(-0.3, 0.3)),
            size=size,
            turn=turn,
        )
    return made


def machine(make: Maker) -> Composition:
    """A symmetric thing: parts on both sides of a body."""
    rng, made = make.rng, Composition()
    made.put(any_shape(rng), make.material(), at=(0, 0.5, 0), size=rng.uniform(0.3, 0.9, 3))
    for _ in range(int(rng.integers(1, 5))):
        shape, material = any_shape(rng), make.material()
        place, size = rng.uniform(0.05, 0.5, 3), rng.uniform(0.06, 0.5, 3)
        for side in (-1, 1):
            made.put(shape, material, at=(place[0] - 0.25, place[1] * 1.6, side * place[2]), size=size)
    if rng.random() < 0.4:
        made.put(
            torus(rng.uniform(0.03, 0.15)),
            make.material(),
            at=(0, rng.uniform(0.3, 0.9), 0),
            size=rng.uniform(0.4, 0.9),
            turn=any_turn(rng),
        )
    return made


def food(make: Maker) -> Composition:
    """Round flat layers, or small pieces on a plate."""
    rng, made = make.rng, Composition()
    made.put(bowl(rng), make.material(), at=(0, 0.05, 0), size=(1, 0.1, 1))
    if rng.random() < 0.5:
        height, wide = 0.08, rng.uniform(0.4, 0.8)
        for _ in range(int(rng.integers(2, 6))):
            thick = rng.uniform(0.05, 0.2)
            made.put(
                superquadric(rng.uniform(0.2, 1), 1),
                make.material(),
                at=(0, height + thick / 2, 0),
                size=(wide, thick, wide * rng.uniform(0.8, 1.1)),
            )
            height += 0.8 * thick
        return made
    piece = blob(rng, detail=9)
    material = make.material()
    for _ in range(int(rng.integers(4, 20))):
        place = rng.uniform(-0.35, 0.35, 2)
        made.put(
            piece,
            material,
            at=(place[0], 0.12 + rng.uniform(0, 0.15), place[1]),
            size=rng.uniform(0.1, 0.25),
            turn=any_turn(rng),
        )
    return made
