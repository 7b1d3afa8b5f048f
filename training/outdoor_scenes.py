"""Procedural landscapes and streets."""

import numpy as np

from training.assembly import Assembly
from training.furniture import make_lamp
from training.materials import Material, MaterialSampler
from training.object_kinds import make_random_object
from training.organisms import make_person, make_plant
from training.rotations import random_rotation_y, rotation_y
from training.scene import ProceduralScene, Viewpoint, daylight
from training.shapes import BOX, grid_surface, superquadric
from training.structures import make_vehicle
from training.textures import clouds


def add_terrain(materials: MaterialSampler, parts: Assembly, half: float, relief: float) -> np.ndarray:
    """Add a square terrain of side 2 `half` that rises towards its rim; return its grid of points [44, 44, 3]."""
    rng = materials.rng
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
    surface = grid_surface(np.stack([x, heights, z], -1))
    uv = surface.vertices[:, [0, 2]] / rng.uniform(1.5, 10)
    parts.add(type(surface)(vertices=surface.vertices, faces=surface.faces, uv=uv), materials.sample(repeat=1))
    return np.stack([x, heights, z], -1)


def terrain_height(surface: np.ndarray, x: float, z: float) -> float:
    """Return the height of the terrain vertex nearest to a position."""
    i = int(np.abs(surface[:, 0, 0] - x).argmin())
    j = int(np.abs(surface[0, :, 2] - z).argmin())
    return float(surface[i, j, 1])


def make_outdoors(materials: MaterialSampler, views: int) -> ProceduralScene:
    """Make hills, mountains, a shore or a park with objects on the terrain."""
    rng, parts = materials.rng, Assembly()
    half = rng.choice([40, 120, 400])
    surface = add_terrain(materials, parts, half, rng.uniform(0, 0.2) * half)
    if rng.random() < 0.3:
        parts.start_object()
        parts.add(
            BOX,
            Material(texture=materials.sample().texture, tint=(0.4, 0.5, 0.6), gloss=0.9, shininess=60, repeat=8),
            at=(0, rng.uniform(-0.6, 0.05), 0),
            size=(2 * half, 0.02, 2 * half),
        )
    for _ in range(int(rng.integers(4, 26))):
        reach = rng.choice([5, 12, 30, 80])
        x, z = rng.uniform(-reach, reach, 2)
        size = rng.uniform(0.4, 2) * (1 + 0.1 * np.hypot(x, z)) * rng.choice([1, 1, 2])
        if np.hypot(x, z) > 2 + 0.6 * size:
            parts.add_assembly(
                make_random_object(materials),
                at=(x, terrain_height(surface, x, z) - 0.05 * size, z),
                size=size,
                rotation=random_rotation_y(rng),
            )
    viewpoints = []
    for _ in range(views):
        x, z = rng.uniform(-1.2, 1.2, 2)
        eye_height = rng.uniform(0.6, 2.5) if rng.random() < 0.75 else rng.uniform(5, 25)
        eye = np.array([x, max(terrain_height(surface, x, z), -0.3) + eye_height, z])
        azimuth = rng.uniform(0, 2 * np.pi)
        pitch = rng.uniform(-0.3, 0.12) if eye_height < 4 else rng.uniform(-0.9, -0.15)
        target = eye + np.array([np.cos(azimuth), np.tan(pitch), np.sin(azimuth)])
        viewpoints.append(Viewpoint(eye=eye, target=target, fov=rng.uniform(0.5, 1.35), roll=rng.normal(0, 0.02)))
    fog = rng.choice([0, 0.3, 1, 3]) / half
    return ProceduralScene(
        assembly=parts, lighting=daylight(rng, fog=fog), viewpoints=tuple(viewpoints), kind="outdoors"
    )


def make_street(materials: MaterialSampler, views: int) -> ProceduralScene:
    """Make a road between two rows of buildings, with vehicles, people, trees and lamps."""
    rng, parts = materials.rng, Assembly()
    road_width, half_length = rng.uniform(5, 18), rng.uniform(30, 90)
    parts.add(BOX, materials.sample(repeat=12), at=(0, -0.05, 0), size=(160, 0.1, 160))
    for side in (-1, 1):
        add_houses(materials, parts, side, road_width, half_length)
    makers = (make_vehicle, make_vehicle, make_person, make_person, make_plant, make_lamp, make_random_object)
    for _ in range(int(rng.integers(5, 26))):
        make_object = makers[int(rng.integers(len(makers)))]
        size = {
            make_vehicle: rng.uniform(2.5, 4.5),
            make_person: 1.7,
            make_plant: rng.uniform(2, 6),
            make_lamp: rng.uniform(2, 6),
        }.get(make_object, 1.2)
        position = (rng.uniform(-0.45, 0.45) * road_width, 0, rng.uniform(-0.8, 0.8) * half_length)
        parts.add_assembly(
            make_object(materials),
            at=position,
            size=size,
            rotation=rotation_y(rng.choice([0, np.pi]) + np.pi / 2 + rng.normal(0, 0.2)),
        )
    viewpoints = []
    for _ in range(views):
        eye = np.array(
            [
                rng.uniform(-0.4, 0.4) * road_width,
                rng.uniform(1.2, 3) if rng.random() < 0.8 else rng.uniform(4, 12),
                rng.uniform(-0.4, 0.4) * half_length,
            ]
        )
        ahead = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.12, 0.1) - 0.06 * (eye[1] > 3.5), rng.choice([-1, 1])])
        viewpoints.append(Viewpoint(eye=eye, target=eye + ahead, fov=rng.uniform(0.6, 1.4), roll=rng.normal(0, 0.02)))
    return ProceduralScene(
        assembly=parts,
        lighting=daylight(rng, fog=rng.choice([0, 0.002, 0.01])),
        viewpoints=tuple(viewpoints),
        kind="street",
    )


def add_houses(materials: MaterialSampler, parts: Assembly, side: int, road_width: float, half_length: float) -> None:
    """Add a pavement and a row of houses along one side (-1 or 1) of a street."""
    rng = materials.rng
    parts.add(
        BOX, materials.sample(repeat=8), at=(side * road_width * 0.42, 0.05, 0), size=(road_width * 0.16, 0.1, 160)
    )
    z = -half_length
    while z < half_length and rng.random() < 0.985:
        parts.start_object()
        front, height, depth = rng.uniform(4, 14), rng.uniform(3, 18), rng.uniform(6, 12)
        wall = materials.sample(repeat=rng.choice([1, 2]))
        x = side * (road_width / 2 + depth / 2 + rng.uniform(0, 1.5))
        parts.add(BOX, wall, at=(x, height / 2, z + front / 2), size=(depth, height, front))
        if rng.random() < 0.5:
            parts.add(
                superquadric(0.3, 0.2),
                materials.sample(),
                at=(x, height, z + front / 2),
                size=(depth * 1.1, rng.uniform(0.5, 4), front),
            )
        parts.add(
            BOX,
            materials.sample(emission=0.2),
            at=(side * road_width / 2, 1.3, z + front / 2),
            size=(1.0, 2.4, front * 0.7),
        )
        z += front + (rng.uniform(0, 6) if rng.random() < 0.3 else 0)
