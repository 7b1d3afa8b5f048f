"""Rooms and what is seen close by."""

import numpy as np

from training.assembly import Composition, Material
from training.organisms import animal, person
from training.materials import Maker
from training.scene import Light, Place, Shot, daylight
from training.shapes import BOX, blob, cylinder
from training.object_kinds import any_thing
from training.rotations import about_y, about_y_by


def room(make: Maker, views: int) -> Place:
    """A furnished room, seen by somebody standing or sitting in it."""
    rng, made = make.rng, Composition()
    width, high, depth = rng.uniform(2.5, 8), rng.uniform(2.3, 3.8), rng.uniform(3, 9)
    shell(make, made, width, high, depth)
    for _ in range(int(rng.integers(3, 9))):  # along the walls, facing inward
        side = int(rng.integers(4))
        size = rng.uniform(0.7, 2.1)
        out = 0.5 - 0.3 / (width if side < 2 else depth) * size
        along = rng.uniform(-0.42, 0.42)
        x, z = ((2 * side - 1) * out, along) if side < 2 else (along, (2 * side - 5) * out)
        turn = about_y_by([np.pi / 2, -np.pi / 2, 0, np.pi][side] + rng.choice([0, 0, 0.3]))
        made.include(any_thing(make), at=(x * width, 0, z * depth), size=size, turn=turn)
    for _ in range(int(rng.integers(1, 6))):
        made.include(
            any_thing(make),
            at=(rng.uniform(-0.35, 0.35) * width, 0, rng.uniform(-0.35, 0.35) * depth),
            size=rng.uniform(0.3, 1.5),
            turn=about_y(rng),
        )
    shots = []
    for _ in range(views):
        turn = rng.uniform(0, 2 * np.pi)
        back = np.array([np.sin(turn) * width, 0, np.cos(turn) * depth])
        eye = back * rng.uniform(0.2, 0.45) + (0, rng.uniform(0.7, 1.9), 0)
        target = -back * rng.uniform(0.05, 0.4) + (rng.uniform(-0.2, 0.2) * width, rng.uniform(0.3, 1.6), 0)
        shots.append(Shot(eye=eye, target=target, fov=rng.uniform(0.7, 1.5), roll=rng.normal(0, 0.02)))
    lamp = np.array([rng.uniform(-0.3, 0.3) * width, high * 0.92, rng.uniform(-0.3, 0.3) * depth])
    light = Light(
        place=lamp,
        is_near=True,
        strength=rng.uniform(0.3, 0.9),
        ambient=rng.uniform(0.4, 0.85),
        reach=rng.uniform(1, 6),
        softness=float(rng.choice([2.0, 4.0, 7.0])),
    )
    return Place(composition=made, light=light, shots=tuple(shots), kind="room")


def shell(make: Maker, made: Composition, width: float, high: float, depth: float) -> None:
    """Floor, ceiling, walls, and what hangs on them."""
    rng = make.rng
    walls = make.material(repeat=2)
    made.put(BOX, make.material(repeat=3), at=(0, -0.05, 0), size=(width, 0.1, depth))
    made.put(
        BOX, Material(texture=walls.texture, tint=(0.95, 0.95, 0.95)), at=(0, high + 0.05, 0), size=(width, 0.1, depth)
    )
    for x in (-1, 1):
        wall = walls if rng.random() < 0.7 else make.material(repeat=2)
        made.put(BOX, wall, at=(x * (width / 2 + 0.05), high / 2, 0), size=(0.1, high, depth))
        wall = walls if rng.random() < 0.7 else make.material(repeat=2)
        made.put(BOX, wall, at=(0, high / 2, x * (depth / 2 + 0.05)), size=(width, high, 0.1))
    for _ in range(int(rng.integers(1, 8))):  # windows, doors, pictures
        glow = float(rng.choice([0, 0, 0.9]))
        frame, inner = make.material(), make.material(glow=glow)
        size = rng.uniform(0.4, 1.6, 2)
        middle = 1.0 if rng.random() < 0.3 else rng.uniform(1.2, 1.9)
        side, along = rng.choice([-1, 1]), rng.uniform(-0.4, 0.4)
        if rng.random() < 0.5:
            made.put(
                BOX, frame, at=(along * width, middle, side * depth / 2), size=(size[0] + 0.12, size[1] + 0.12, 0.06)
            )
            made.put(BOX, inner, at=(along * width, middle, side * depth / 2), size=(size[0], size[1], 0.08))
        else:
            made.put(
                BOX, frame, at=(side * width / 2, middle, along * depth), size=(0.06, size[1] + 0.12, size[0] + 0.12)
            )
            made.put(BOX, inner, at=(side * width / 2, middle, along * depth), size=(0.08, size[1], size[0]))
    if rng.random() < 0.5:
        rug = BOX if rng.random() < 0.6 else cylinder(detail=24)
        made.put(
            rug, make.material(), at=(0, 0.01, 0), size=(rng.uniform(1, 0.8 * width), 0.02, rng.uniform(1, 0.8 * depth))
        )


