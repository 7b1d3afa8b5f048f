"""Procedural objects and rooms, so that evaluation needs no data."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from evaluation.assets import TexturedMesh, mesh_from_scene
from evaluation.textures import box_projection
from img2world.core.conventions import Y_UP_FROM_WORLD

if TYPE_CHECKING:
    from trimesh import Trimesh

TEXTURE_SIZE = 256


def procedural_object(seed: int) -> TexturedMesh:
    """Return a body on a base with a few solids attached, each with a random texture."""
    import trimesh

    rng = np.random.default_rng([seed, 1])
    body = _random_solid(rng)
    body.apply_scale(rng.uniform(0.6, 1.3, 3))
    parts = [body]
    base = trimesh.creation.cylinder(rng.uniform(0.5, 0.9), rng.uniform(0.08, 0.3), sections=48)
    base.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    base.apply_translation([0, body.bounds[0, 1], 0])
    parts.append(base)
    for _ in range(rng.integers(3, 7)):
        part = _random_solid(rng)
        part.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
        part.apply_scale(rng.uniform(0.2, 0.55))
        part.apply_translation(body.vertices[rng.integers(len(body.vertices))])
        parts.append(part)
    return mesh_from_scene(trimesh.Scene([with_random_texture(part, rng) for part in parts]))


def procedural_room(seed: int) -> TexturedMesh:
    """Return a furnished room in metres; the camera is at its origin, looks along +Z, and the floor is below (+Y)."""
    import trimesh

    rng = np.random.default_rng([seed, 2])
    width, depth, height, eye = rng.uniform([4.5, 3.8, 2.4, 1.3], [6.5, 6.0, 3.0, 1.7])
    low, high = np.array([-width / 2, eye - height, -0.6]), np.array([width / 2, eye, depth])
    walls = [
        _wall_grid(low, high, axis, position)
        for axis, position in ((1, low), (1, high), (0, low), (0, high), (2, high))
    ]
    meshes = [with_random_texture(wall, rng, repeat=rng.uniform(0.7, 1.6)) for wall in walls]
    for _ in range(rng.integers(6, 11)):
        size = rng.uniform([0.3, 0.3, 0.3], [1.2, 1.5, 1.0])
        box = trimesh.creation.box(extents=size)
        box.apply_transform(trimesh.transformations.rotation_matrix(rng.uniform(-0.6, 0.6), [0, 1, 0]))
        # Keep the camera's path clear.
        x, z = rng.uniform([low[0] + 0.4, 0.45 * depth], [high[0] - 0.4, depth - 0.4])
        box.apply_translation([x, eye - size[1] / 2, z])
        meshes.append(with_random_texture(box, rng))
    for _ in range(rng.integers(1, 4)):
        painting = trimesh.creation.box(extents=rng.uniform([0.5, 0.4, 0.04], [1.1, 0.9, 0.06]))
        x, y = rng.uniform([0.6 * low[0], eye - 0.75 * height], [0.6 * high[0], eye - 0.5 * height])
        painting.apply_translation([x, y, depth - 0.03])
        meshes.append(with_random_texture(painting, rng, repeat=1.0))
    # mesh_from_scene expects +Y up, but these meshes are in the world's axes already.
    return mesh_from_scene(trimesh.Scene(meshes)).transformed(Y_UP_FROM_WORLD)


def _random_solid(rng: np.random.Generator) -> "Trimesh":
    """Return a random primitive of about unit size."""
    from trimesh import creation as make

    makers = [
        lambda: make.box(extents=rng.uniform(0.6, 1.2, 3)),
        lambda: make.cylinder(rng.uniform(0.3, 0.6), rng.uniform(0.6, 1.4), sections=48),
        lambda: make.icosphere(subdivisions=3, radius=0.6),
        lambda: make.torus(0.55, rng.uniform(0.1, 0.25), major_sections=48, minor_sections=24),
        lambda: make.cone(rng.uniform(0.4, 0.6), rng.uniform(0.7, 1.3), sections=48),
        lambda: make.capsule(rng.uniform(0.4, 1.0), rng.uniform(0.2, 0.4)),
    ]
    solid = makers[rng.integers(len(makers))]()
    solid.apply_translation(-solid.bounds.mean(0))
    return solid


def _wall_grid(
    low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], axis: int, position: Float[np.ndarray, "3"]
) -> "Trimesh":
    """Return a wall perpendicular to an axis, in small faces: faces that reach behind the camera are not rendered."""
    import trimesh

    first, second = (i for i in range(3) if i != axis)
    counts = [max(1, round((high[i] - low[i]) / 0.2)) for i in (first, second)]
    fractions = np.stack(np.meshgrid(*(np.linspace(0, 1, count + 1) for count in counts), indexing="ij"), -1)
    vertices = np.tile(position, (fractions[..., 0].size, 1))
    vertices[:, [first, second]] = low[[first, second]] + fractions.reshape(-1, 2) * (high - low)[[first, second]]
    rows, columns = np.mgrid[: counts[0], : counts[1]].reshape(2, -1)
    corner = rows * (counts[1] + 1) + columns
    right, below = corner + 1, corner + counts[1] + 1
    faces = np.stack([corner, right, below, right, below + 1, below], -1).reshape(-1, 3)
    return trimesh.Trimesh(vertices, faces, process=False)


def with_random_texture(mesh: "Trimesh", rng: np.random.Generator, repeat: float | None = None) -> "Trimesh":
    """Return the mesh with a random texture, box-projected, `repeat` times per metre."""
    import trimesh
    from PIL import Image as PillowImage
    from trimesh.visual.material import PBRMaterial
    from trimesh.visual.texture import TextureVisuals

    corners = mesh.triangles.reshape(-1, 3)
    axis = np.abs(mesh.face_normals).argmax(1).repeat(3)
    uv = box_projection(corners, axis) * (rng.uniform(0.7, 1.8) if repeat is None else repeat)
    image = PillowImage.fromarray(seeded_texture(rng))
    visual = TextureVisuals(uv=uv + rng.random(2), material=PBRMaterial(baseColorTexture=image))
    faces = np.arange(len(corners)).reshape(-1, 3)
    normals = mesh.vertex_normals[mesh.faces].reshape(-1, 3)
    # Faces that meet at an edge keep their own normals.
    flat = np.einsum("nd,nd->n", normals, mesh.face_normals.repeat(3, 0)) < 0.9
    normals = np.where(flat[:, None], mesh.face_normals.repeat(3, 0), normals)
    return trimesh.Trimesh(corners, faces, vertex_normals=normals, visual=visual, process=False)


def seeded_texture(rng: np.random.Generator, size: int = TEXTURE_SIZE) -> UInt8[np.ndarray, "S S 3"]:
    """Return a tileable pattern: chequers, stripes, bricks, dots or noise, with some dirt."""
    first, second = rng.uniform(0.1, 0.95, (2, 3))
    y, x = np.mgrid[0:size, 0:size] / size
    count = int(rng.integers(2, 7))
    noise = tileable_noise(rng, size)
    kind = rng.integers(5)
    if kind == 0:
        mix = ((np.floor(x * 2 * count) + np.floor(y * 2 * count)) % 2).astype(np.float64)
    elif kind == 1:
        mix = (np.sin(2 * np.pi * count * (x + rng.integers(0, 2) * y)) > 0).astype(np.float64)
    elif kind == 2:
        shifted = x + 0.5 / count * (np.floor(y * 2 * count) % 2)
        mix = ((shifted * count % 1 < 0.06) | (y * 2 * count % 1 < 0.12)).astype(np.float64)
    elif kind == 3:
        mix = (np.hypot(x * count % 1 - 0.5, y * count % 1 - 0.5) < rng.uniform(0.2, 0.4)).astype(np.float64)
    else:
        mix = np.clip(0.5 + 3 * (noise - 0.5), 0, 1)
    color = first + mix[..., None] * (second - first)
    dirt = 0.25 * (tileable_noise(rng, size)[..., None] - 0.5)
    return np.round(255 * np.clip(color + dirt, 0, 1)).astype(np.uint8)


def tileable_noise(rng: np.random.Generator, size: int) -> Float[np.ndarray, "S S"]:
    """Return tileable noise of three octaves, 0 to 1."""
    import cv2

    total = np.zeros((size, size))
    for cells, weight in ((4, 0.5), (16, 0.3), (64, 0.2)):
        noise = np.pad(rng.random((cells, cells)), 2, mode="wrap")
        big = cv2.resize(noise, None, fx=size / cells, fy=size / cells, interpolation=cv2.INTER_CUBIC)
        margin = 2 * size // cells
        total += weight * big[margin : margin + size, margin : margin + size]
    return np.clip(total, 0, 1)
