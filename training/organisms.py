"""Procedural plants, animals and people."""

import numpy as np

from training.assembly import Assembly
from training.materials import Material, MaterialSampler
from training.rotations import random_rotation, rotation_x
from training.shapes import bezier, cylinder, random_blob, random_bowl, random_star, superquadric, tube


def make_plant(materials: MaterialSampler) -> Assembly:
    """Make a tree, bush, flower or potted plant."""
    rng, parts = materials.rng, Assembly()
    wood, leaves = materials.sample(base=(0.45, 0.32, 0.22)), materials.sample(base=(0.35, 0.55, 0.25), repeat=2)
    trunk = rng.uniform(0.15, 0.7)
    if rng.random() < 0.3:
        parts.add(random_bowl(rng), materials.sample(), at=(0, 0.12, 0), size=(0.35, 0.25, 0.35))
    top = np.array([rng.uniform(-0.1, 0.1), trunk, rng.uniform(-0.1, 0.1)])
    parts.add(tube(bezier(np.zeros(3), (rng.uniform(-0.1, 0.1), trunk / 2, 0), top), np.linspace(0.06, 0.035, 7)), wood)
    kind = rng.random()
    if kind < 0.4:
        for _ in range(int(rng.integers(1, 6))):
            parts.add(
                random_blob(rng, strength=1.5),
                leaves,
                at=top + rng.uniform(-0.18, 0.18, 3) + (0, 0.15, 0),
                size=rng.uniform(0.25, 0.6, 3),
            )
    elif kind < 0.6:
        for i in range(int(rng.integers(1, 5))):
            parts.add(
                cylinder(0.01, detail=11),
                leaves,
                at=(0, trunk * 0.5 + 0.22 * i, 0),
                size=(0.6 - 0.1 * i, 0.4, 0.6 - 0.1 * i),
            )
    else:
        leaf = random_star(rng)
        for _ in range(int(rng.integers(8, 40))):
            reach, azimuth = rng.uniform(0.05, 0.45), rng.uniform(0, 6.3)
            end = top + (reach * np.cos(azimuth), rng.uniform(-0.1, 0.4), reach * np.sin(azimuth))
            if rng.random() < 0.3:
                parts.add(tube(bezier(top * 0.8, (top + end) / 2 + (0, 0.1, 0), end), np.full(7, 0.01), detail=5), wood)
            parts.add(
                leaf,
                leaves,
                at=end,
                size=(rng.uniform(0.05, 0.25), rng.uniform(0.05, 0.3), 0.008),
                rotation=random_rotation(rng),
            )
    return parts


def make_animal(materials: MaterialSampler) -> Assembly:
    """Make an animal of body, neck, head, legs or wings, and tail: a quadruped, bird or fish."""
    rng, parts = materials.rng, Assembly()
    coat = materials.sample()
    other = materials.sample() if rng.random() < 0.5 else coat
    leg = rng.uniform(0.02, 0.5)
    length, thickness = rng.uniform(0.4, 0.9), rng.uniform(0.15, 0.35)
    back, chest = (
        np.array([-length / 2, leg + thickness * 0.8, 0]),
        np.array([length / 2, leg + thickness * rng.uniform(0.7, 1.3), 0]),
    )
    radii = thickness * (0.55 + 0.5 * np.sin(np.linspace(0.5, 2.6, 7))) * rng.uniform(0.8, 1.1, 7)
    parts.add(tube(bezier(back, (back + chest) / 2 + (0, rng.uniform(-0.1, 0.15), 0), chest), radii, detail=14), coat)
    neck = chest + np.array([rng.uniform(0, 0.25), rng.uniform(-0.05, 0.5), rng.uniform(-0.15, 0.15)])
    parts.add(
        tube(
            bezier(chest, (chest + neck) / 2 + (0.1, 0, 0), neck),
            np.linspace(thickness * 0.6, thickness * rng.uniform(0.3, 0.6), 7),
            detail=10,
        ),
        coat,
    )
    head = thickness * rng.uniform(0.5, 1.3)
    parts.add(superquadric(), coat, at=neck, size=(head * 1.3, head, head))
    snout = neck + np.array([head * rng.uniform(0.4, 1.2), -head * 0.15, 0])
    parts.add(superquadric(), other, at=snout, size=(head * 0.9, head * 0.5, head * 0.5))
    for side in (-1, 1):
        add_eye_and_ear(materials, parts, coat, neck, head, side)
        for end in (back, chest):
            foot = np.array([end[0] + rng.uniform(-0.12, 0.12), 0.03, side * thickness * 0.7])
            hip = end + (0, -thickness * 0.2, side * thickness * 0.5)
            if leg > 0.1:
                knee = (hip + foot) / 2 + (rng.uniform(-0.1, 0.1), 0, 0)
                parts.add(tube(bezier(hip, knee, foot), np.linspace(thickness * 0.3, thickness * 0.14, 7)), coat)
        if rng.random() < 0.25:
            wing = (back + chest) / 2 + (0, thickness * 0.7, side * 0.35)
            parts.add(
                random_star(rng), other, at=wing, size=(0.4, 0.7, 0.03), rotation=rotation_x(np.pi / 2 + 0.4 * side)
            )
    tail = back + np.array([-rng.uniform(0.1, 0.5), rng.uniform(-0.2, 0.4), rng.uniform(-0.2, 0.2)])
    parts.add(
        tube(bezier(back, (back + tail) / 2 + rng.uniform(-0.1, 0.1, 3), tail), np.linspace(thickness * 0.3, 0.02, 7)),
        other,
    )
    return parts