def tabletop(make: Maker, views: int) -> Place:
    """A few things on a surface, close by, before a wall or nothing near."""
    rng, made = make.rng, Composition()
    made.put(
        BOX if rng.random() < 0.7 else cylinder(detail=30),
        make.material(repeat=3),
        at=(0, -0.05, 0),
        size=(rng.uniform(3, 16), 0.1, rng.uniform(3, 16)),
    )
    made.next_thing()
    if rng.random() < 0.7:
        made.put(
            BOX,
            make.material(repeat=2),
            at=(0, 2, -rng.uniform(1.5, 6)),
            size=(24, 12, 0.1),
            turn=about_y_by(rng.uniform(-0.3, 0.3)),
        )
    for i in range(int(rng.integers(1, 9))):
        place = np.array([rng.uniform(-1.3, 1.3), 0, rng.uniform(-1.4, 0.8)]) * (i > 0)
        made.include(any_thing(make), at=place, size=rng.uniform(0.5, 1.2), turn=about_y(rng))
    shots = []
    for _ in range(views):
        turn, up, away = rng.uniform(-0.7, 0.7), rng.uniform(0.05, 1.25), rng.uniform(1.3, 3.6)
        target = np.array([rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.6), rng.uniform(-0.2, 0.2)])
        direction = np.array([np.sin(turn) * np.cos(up), np.sin(up), np.cos(turn) * np.cos(up)])
        shots.append(
            Shot(eye=target + away * direction, target=target, fov=rng.uniform(0.45, 1.1), roll=rng.normal(0, 0.04))
        )
    light = daylight(rng)
    return Place(composition=made, light=light, shots=tuple(shots), kind="tabletop")


def portrait(make: Maker, views: int) -> Place:
    """One thing, person or animal large before something farther."""
    rng, made = make.rng, Composition()
    made.put(BOX, make.material(repeat=6), at=(0, -0.05, 0), size=(60, 0.1, 60))
    subject = (person, animal, any_thing)[int(rng.integers(3))](make)
    turn = about_y_by(rng.uniform(-0.8, 0.8) - (np.pi / 2 if rng.random() < 0.4 else 0))
    made.include(subject, at=(0, 0, 0), size=1.0, turn=turn)
    if rng.random() < 0.5:
        made.next_thing()
        made.put(
            BOX,
            make.material(repeat=2),
            at=(0, 2, -rng.uniform(0.5, 4)),
            size=(20, 14, 0.1),
            turn=about_y_by(rng.uniform(-0.4, 0.4)),
        )
    for _ in range(int(rng.integers(0, 10))):
        place = (rng.uniform(-5, 5), 0, rng.uniform(-9, -0.8))
        made.include(any_thing(make), at=place, size=rng.uniform(0.5, 3), turn=about_y(rng))
    low, high = subject.bounds()
    shots = []
    for _ in range(views):
        target = np.array([0, rng.uniform(0.35, 0.9) * high[1], 0])
        fov = rng.uniform(0.4, 1.1)
        away = rng.uniform(0.35, 1.0) * max(high - low) / np.tan(fov / 2)
        around, up = rng.uniform(-0.5, 0.5), rng.uniform(-0.1, 0.5)
        direction = np.array([np.sin(around) * np.cos(up), np.sin(up), np.cos(around) * np.cos(up)])
        eye = target + away * direction
        eye[1] = max(eye[1], 0.1)
        shots.append(Shot(eye=eye, target=target + rng.uniform(-0.15, 0.15, 3), fov=fov, roll=rng.normal(0, 0.03)))
    return Place(composition=made, light=daylight(rng), shots=tuple(shots), kind="portrait")


def relief(make: Maker, views: int) -> Place:
    """A wall with things before it, from straight ahead: fronts, shelves, walls of rock."""
    rng, made = make.rng, Composition()
    made.put(BOX, make.material(repeat=3), at=(0, 2, -0.05), size=(14, 14, 0.1))
    made.put(BOX, make.material(repeat=3), at=(0, -0.05, 4), size=(14, 0.1, 8))
    for _ in range(int(rng.integers(3, 14))):
        made.next_thing()
        place = np.array([rng.uniform(-2.5, 2.5), rng.uniform(0, 2.5), rng.uniform(0, 0.6)])
        if rng.random() < 0.5:
            made.put(blob(rng) if rng.random() < 0.5 else BOX, make.material(), at=place, size=rng.uniform(0.2, 1.5, 3))
        else:
            made.include(
                any_thing(make),
                at=(place[0], place[1] * float(rng.random() < 0.3), 0.6 + place[2]),
                size=rng.uniform(0.5, 1.5),
            )
    shots = []
    for _ in range(views):
        target = np.array([rng.uniform(-1, 1), rng.uniform(0.5, 1.8), 0])
        eye = target + np.array([rng.uniform(-2, 2), rng.uniform(-0.4, 1.2), rng.uniform(2, 5)])
        shots.append(Shot(eye=eye, target=target, fov=rng.uniform(0.5, 1.2), roll=rng.normal(0, 0.03)))
    return Place(composition=made, light=daylight(rng), shots=tuple(shots), kind="relief")
