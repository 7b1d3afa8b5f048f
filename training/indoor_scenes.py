"""Procedural rooms and close-up scenes."""

import numpy as np

from training.assembly import Assembly
from training.materials import Material, MaterialSampler
from training.object_kinds import make_random_object
from training.organisms import make_animal, make_person
from training.rotations import random_rotation_y, rotation_y, unit_direction
from training.scene import ProceduralScene, SceneLighting, Viewpoint, daylight
from training.shapes import BOX, cylinder, random_blob


def make_room(materials: MaterialSampler, views: int) -> ProceduralScene:
    """Make a furnished room, seen at eye level by somebody standing or sitting in it."""
    rng, parts = materials.rng, Assembly()
    width, height, depth = rng.uniform(2.5, 8), rng.uniform(2.3, 3.8), rng.uniform(3, 9)
    add_room_shell(materials, parts, width, height, depth)
    for _ in range(int(rng.integers(3, 9))):  # along the walls, facing inward
        side = int(rng.integers(4))
        size = rng.uniform(0.7, 2.1)
        offset = 0.5 - 0.3 / (width if side < 2 else depth) * size
        along = rng.uniform(-0.42, 0.42)
        x, z = ((2 * side - 1) * offset, along) if side < 2 else (along, (2 * side - 5) * offset)
        rotation = rotation_y([np.pi / 2, -np.pi / 2, 0, np.pi][side] + rng.choice([0, 0, 0.3]))
        parts.add_assembly(make_random_object(materials), at=(x * width, 0, z * depth), size=size, rotation=rotation)
    for _ in range(int(rng.integers(1, 6))):
        parts.add_assembly(
            make_random_object(materials),
            at=(rng.uniform(-0.35, 0.35) * width, 0, rng.uniform(-0.35, 0.35) * depth),
            size=rng.uniform(0.3, 1.5),
            rotation=random_rotation_y(rng),
        )
    viewpoints = []
    for _ in range(views):
        azimuth = rng.uniform(0, 2 * np.pi)
        back = np.array([np.sin(azimuth) * width, 0, np.cos(azimuth) * depth])
        eye = back * rng.uniform(0.2, 0.45) + (0, rng.uniform(0.7, 1.9), 0)
        target = -back * rng.uniform(0.05, 0.4) + (rng.uniform(-0.2, 0.2) * width, rng.uniform(0.3, 1.6), 0)
        viewpoints.append(Viewpoint(eye=eye, target=target, fov=rng.uniform(0.7, 1.5), roll=rng.normal(0, 0.02)))
    position = np.array([rng.uniform(-0.3, 0.3) * width, height * 0.92, rng.uniform(-0.3, 0.3) * depth])
    lighting = SceneLighting(
        position=position,
        is_near=True,
        strength=rng.uniform(0.3, 0.9),
        ambient=rng.uniform(0.4, 0.85),
        reach=rng.uniform(1, 6),
        softness=float(rng.choice([2.0, 4.0, 7.0])),
    )
    return ProceduralScene(assembly=parts, lighting=lighting, viewpoints=tuple(viewpoints), kind="room")


def add_room_shell(materials: MaterialSampler, parts: Assembly, width: float, height: float, depth: float) -> None:
    """Add floor, ceiling, walls, windows, doors, pictures and perhaps a rug."""
    rng = materials.rng
    walls = materials.sample(repeat=2)
    parts.add(BOX, materials.sample(repeat=3), at=(0, -0.05, 0), size=(width, 0.1, depth))
    parts.add(
        BOX,
        Material(texture=walls.texture, tint=(0.95, 0.95, 0.95)),
        at=(0, height + 0.05, 0),
        size=(width, 0.1, depth),
    )
    for x in (-1, 1):
        wall = walls if rng.random() < 0.7 else materials.sample(repeat=2)
        parts.add(BOX, wall, at=(x * (width / 2 + 0.05), height / 2, 0), size=(0.1, height, depth))
        wall = walls if rng.random() < 0.7 else materials.sample(repeat=2)
        parts.add(BOX, wall, at=(0, height / 2, x * (depth / 2 + 0.05)), size=(width, height, 0.1))
    for _ in range(int(rng.integers(1, 8))):  # windows, doors, pictures
        emission = float(rng.choice([0, 0, 0.9]))
        frame, inner = materials.sample(), materials.sample(emission=emission)
        size = rng.uniform(0.4, 1.6, 2)
        center_height = 1.0 if rng.random() < 0.3 else rng.uniform(1.2, 1.9)
        side, along = rng.choice([-1, 1]), rng.uniform(-0.4, 0.4)
        if rng.random() < 0.5:
            parts.add(
                BOX,
                frame,
                at=(along * width, center_height, side * depth / 2),
                size=(size[0] + 0.12, size[1] + 0.12, 0.06),
            )
            parts.add(BOX, inner, at=(along * width, center_height, side * depth / 2), size=(size[0], size[1], 0.08))
        else:
            parts.add(
                BOX,
                frame,
                at=(side * width / 2, center_height, along * depth),
                size=(0.06, size[1] + 0.12, size[0] + 0.12),
            )
            parts.add(BOX, inner, at=(side * width / 2, center_height, along * depth), size=(0.08, size[1], size[0]))
    if rng.random() < 0.5:
        rug = BOX if rng.random() < 0.6 else cylinder(detail=24)
        parts.add(
            rug,
            materials.sample(),
            at=(0, 0.01, 0),
            size=(rng.uniform(1, 0.8 * width), 0.02, rng.uniform(1, 0.8 * depth)),
        )


