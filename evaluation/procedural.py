"""Models and rooms made by seed, so that everybody can evaluate without any data."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from evaluation.assets import TexturedMesh, mesh_from_scene
from img2world.core.conventions import Y_UP_FROM_WORLD

if TYPE_CHECKING:
    from trimesh import Trimesh

TEXTURE_SIZE = 256


def procedural_object(seed: int) -> TexturedMesh:
    """A body on a base with a few things stuck to it, each part with a texture of its own."""
    import trimesh

    random = np.random.default_rng([seed, 1])
    body = _solid(random)
    body.apply_scale(random.uniform(0.6, 1.3, 3))
    parts = [body]
    base = trimesh.creation.cylinder(random.uniform(0.5, 0.9), random.uniform(0.08, 0.3), sections=48)
    base.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    base.apply_translation([0, body.bounds[0, 1], 0])
    parts.append(base)
    for _ in range(random.integers(3, 7)):
        part = _solid(random)
        part.apply_transform(trimesh.transformations.random_rotation_matrix(random.random(3)))
        part.apply_scale(random.uniform(0.2, 0.55))
        part.apply_translation(body.vertices[random.integers(len(body.vertices))])
        parts.append(part)
    return mesh_from_scene(trimesh.Scene([_textured(part, random) for part in parts]))


def procedural_room(seed: int) -> TexturedMesh:
    """A furnished room in metres; the camera stands at its origin, looks along +Z, and the floor is below (+Y)."""
    import trimesh

    random = np.random.default_rng([seed, 2])
    width, depth, height, eye = random.uniform([4.5, 3.8, 2.4, 1.3], [6.5, 6.0, 3.0, 1.7])
    low, high = np.array([-width / 2, eye - height, -0.6]), np.array([width / 2, eye, depth])
    walls = [_panel(low, high, axis, place) for axis, place in ((1, low), (1, high), (0, low), (0, high), (2, high))]
    things = [_textured(wall, random, repeat=random.uniform(0.7, 1.6)) for wall in walls]
    for _ in range(random.integers(6, 11)):
        size = random.uniform([0.3, 0.3, 0.3], [1.2, 1.5, 1.0])
        box = trimesh.creation.box(extents=size)
        box.apply_transform(trimesh.transformations.rotation_matrix(random.uniform(-0.6, 0.6), [0, 1, 0]))
        # Nothing stands where the camera swings.
        x, z = random.uniform([low[0] + 0.4, 0.45 * depth], [high[0] - 0.4, depth - 0.4])
        box.apply_translation([x, eye - size[1] / 2, z])
        things.append(_textured(box, random))
    for _ in range(random.integers(1, 4)):
        picture = trimesh.creation.box(extents=random.uniform([0.5, 0.4, 0.04], [1.1, 0.9, 0.06]))
        x, y = random.uniform([0.6 * low[0], eye - 0.75 * height], [0.6 * high[0], eye - 0.5 * height])
        picture.apply_translation([x, y, depth - 0.03])
        things.append(_textured(picture, random, repeat=1.0))
    # A scene of trimesh has +Y up; here all is in the world's axes already.
    return mesh_from_scene(trimesh.Scene(things)).moved(Y_UP_FROM_WORLD)


def _solid(random: np.random.Generator) -> "Trimesh":
    """One of a few plain bodies of about unit size."""
    from trimesh import creation as make

    kinds = [
        lambda: make.box(extents=random.uniform(0.6, 1.2, 3)),
        lambda: make.cylinder(random.uniform(0.3, 0.6), random.uniform(0.6, 1.4), sections=48),
        lambda: make.icosphere(subdivisions=3, radius=0.6),
        lambda: make.torus(0.55, random.uniform(0.1, 0.25), major_sections=48, minor_sections=24),
        lambda: make.cone(random.uniform(0.4, 0.6), random.uniform(0.7, 1.3), sections=48),
        lambda: make.capsule(random.uniform(0.4, 1.0), random.uniform(0.2, 0.4)),
    ]
    solid = kinds[random.integers(len(kinds))]()
    solid.apply_translation(-solid.bounds.mean(0))
    return solid


def _panel(
    low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], axis: int, place: Float[np.ndarray, "3"]
) -> "Trimesh":
    """A wall across one axis, in faces so small that few are lost where it passes the camera."""
    import trimesh

    first, second = (i for i in range(3) if i != axis)
    counts = [max(1, round((high[i] - low[i]) / 0.2)) for i in (first, second)]
    shares = np.stack(np.meshgrid(*(np.linspace(0, 1, count + 1) for count in counts), indexing="ij"), -1)
    vertices = np.tile(place, (shares[..., 0].size, 1))
    vertices[:, [first, second]] = low[[first, second]] + shares.reshape(-1, 2) * (high - low)[[first, second]]
    rows, columns = np.mgrid[: counts[0], : counts[1]].reshape(2, -1)
    corner = rows * (counts[1] + 1) + columns
    right, below = corner + 1, corner + counts[1] + 1
    faces = np.stack([corner, right, below, right, below + 1, below], -1).reshape(-1, 3)
    return trimesh.Trimesh(vertices, faces, process=False)


def _textured(mesh: "Trimesh", random: np.random.Generator, repeat: float | None = None) -> "Trimesh":
    """The mesh with a random texture laid on along the axis that each face looks at most."""
    import trimesh
    from PIL import Image as PillowImage
    from trimesh.visual.material import PBRMaterial
    from trimesh.visual.texture import TextureVisuals

    corners = mesh.triangles.reshape(-1, 3)
    axis = np.abs(mesh.face_normals).argmax(1).repeat(3)
    others = np.array([[2, 1], [0, 2], [0, 1]])[axis]
    uv = np.take_along_axis(corners, others, 1) * (random.uniform(0.7, 1.8) if repeat is None else repeat)
    picture = PillowImage.fromarray(seeded_texture(random))
    visual = TextureVisuals(uv=uv + random.random(2), material=PBRMaterial(baseColorTexture=picture))
    faces = np.arange(len(corners)).reshape(-1, 3)
    normals = mesh.vertex_normals[mesh.faces].reshape(-1, 3)
    # Smooth normals suit round bodies only.
    flat = np.einsum("nd,nd->n", normals, mesh.face_normals.repeat(3, 0)) < 0.9
    normals = np.where(flat[:, None], mesh.face_normals.repeat(3, 0), normals)
    return trimesh.Trimesh(corners, faces, vertex_normals=normals, visual=visual, process=False)


def seeded_texture(random: np.random.Generator, size: int = TEXTURE_SIZE) -> UInt8[np.ndarray, "S S 3"]:
    """A pattern that repeats without seams: chequers, stripes, tiles, dots or blots, with some dirt on it."""
    first, second = random.uniform(0.1, 0.95, (2, 3))
    y, x = np.mgrid[0:size, 0:size] / size
    count = int(random.integers(2, 7))
    blots = seeded_blots(random, size)
    kind = random.integers(5)
    if kind == 0:
        share = ((np.floor(x * 2 * count) + np.floor(y * 2 * count)) % 2).astype(np.float64)
    elif kind == 1:
        share = (np.sin(2 * np.pi * count * (x + random.integers(0, 2) * y)) > 0).astype(np.float64)
    elif kind == 2:
        shifted = x + 0.5 / count * (np.floor(y * 2 * count) % 2)
        share = ((shifted * count % 1 < 0.06) | (y * 2 * count % 1 < 0.12)).astype(np.float64)
    elif kind == 3:
        share = (np.hypot(x * count % 1 - 0.5, y * count % 1 - 0.5) < random.uniform(0.2, 0.4)).astype(np.float64)
    else:
        share = np.clip(0.5 + 3 * (blots - 0.5), 0, 1)
    color = first + share[..., None] * (second - first)
    dirt = 0.25 * (seeded_blots(random, size)[..., None] - 0.5)
    return np.round(255 * np.clip(color + dirt, 0, 1)).astype(np.uint8)


def seeded_blots(random: np.random.Generator, size: int) -> Float[np.ndarray, "S S"]:
    """Noise of three sizes, 0 to 1, without seams."""
    import cv2

    total = np.zeros((size, size))
    for cells, weight in ((4, 0.5), (16, 0.3), (64, 0.2)):
        noise = np.pad(random.random((cells, cells)), 2, mode="wrap")
        big = cv2.resize(noise, None, fx=size / cells, fy=size / cells, interpolation=cv2.INTER_CUBIC)
        margin = 2 * size // cells
        total += weight * big[margin : margin + size, margin : margin + size]
    return np.clip(total, 0, 1)
