"""Models from files as things among the made ones."""

from pathlib import Path

import numpy as np

from evaluation.assets import TexturedMesh, load_asset
from img2world.core.conventions import Y_UP_FROM_WORLD
from training.assembly import Composition, Material
from training.materials import Maker
from training.shapes import Shape

MAX_FACES = 20_000
"""Models with more triangles are left out: at the size of the pictures they show nothing more."""


def load_assets(paths: list[Path], first_texture: int) -> tuple[list[Composition], list[np.ndarray]]:
    """The models, one unit large and standing on the ground, and their textures numbered from `first_texture`.

    A texture that several have, as the white of those that have none, is there once.
    """
    compositions, pictures = [], []
    numbers: dict[tuple[tuple[int, ...], bytes], int] = {}
    for path in paths:
        mesh = load_asset(path, z_up=path.parent.name == "ycb").moved(Y_UP_FROM_WORLD)
        if len(mesh.faces) > MAX_FACES:
            continue
        own = []
        for picture in pictures_of(mesh):
            known_as = picture.shape, picture.tobytes()
            if known_as not in numbers:
                numbers[known_as] = first_texture + len(pictures)
                pictures.append(picture)
            own.append(numbers[known_as])
        compositions.append(composed(mesh, own))
    return compositions, pictures


def pictures_of(mesh: TexturedMesh) -> list[np.ndarray]:
    """The full textures of a mesh."""
    atlas = mesh.atlas
    sizes = [(int(atlas.heights[copy]), int(atlas.widths[copy])) for copy in atlas.firsts]
    starts = [int(atlas.starts[copy]) for copy in atlas.firsts]
    return [
        atlas.texels[start : start + height * width].reshape(height, width, 3)
        for start, (height, width) in zip(starts, sizes, strict=True)
    ]


def composed(mesh: TexturedMesh, textures: list[int]) -> Composition:
    """A mesh parted by texture and tint; `textures` are the numbers of its own ones."""
    low, high = mesh.box
    middle = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    vertices = (mesh.vertices - middle) / max(float((high - low).max()), 1e-9)
    # Tints are linear and the made pictures are lit as if in sRGB, which a root comes close to.
    tints = np.round(8 * np.sqrt(mesh.tints[mesh.faces].mean(1).clip(0, 1))) / 8  # [F, 3]
    kinds, kind_of = np.unique(np.concatenate([mesh.face_textures[:, None], tints], 1), axis=0, return_inverse=True)
    made = Composition()
    for i, kind in enumerate(kinds):
        faces = mesh.faces[kind_of.ravel() == i]
        used, compact = np.unique(faces, return_inverse=True)
        shape = Shape(
            vertices=vertices[used].astype(np.float64),
            faces=compact.reshape(-1, 3),
            uv=mesh.uv[used].astype(np.float64),
        )
        tint = (float(kind[1]), float(kind[2]), float(kind[3]))
        made.put(shape, Material(texture=textures[int(kind[0])], tint=tint))
    return made


def redressed(model: Composition, make: Maker) -> Composition:
    """A model in other materials, their textures laid on from the sides of its box."""
    made = Composition()
    for shape in model.shapes:
        made.put(boxed(shape), make.material())
    return made


def boxed(shape: Shape) -> Shape:
    """A shape whose texture coordinates are those of its points seen along the axis that each face looks to most."""
    corners = shape.vertices[shape.faces]  # [F, 3, 3]
    axis = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])).argmax(1)
    copies, faces = np.unique(3 * shape.faces + axis[:, None], return_inverse=True)
    points, seen_along = shape.vertices[copies // 3], copies % 3
    others = np.array([[2, 1], [0, 2], [0, 1]])[seen_along]
    uv = np.take_along_axis(points, others, 1)
    return Shape(vertices=points, faces=faces.reshape(-1, 3), uv=uv, smooth=shape.smooth)
