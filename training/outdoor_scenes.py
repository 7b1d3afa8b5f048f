"""Landscapes and streets."""

import numpy as np

from training.assembly import Composition, Material
from training.furniture import lamp
from training.organisms import person, plant
from training.materials import Maker
from training.scene import Place, Shot, daylight
from training.shapes import BOX, patch, superquadric
from training.structures import vehicle
from training.textures import clouds
from training.object_kinds import any_thing
from training.rotations import about_y, about_y_by


def ground(make: Maker, made: Composition, half: float, relief: float) -> np.ndarray:
    """A landscape of 2 `half` on each side that rises towards its rim; gives its heights."""
    rng = make.rng
    count = 44
    heights = (clouds(rng, octaves=5, persistence=rng.uniform(0.35, 0.55), size=64)[:count, :count, 0] - 0.5) * relief
    # Rings that grow outwards give detail near the middle and a far horizon.
    t = np.linspace(-1, 1, count)
    axis = half * np.sign(t) * np.abs(t) ** 1.8
    x, z = np.meshgrid(axis, axis, indexing="ij")
    far = np.hypot(x, z) / half
    heights = (
        heights * (0.05 + far.clip(0, 1))
        + relief
        * rng.choice([0, 0, 0.6, 1.2])
        * (far.clip(0.3, 2) - 0.3) ** 1.5
        * clouds(rng, octaves=4, size=64)[:count, :count, 0]
    )
    surface = patch(np.stack([x, heights, z], -1))
    uv = surface.vertices[:, [0, 2]] / rng.uniform(1.5, 10)
    made.put(type(surface)(vertices=surface.vertices, faces=surface.faces, uv=uv), make.material(repeat=1))
    return np.stack([x, heights, z], -1)


def height_at(surface: np.ndarray, x: float, z: float) -> float:
    """Height of the landscape's vertex nearest to a place."""
    i = int(np.abs(surface[:, 0, 0] - x).argmin())
    j = int(np.abs(surface[0, :, 2] - z).argmin())
    return float(surface[i, j, 1])


def outdoors(make: Maker, views: int) -> Place:
    """Hills, mountains, shores and parks with things on them."""
    rng, made = make.rng, Composition()
    half = rng.choice([40, 120, 400])
    surface = ground(make, made, half, rng.uniform(0, 0.2) * half)
    if rng.random() < 0.3:
        made.next_thing()
        made.put(
            BOX,
            Material(texture=make.material().texture, tint=(0.4, 0.5, 0.6), gloss=0.9, sharpness=60, repeat=8),
            at=(0, rng.uniform(-0.6, 0.05), 0),
            size=(2 * half, 0.02, 2 * half),
        )
    for _ in range(int(rng.integers(4, 26))):
        reach = rng.choice([5, 12, 30, 80])
        x, z = rng.uniform(-reach, reach, 2)
        size = rng.uniform(0.4, 2) * (1 + 0.1 * np.hypot(x, z)) * rng.choice([1, 1, 2])
        if np.hypot(x, z) > 2 + 0.6 * size:
            made.include(
                any_thing(make), at=(x, height_at(surface, x, z) - 0.05 * size, z), size=size, turn=about_y(rng)
            )
    shots = []
    for _ in range(views):
        x, z = rng.uniform(-1.2, 1.2, 2)
        up = rng.uniform(0.6, 2.5) if rng.random() < 0.75 else rng.uniform(5, 25)
        eye = np.array([x, max(height_at(surface, x, z), -0.3) + up, z])
        turn = rng.uniform(0, 2 * np.pi)
        pitch = rng.uniform(-0.3, 0.12) if up < 4 else rng.uniform(-0.9, -0.15)
        target = eye + np.array([np.cos(turn), np.tan(pitch), np.sin(turn)])
        shots.append(Shot(eye=eye, target=target, fov=rng.uniform(0.5, 1.35), roll=rng.normal(0, 0.02)))
    fog = rng.choice([0, 0.3, 1, 3]) / half
    return Place(composition=made, light=daylight(rng, fog=fog), shots=tuple(shots), kind="outdoors")


def street(make: Maker, views: int) -> Place:
    """Two rows of buildings with a road, vehicles, people and trees between them."""
    rng, made = make.rng, Composition()
    wide, long = rng.uniform(5, 18), rng.uniform(30, 90)
    made.put(BOX, make.material(repeat=12), at=(0, -0.05, 0), size=(160, 0.1, 160))
    for side in (-1, 1):
        houses(make, made, side, wide, long)
    makers = (vehicle, vehicle, person, person, plant, lamp, any_thing)
    for _ in range(int(rng.integers(5, 26))):
        one = makers[int(rng.integers(len(makers)))]
        size = {vehicle: rng.uniform(2.5, 4.5), person: 1.7, plant: rng.uniform(2, 6), lamp: rng.uniform(2, 6)}.get(
            one, 1.2
        )
        place = (rng.uniform(-0.45, 0.45) * wide, 0, rng.uniform(-0.8, 0.8) * long)
        made.include(
            one(make), at=place, size=size, turn=about_y_by(rng.choice([0, np.pi]) + np.pi / 2 + rng.normal(0, 0.2))
        )
    shots = []
    for _ in range(views):
        eye = np.array(
            [
                rng.uniform(-0.4, 0.4) * wide,
                rng.uniform(1.2, 3) if rng.random() < 0.8 else rng.uniform(4, 12),
                rng.uniform(-0.4, 0.4) * long,
            ]
        )
        ahead = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.12, 0.1) - 0.06 * (eye[1] > 3.5), rng.choice([-1, 1])])
        shots.append(Shot(eye=eye, target=eye + ahead, fov=rng.uniform(0.6, 1.4), roll=rng.normal(0, 0.02)))
    return Place(
        composition=made, light=daylight(rng, fog=rng.choice([0, 0.002, 0.01])), shots=tuple(shots), kind="street"
    )


def houses(make: Maker, made: Composition, side: int, wide: float, long: float) -> None:
    """A pavement and a row of houses on one side of a street."""
    rng = make.rng
    made.put(BOX, make.material(repeat=8), at=(side * wide * 0.42, 0.05, 0), size=(wide * 0.16, 0.1, 160))
    z = -long
    while z < long and rng.random() < 0.985:
        made.next_thing()
        front, high, deep = rng.uniform(4, 14), rng.uniform(3, 18), rng.uniform(6, 12)
        wall = make.material(repeat=rng.choice([1, 2]))
        x = side * (wide / 2 + deep / 2 + rng.uniform(0, 1.5))
        made.put(BOX, wall, at=(x, high / 2, z + front / 2), size=(deep, high, front))
        if rng.random() < 0.5:
            made.put(
                superquadric(0.3, 0.2),
                make.material(),
                at=(x, high, z + front / 2),
                size=(deep * 1.1, rng.uniform(0.5, 4), front),
            )
        made.put(BOX, make.material(glow=0.2), at=(side * wide / 2, 1.3, z + front / 2), size=(1.0, 2.4, front * 0.7))
        z += front + (rng.uniform(0, 6) if rng.random() < 0.3 else 0)
