"""Plants, animals and people."""

import numpy as np

from training.assembly import Composition, Material
from training.materials import Maker
from training.shapes import bent, blob, bowl, cylinder, star, superquadric, tube
from training.rotations import about_x, any_turn


def plant(make: Maker) -> Composition:
    """A tree, a bush, a flower or a potted plant."""
    rng, made = make.rng, Composition()
    wood, leaves = make.material(base=(0.45, 0.32, 0.22)), make.material(base=(0.35, 0.55, 0.25), repeat=2)
    trunk = rng.uniform(0.15, 0.7)
    if rng.random() < 0.3:
        made.put(bowl(rng), make.material(), at=(0, 0.12, 0), size=(0.35, 0.25, 0.35))
    top = np.array([rng.uniform(-0.1, 0.1), trunk, rng.uniform(-0.1, 0.1)])
    made.put(tube(bent(np.zeros(3), (rng.uniform(-0.1, 0.1), trunk / 2, 0), top), np.linspace(0.06, 0.035, 7)), wood)
    kind = rng.random()
    if kind < 0.4:
        for _ in range(int(rng.integers(1, 6))):
            made.put(
                blob(rng, strength=1.5),
                leaves,
                at=top + rng.uniform(-0.18, 0.18, 3) + (0, 0.15, 0),
                size=rng.uniform(0.25, 0.6, 3),
            )
    elif kind < 0.6:
        for i in range(int(rng.integers(1, 5))):
            made.put(
                cylinder(0.01, detail=11),
                leaves,
                at=(0, trunk * 0.5 + 0.22 * i, 0),
                size=(0.6 - 0.1 * i, 0.4, 0.6 - 0.1 * i),
            )
    else:
        flat = star(rng)
        for _ in range(int(rng.integers(8, 40))):
            reach, turn = rng.uniform(0.05, 0.45), rng.uniform(0, 6.3)
            end = top + (reach * np.cos(turn), rng.uniform(-0.1, 0.4), reach * np.sin(turn))
            if rng.random() < 0.3:
                made.put(tube(bent(top * 0.8, (top + end) / 2 + (0, 0.1, 0), end), np.full(7, 0.01), detail=5), wood)
            made.put(
                flat, leaves, at=end, size=(rng.uniform(0.05, 0.25), rng.uniform(0.05, 0.3), 0.008), turn=any_turn(rng)
            )
    return made


def animal(make: Maker) -> Composition:
    """A body, a neck, a head, legs or wings, a tail: what a four-legged animal, a bird or a fish is made of."""
    rng, made = make.rng, Composition()
    coat = make.material()
    other = make.material() if rng.random() < 0.5 else coat
    leg = rng.uniform(0.02, 0.5)
    long, thick = rng.uniform(0.4, 0.9), rng.uniform(0.15, 0.35)
    back, chest = (
        np.array([-long / 2, leg + thick * 0.8, 0]),
        np.array([long / 2, leg + thick * rng.uniform(0.7, 1.3), 0]),
    )
    radii = thick * (0.55 + 0.5 * np.sin(np.linspace(0.5, 2.6, 7))) * rng.uniform(0.8, 1.1, 7)
    made.put(tube(bent(back, (back + chest) / 2 + (0, rng.uniform(-0.1, 0.15), 0), chest), radii, detail=14), coat)
    neck = chest + np.array([rng.uniform(0, 0.25), rng.uniform(-0.05, 0.5), rng.uniform(-0.15, 0.15)])
    made.put(
        tube(
            bent(chest, (chest + neck) / 2 + (0.1, 0, 0), neck),
            np.linspace(thick * 0.6, thick * rng.uniform(0.3, 0.6), 7),
            detail=10,
        ),
        coat,
    )
    head = thick * rng.uniform(0.5, 1.3)
    made.put(superquadric(), coat, at=neck, size=(head * 1.3, head, head))
    snout = neck + np.array([head * rng.uniform(0.4, 1.2), -head * 0.15, 0])
    made.put(superquadric(), other, at=snout, size=(head * 0.9, head * 0.5, head * 0.5))
    for side in (-1, 1):
        eye_and_ear(make, made, coat, neck, head, side)
        for end in (back, chest):
            foot = np.array([end[0] + rng.uniform(-0.12, 0.12), 0.03, side * thick * 0.7])
            hip = end + (0, -thick * 0.2, side * thick * 0.5)
            if leg > 0.1:
                knee = (hip + foot) / 2 + (rng.uniform(-0.1, 0.1), 0, 0)
                made.put(tube(bent(hip, knee, foot), np.linspace(thick * 0.3, thick * 0.14, 7)), coat)
        if rng.random() < 0.25:
            wing = (back + chest) / 2 + (0, thick * 0.7, side * 0.35)
            made.put(star(rng), other, at=wing, size=(0.4, 0.7, 0.03), turn=about_x(np.pi / 2 + 0.4 * side))
    tail = back + np.array([-rng.uniform(0.1, 0.5), rng.uniform(-0.2, 0.4), rng.uniform(-0.2, 0.2)])
    made.put(
        tube(bent(back, (back + tail) / 2 + rng.uniform(-0.1, 0.1, 3), tail), np.linspace(thick * 0.3, 0.02, 7)), other
    )
    return made