def make_tabletop(materials: MaterialSampler, views: int) -> ProceduralScene:
    """Make a few objects on a surface, seen from close by, with or without a wall behind them."""
    rng, parts = materials.rng, Assembly()
    parts.add(
        BOX if rng.random() < 0.7 else cylinder(detail=30),
        materials.sample(repeat=3),
        at=(0, -0.05, 0),
        size=(rng.uniform(3, 16), 0.1, rng.uniform(3, 16)),
    )
    parts.start_object()
    if rng.random() < 0.7:
        parts.add(
            BOX,
            materials.sample(repeat=2),
            at=(0, 2, -rng.uniform(1.5, 6)),
            size=(24, 12, 0.1),
            rotation=rotation_y(rng.uniform(-0.3, 0.3)),
        )
    for i in range(int(rng.integers(1, 9))):
        position = np.array([rng.uniform(-1.3, 1.3), 0, rng.uniform(-1.4, 0.8)]) * (i > 0)
        parts.add_assembly(
            make_random_object(materials), at=position, size=rng.uniform(0.5, 1.2), rotation=random_rotation_y(rng)
        )
    viewpoints = []
    for _ in range(views):
        azimuth, elevation, distance = rng.uniform(-0.7, 0.7), rng.uniform(0.05, 1.25), rng.uniform(1.3, 3.6)
        target = np.array([rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.6), rng.uniform(-0.2, 0.2)])
        viewpoints.append(
            Viewpoint(
                eye=target + distance * unit_direction(azimuth, elevation),
                target=target,
                fov=rng.uniform(0.45, 1.1),
                roll=rng.normal(0, 0.04),
            )
        )
    lighting = daylight(rng)
    return ProceduralScene(assembly=parts, lighting=lighting, viewpoints=tuple(viewpoints), kind="tabletop")


def make_portrait(materials: MaterialSampler, views: int) -> ProceduralScene:
    """Make one large subject (object, person or animal) before a distant background."""
    rng, parts = materials.rng, Assembly()
    parts.add(BOX, materials.sample(repeat=6), at=(0, -0.05, 0), size=(60, 0.1, 60))
    subject = (make_person, make_animal, make_random_object)[int(rng.integers(3))](materials)
    rotation = rotation_y(rng.uniform(-0.8, 0.8) - (np.pi / 2 if rng.random() < 0.4 else 0))
    parts.add_assembly(subject, at=(0, 0, 0), size=1.0, rotation=rotation)
    if rng.random() < 0.5:
        parts.start_object()
        parts.add(
            BOX,
            materials.sample(repeat=2),
            at=(0, 2, -rng.uniform(0.5, 4)),
            size=(20, 14, 0.1),
            rotation=rotation_y(rng.uniform(-0.4, 0.4)),
        )
    for _ in range(int(rng.integers(0, 10))):
        position = (rng.uniform(-5, 5), 0, rng.uniform(-9, -0.8))
        parts.add_assembly(
            make_random_object(materials), at=position, size=rng.uniform(0.5, 3), rotation=random_rotation_y(rng)
        )
    low, high = subject.bounds()
    viewpoints = []
    for _ in range(views):
        target = np.array([0, rng.uniform(0.35, 0.9) * high[1], 0])
        fov = rng.uniform(0.4, 1.1)
        distance = rng.uniform(0.35, 1.0) * max(high - low) / np.tan(fov / 2)
        azimuth, elevation = rng.uniform(-0.5, 0.5), rng.uniform(-0.1, 0.5)
        eye = target + distance * unit_direction(azimuth, elevation)
        eye[1] = max(eye[1], 0.1)
        viewpoints.append(
            Viewpoint(eye=eye, target=target + rng.uniform(-0.15, 0.15, 3), fov=fov, roll=rng.normal(0, 0.03))
        )
    return ProceduralScene(assembly=parts, lighting=daylight(rng), viewpoints=tuple(viewpoints), kind="portrait")


def make_relief(materials: MaterialSampler, views: int) -> ProceduralScene:
    """Make a wall with objects in front of it, seen frontally: facades, shelves, rock faces."""
    rng, parts = materials.rng, Assembly()
    parts.add(BOX, materials.sample(repeat=3), at=(0, 2, -0.05), size=(14, 14, 0.1))
    parts.add(BOX, materials.sample(repeat=3), at=(0, -0.05, 4), size=(14, 0.1, 8))
    for _ in range(int(rng.integers(3, 14))):
        parts.start_object()
        position = np.array([rng.uniform(-2.5, 2.5), rng.uniform(0, 2.5), rng.uniform(0, 0.6)])
        if rng.random() < 0.5:
            parts.add(
                random_blob(rng) if rng.random() < 0.5 else BOX,
                materials.sample(),
                at=position,
                size=rng.uniform(0.2, 1.5, 3),
            )
        else:
            parts.add_assembly(
                make_random_object(materials),
                at=(position[0], position[1] * float(rng.random() < 0.3), 0.6 + position[2]),
                size=rng.uniform(0.5, 1.5),
            )
    viewpoints = []
    for _ in range(views):
        target = np.array([rng.uniform(-1, 1), rng.uniform(0.5, 1.8), 0])
        eye = target + np.array([rng.uniform(-2, 2), rng.uniform(-0.4, 1.2), rng.uniform(2, 5)])
        viewpoints.append(Viewpoint(eye=eye, target=target, fov=rng.uniform(0.5, 1.2), roll=rng.normal(0, 0.03)))
    return ProceduralScene(assembly=parts, lighting=daylight(rng), viewpoints=tuple(viewpoints), kind="relief")