def add_eye_and_ear(
    materials: MaterialSampler, parts: Assembly, coat: Material, position: np.ndarray, head: float, side: int
) -> None:
    """Add the eye and the ear on one side (-1 or 1) of an animal's head of the given size."""
    eye = position + np.array([head * 0.45, head * 0.2, side * head * 0.32])
    parts.add(superquadric(detail=8), materials.sample(base=(0.05, 0.05, 0.05)), at=eye, size=head * 0.16)
    ear = position + np.array([-head * 0.15, head * 0.6, side * head * 0.3])
    size = (head * 0.3, head * materials.rng.uniform(0.2, 0.9), head * 0.15)
    parts.add(cylinder(0.05, detail=8), coat, at=ear, size=size)


def make_person(materials: MaterialSampler) -> Assembly:
    """Make a standing or sitting person, or a bust cut at the waist."""
    rng, parts = materials.rng, Assembly()
    skin, hair = materials.sample(base=(0.75, 0.55, 0.45)), materials.sample(base=(0.25, 0.18, 0.12))
    coat, cloth = materials.sample(), materials.sample()
    legs = rng.uniform(0.35, 0.48) * (rng.random() < 0.65)
    width, lean = rng.uniform(0.12, 0.2), rng.uniform(-0.06, 0.06, 2)
    hip, shoulder = np.array([0, legs, 0]), np.array([lean[0], legs + 0.34, lean[1]])
    parts.add(tube(bezier(hip, (hip + shoulder) / 2, shoulder), width * rng.uniform(0.7, 1.1, 7), detail=12), coat)
    parts.add(superquadric(0.6, 0.8), coat, at=shoulder, size=(width * 3, 0.16, width * 1.4))
    head = shoulder + (rng.uniform(-0.03, 0.03), 0.2, 0.02)
    parts.add(cylinder(), skin, at=(shoulder + head) / 2, size=(0.08, 0.16, 0.08))
    parts.add(superquadric(0.9, 0.9), skin, at=head, size=(0.16, 0.22, 0.19))
    parts.add(random_blob(rng), hair, at=head + (0, 0.05, -0.035), size=(0.19, rng.uniform(0.17, 0.4), 0.2))
    parts.add(superquadric(detail=8), skin, at=head + (0, -0.01, 0.1), size=(0.03, 0.05, 0.05))
    for side in (-1, 1):
        parts.add(superquadric(detail=8), hair, at=head + (side * 0.035, 0.02, 0.085), size=0.025)
        hand = shoulder + (side * rng.uniform(0.15, 0.5), rng.uniform(-0.45, 0.25), rng.uniform(-0.05, 0.3))
        elbow = (shoulder + hand) / 2 + (side * 0.15, -0.1, -0.05)
        parts.add(tube(bezier(shoulder + (side * width * 1.2, 0, 0), elbow, hand), np.linspace(0.06, 0.04, 7)), coat)
        parts.add(superquadric(detail=8), skin, at=hand, size=0.09)
        if legs > 0:
            foot = np.array([side * rng.uniform(0.06, 0.16), 0.02, rng.uniform(-0.1, 0.1)])
            knee = (hip + foot) / 2 + (side * 0.04, 0, rng.uniform(-0.05, 0.15))
            parts.add(tube(bezier(hip + (side * 0.07, 0, 0), knee, foot), np.linspace(0.09, 0.05, 7)), cloth)
            parts.add(superquadric(0.4, 0.6), hair, at=foot + (0, 0, 0.05), size=(0.08, 0.07, 0.2))
    return parts
