"""Textured models from GLB and OBJ files: ground truth that can be seen from everywhere.

Base colours come from textures, material factors and vertex colours together. What is see-through in the
file is opaque here, unless it cannot be seen at all; skeletons, lights and surface roughness play no part.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32, Int32

from evaluation.textures import Atlas, build_atlas, linear
from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.errors import Img2WorldError

if TYPE_CHECKING:
    from trimesh import Scene, Trimesh

SUFFIXES = (".glb", ".gltf", ".obj")

Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]])
"""A model that stands along +Z, as scans often do, to one that stands along +Y."""

HELD_OUT_EVERY = 3
"""Of a manifest's models, the first of each so many is for judging only; nothing may be trained on it."""


class AssetError(Img2WorldError):
    """A model for evaluation cannot be found, read or used."""


@dataclass(frozen=True, kw_only=True)
class TexturedMesh:
    """Triangles with everything that their colours need, and no vertex that no face uses.

    In our world's axes: +Y is down, and the front looks to -Z.
    """

    vertices: Float32[np.ndarray, "M 3"]
    normals: Float32[np.ndarray, "M 3"]
    """Unit length; either side may be meant."""
    uv: Float32[np.ndarray, "M 2"]
    """(0, 0) is a texture's upper left corner."""
    tints: Float32[np.ndarray, "M 3"]
    """Linear, times the texture: vertex colours and the material's factor."""
    faces: Int32[np.ndarray, "F 3"]
    face_textures: Int32[np.ndarray, "F"]
    atlas: Atlas

    def __post_init__(self) -> None:
        check_shapes(
            vertices=(self.vertices, "M 3"),
            normals=(self.normals, "M 3"),
            uv=(self.uv, "M 2"),
            tints=(self.tints, "M 3"),
        )
        check_shapes(faces=(self.faces, "F 3"), face_textures=(self.face_textures, "F"))
        check_dtypes(faces=(self.faces, np.int32), vertices=(self.vertices, np.float32))
        check_finite(vertices=self.vertices, normals=self.normals, uv=self.uv, tints=self.tints)

    @property
    def box(self) -> tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "3"]]:
        """Lowest and highest coordinates."""
        return self.vertices.min(0), self.vertices.max(0)

    def moved(self, target_from_source: Float[np.ndarray, "4 4"]) -> "TexturedMesh":
        """Turned, moved and uniformly scaled by a matrix of a rotation times one scale, and a translation."""
        linear_part = target_from_source[:3, :3]
        turn = linear_part / np.cbrt(np.linalg.det(linear_part))
        return replace(
            self,
            vertices=(self.vertices @ linear_part.T + target_from_source[:3, 3]).astype(np.float32),
            normals=(self.normals @ turn.T).astype(np.float32),
        )


def unit_mesh(mesh: TexturedMesh, radius: float) -> TexturedMesh:
    """The mesh about the origin: the middle of its box there, its farthest vertex `radius` away."""
    low, high = mesh.box
    middle = (low.astype(np.float64) + high) / 2
    reach = np.linalg.norm(mesh.vertices - middle, axis=1).max()
    matrix = np.eye(4) * (radius / reach)
    matrix[:3, 3] = -middle * radius / reach
    matrix[3, 3] = 1
    return mesh.moved(matrix)


def find_assets(source: Path) -> list[Path]:
    """The models of a folder and all folders in it by name, or those that a manifest keeps aside.

    A manifest is a CSV file with a column `file`, paths beside the manifest, and perhaps `category`; see
    `manifest_split`. Raises AssetError when there is none.
    """
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    elif source.suffix.lower() == ".csv":
        found = manifest_split(source)[1]
    else:
        found = [source] if source.suffix.lower() in SUFFIXES and source.is_file() else []
    if not found:
        raise AssetError(
            f"no model is there: {source}", hint="name a folder of GLB or OBJ files, one of them, or a manifest.csv"
        )
    return found