def eye_and_ear(make: Maker, made: Composition, coat: Material, place: np.ndarray, head: float, side: int) -> None:
    """Of one side of an animal's head of a given size."""
    eye = place + np.array([head * 0.45, head * 0.2, side * head * 0.32])
    made.put(superquadric(detail=8), make.material(base=(0.05, 0.05, 0.05)), at=eye, size=head * 0.16)
    ear = place + np.array([-head * 0.15, head * 0.6, side * head * 0.3])
    size = (head * 0.3, head * make.rng.uniform(0.2, 0.9), head * 0.15)
    made.put(cylinder(0.05, detail=8), coat, at=ear, size=size)


def person(make: Maker) -> Composition:
    """Somebody standing, sitting low, or cut at the waist like a bust."""
    rng, made = make.rng, Composition()
    skin, hair = make.material(base=(0.75, 0.55, 0.45)), make.material(base=(0.25, 0.18, 0.12))
    coat, cloth = make.material(), make.material()
    legs = rng.uniform(0.35, 0.48) * (rng.random() < 0.65)
    wide, lean = rng.uniform(0.12, 0.2), rng.uniform(-0.06, 0.06, 2)
    hip, shoulder = np.array([0, legs, 0]), np.array([lean[0], legs + 0.34, lean[1]])
    made.put(
        tube(bent(hip, (hip + shoulder) / 2, shoulder), wide * rng.uniform(0.7, 1.1, 7), detail=12),
        coat,
        size=(1, 1, 1),
    )
    made.put(superquadric(0.6, 0.8), coat, at=shoulder, size=(wide * 3, 0.16, wide * 1.4))
    head = shoulder + (rng.uniform(-0.03, 0.03), 0.2, 0.02)
    made.put(cylinder(), skin, at=(shoulder + head) / 2, size=(0.08, 0.16, 0.08))
    made.put(superquadric(0.9, 0.9), skin, at=head, size=(0.16, 0.22, 0.19))
    made.put(blob(rng), hair, at=head + (0, 0.05, -0.035), size=(0.19, rng.uniform(0.17, 0.4), 0.2))
    made.put(superquadric(detail=8), skin, at=head + (0, -0.01, 0.1), size=(0.03, 0.05, 0.05))
    for side in (-1, 1):
        made.put(superquadric(detail=8), hair, at=head + (side * 0.035, 0.02, 0.085), size=0.025)
        hand = shoulder + (side * rng.uniform(0.15, 0.5), rng.uniform(-0.45, 0.25), rng.uniform(-0.05, 0.3))
        elbow = (shoulder + hand) / 2 + (side * 0.15, -0.1, -0.05)
        made.put(tube(bent(shoulder + (side * wide * 1.2, 0, 0), elbow, hand), np.linspace(0.06, 0.04, 7)), coat)
        made.put(superquadric(detail=8), skin, at=hand, size=0.09)
        if legs > 0:
            foot = np.array([side * rng.uniform(0.06, 0.16), 0.02, rng.uniform(-0.1, 0.1)])
            knee = (hip + foot) / 2 + (side * 0.04, 0, rng.uniform(-0.05, 0.15))
            made.put(tube(bent(hip + (side * 0.07, 0, 0), knee, foot), np.linspace(0.09, 0.05, 7)), cloth)
            made.put(superquadric(0.4, 0.6), hair, at=foot + (0, 0, 0.05), size=(0.08, 0.07, 0.2))
    return made
