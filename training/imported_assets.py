"""Imported 3D assets as training objects."""

from pathlib import Path

import numpy as np

from evaluation.assets import TexturedMesh, load_asset
from evaluation.textures import box_projection
from img2world.core.conventions import Y_UP_FROM_WORLD
from training.assembly import Assembly
from training.materials import Material, MaterialSampler
from training.shapes import Shape

MAX_FACES = 20_000
"""Assets with more triangles are skipped: they show no more detail at the size of the training images."""


def load_assets(paths: list[Path], first_texture: int) -> tuple[list[Assembly], list[np.ndarray]]:
    """Return the assets, one unit large and standing on the ground, and their textures.

    Textures are numbered from `first_texture` on. A texture that several assets share is returned once.
    """
    assemblies, textures = [], []
    numbers: dict[tuple[tuple[int, ...], bytes], int] = {}
    for path in paths:
        mesh = load_asset(path, z_up=path.parent.name == "ycb").transformed(Y_UP_FROM_WORLD)
        if len(mesh.faces) > MAX_FACES:
            continue
        mesh_textures = []
        for texture in mesh.atlas.images():
            key = texture.shape, texture.tobytes()
            if key not in numbers:
                numbers[key] = first_texture + len(textures)
                textures.append(texture)
            mesh_textures.append(numbers[key])
        assemblies.append(assembly_from_mesh(mesh, mesh_textures))
    return assemblies, textures


def assembly_from_mesh(mesh: TexturedMesh, textures: list[int]) -> Assembly:
    """Return a mesh split by texture and tint; `textures` are the numbers of the mesh's textures in the bank."""
    low, high = mesh.bounds
    foot = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    vertices = (mesh.vertices - foot) / max(float((high - low).max()), 1e-9)
    # Tints are linear but training images are shaded in sRGB values; a square root approximates the conversion.
    tints = np.round(8 * np.sqrt(mesh.tints[mesh.faces].mean(1).clip(0, 1))) / 8  # [F, 3]
    looks = np.concatenate([mesh.face_textures[:, None], tints], 1)
    distinct, look_of_face = np.unique(looks, axis=0, return_inverse=True)
    assembly = Assembly()
    for i, (texture, *tint) in enumerate(distinct.tolist()):
        faces = mesh.faces[look_of_face.ravel() == i]
        used, compact = np.unique(faces, return_inverse=True)
        shape = Shape(
            vertices=vertices[used].astype(np.float64),
            faces=compact.reshape(-1, 3),
            uv=mesh.uv[used].astype(np.float64),
        )
        assembly.add(shape, Material(texture=textures[int(texture)], tint=(tint[0], tint[1], tint[2])))
    return assembly


def retexture(asset: Assembly, materials: MaterialSampler) -> Assembly:
    """Return an asset with random materials, their textures projected from the sides of a box."""
    assembly = Assembly()
    for shape in asset.shapes:
        assembly.add(with_box_projection(shape), materials.sample())
    return assembly


def with_box_projection(shape: Shape) -> Shape:
    """Return a shape with each face's texture projected along the axis that the face is most nearly normal to."""
    corners = shape.vertices[shape.faces]  # [F, 3, 3]
    axis = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])).argmax(1)
    copies, faces = np.unique(3 * shape.faces + axis[:, None], return_inverse=True)
    points = shape.vertices[copies // 3]
    return Shape(
        vertices=points, faces=faces.reshape(-1, 3), uv=box_projection(points, copies % 3), smooth=shape.smooth
    )