def manifest_split(manifest: Path, *, category: str = "assets3d") -> tuple[list[Path], list[Path]]:
    """A manifest's models as (for training, kept aside), in the manifest's order.

    Of the rows of the category (all rows where there is no such column), those with index 0, 3, 6, … are kept
    aside. Raises AssetError when the file is no such manifest.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        files = [row["file"] for row in rows if row.get("category", category) == category]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise AssetError(f"the manifest cannot be read: {error} ({manifest})", hint="needs a column `file`") from error
    paths = [manifest.parent / name for name in files]
    aside = paths[::HELD_OUT_EVERY]
    return [path for i, path in enumerate(paths) if i % HELD_OUT_EVERY], aside


def load_asset(path: Path, *, z_up: bool = False) -> TexturedMesh:
    """Read a model: all of its meshes, placed as its scene graph says, +Y up (or +Z) in the file.

    Raises AssetError when the file cannot be read or holds no triangles.
    """
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
    # A broken file makes trimesh stumble wherever it happens to be: any of these can come.
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError) as error:
        raise AssetError(
            f"the model cannot be read: {type(error).__name__} {error} ({path})", hint="needs a GLB or OBJ file"
        ) from error
    mesh = mesh_from_scene(scene)
    return mesh.moved(Y_UP_FROM_WORLD @ Y_UP_FROM_Z_UP @ Y_UP_FROM_WORLD) if z_up else mesh


def mesh_from_scene(scene: "Scene") -> TexturedMesh:
    """All meshes of a scene in which +Y is up. Raises AssetError when it holds nothing that can be seen."""
    import trimesh

    parts, textures = [], Textures()
    for node in scene.graph.nodes_geometry:
        node_in_scene, name = scene.graph[node]
        geometry = scene.geometry[name]
        if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces):
            part = _part(geometry, np.asarray(node_in_scene, np.float64), textures)
            if part is not None:
                parts.append(part)
    if not parts:
        raise AssetError("the model holds no triangles that can be seen", hint="take another file")
    mesh = _joined(parts, textures)
    if not np.ptp(mesh.vertices, axis=0).any():
        # trimesh reads what it cannot unpack as zeros.
        raise AssetError(
            "all corners of the model are one point",
            hint="take another file, or, if Draco compressed it, pip install DracoPy",
        )
    return mesh.moved(Y_UP_FROM_WORLD)


class Textures:
    """The textures that were met, each once; the first is white."""

    def __init__(self) -> None:
        self.pictures = [np.full((1, 1, 3), 255, np.uint8)]
        self.known: dict[int, int] = {}

    def index(self, picture: Any) -> int:
        """Of a Pillow picture, or of white where there is none."""
        if picture is None:
            return 0
        if id(picture) not in self.known:
            self.known[id(picture)] = len(self.pictures)
            self.pictures.append(np.array(picture.convert("RGB")))
        return self.known[id(picture)]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One mesh of a scene."""

    vertices: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    tints: np.ndarray
    faces: np.ndarray
    texture: int


def _part(geometry: "Trimesh", node_in_scene: np.ndarray, textures: Textures) -> Part | None:
    """One mesh in the scene's coordinates, or None when it cannot be seen."""
    picture, factor = material_of(geometry)
    if factor[3] < 0.05:
        return None
    linear_part = node_in_scene[:3, :3]
    # Normals turn as the planes that they stand on.
    normals = geometry.vertex_normals @ np.linalg.pinv(linear_part)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 1e-12, normals / np.maximum(lengths, 1e-12), [0.0, 1.0, 0.0])
    uv = getattr(geometry.visual, "uv", None)
    uv = np.zeros((len(geometry.vertices), 2)) if uv is None or len(uv) != len(geometry.vertices) else np.asarray(uv)
    return Part(
        vertices=geometry.vertices @ linear_part.T + node_in_scene[:3, 3],
        normals=normals,
        # trimesh counts from the lower left corner.
        uv=np.stack([uv[:, 0], 1 - uv[:, 1]], -1),
        tints=factor[:3] * vertex_colors(geometry),
        faces=geometry.faces,
        texture=textures.index(picture),
    )


def material_of(geometry: "Trimesh") -> tuple[Any, Float[np.ndarray, "4"]]:
    """The base colour's picture, if any, and its linear factor RGBA."""
    material = getattr(geometry.visual, "material", None)
    kind = type(material).__name__
    if kind == "PBRMaterial":
        factor = getattr(material, "baseColorFactor", None)
        picture = getattr(material, "baseColorTexture", None)
        # glTF 2.0, section 3.9.2: factors are linear.
        return picture, np.ones(4) if factor is None else _bytes_to_unit(factor)
    if kind == "SimpleMaterial":
        picture = getattr(material, "image", None)
        if picture is not None:
            # The OBJ files of many programs have a black or grey factor beside the texture, meant to be ignored.
            return picture, np.ones(4)
        diffuse = _bytes_to_unit(getattr(material, "diffuse", (255, 255, 255, 255)))
        return None, np.array([*linear(diffuse[:3].astype(np.float32)), diffuse[3]])
    return None, np.ones(4)


def vertex_colors(geometry: "Trimesh") -> Float[np.ndarray, "M 3"]:
    """Linear colours of the vertices, white where the file has none."""
    visual: Any = geometry.visual
    count = len(geometry.vertices)
    given = getattr(visual, "vertex_attributes", {}).get("color")
    if given is not None and len(given) == count:
        return _bytes_to_unit(np.asarray(given))[:, :3]
    if visual.kind in ("vertex", "face"):
        # Files with colours and no texture, as PLY and OBJ, mean sRGB.
        return linear(_bytes_to_unit(np.asarray(visual.vertex_colors))[:, :3].astype(np.float32)).astype(np.float64)
    return np.ones((count, 3))


def _bytes_to_unit(values: Any) -> Float[np.ndarray, "*S"]:
    """Colours 0 to 1, whether they were bytes or not."""
    array = np.asarray(values)
    return array.astype(np.float64) / 255 if array.dtype.kind in "ui" else array.astype(np.float64)


def _joined(parts: list[Part], textures: Textures) -> TexturedMesh:
    """All parts as one mesh."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])
    used, faces = np.unique(faces, return_inverse=True)
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])[used].astype(np.float32)
        for name in ("vertices", "normals", "uv", "tints")
    }
    return TexturedMesh(
        **arrays,
        faces=faces.reshape(-1, 3).astype(np.int32),
        face_textures=np.concatenate([np.full(len(part.faces), part.texture, np.int32) for part in parts]),
        atlas=build_atlas(textures.pictures),
    )
