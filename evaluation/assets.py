"""Textured meshes from GLB and OBJ files, used as ground truth.

Base colours combine textures, material factors and vertex colours. Transparent surfaces are rendered opaque unless
they are invisible; skeletons, lights and roughness are ignored.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32, Int32

from evaluation.textures import TextureAtlas, build_atlas, linear_from_srgb
from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.errors import Img2WorldError

if TYPE_CHECKING:
    from trimesh import Scene, Trimesh

SUFFIXES = (".glb", ".gltf", ".obj")

Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]])
"""For assets with +Z up, as scans often have."""

HELD_OUT_EVERY = 3
"""The first of each so many assets of a manifest is held out from training."""


class AssetError(Img2WorldError):
    """An asset or posed photos cannot be found, read or used."""


@dataclass(frozen=True, kw_only=True)
class TexturedMesh:
    """Triangle mesh with what its colours need, without unused vertices.

    In world axes: +Y is down, and the front faces -Z.
    """

    vertices: Float32[np.ndarray, "M 3"]
    normals: Float32[np.ndarray, "M 3"]
    """Unit length, of either sign."""
    uv: Float32[np.ndarray, "M 2"]
    """(0, 0) is the upper left corner of the texture."""
    tints: Float32[np.ndarray, "M 3"]
    """Linear factors on the texture: vertex colours and material factors."""
    faces: Int32[np.ndarray, "F 3"]
    face_textures: Int32[np.ndarray, "F"]
    atlas: TextureAtlas

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
    def bounds(self) -> tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "3"]]:
        """Return the lower and upper corners of the bounding box."""
        return self.vertices.min(0), self.vertices.max(0)

    def transformed(self, target_from_source: Float[np.ndarray, "4 4"]) -> "TexturedMesh":
        """Return the mesh rotated, uniformly scaled and translated."""
        linear_part = target_from_source[:3, :3]
        turn = linear_part / np.cbrt(np.linalg.det(linear_part))
        return replace(
            self,
            vertices=(self.vertices @ linear_part.T + target_from_source[:3, 3]).astype(np.float32),
            normals=(self.normals @ turn.T).astype(np.float32),
        )


def normalize_mesh(mesh: TexturedMesh, radius: float) -> TexturedMesh:
    """Return the mesh with its bounding box centred at the origin and its farthest vertex at `radius`."""
    low, high = mesh.bounds
    center = (low.astype(np.float64) + high) / 2
    extent = np.linalg.norm(mesh.vertices - center, axis=1).max()
    return mesh.transformed(scale_and_translate(radius / extent, -center * radius / extent))


def scale_and_translate(
    scale: float, translation: Float[np.ndarray, "3"] | tuple[float, ...]
) -> Float[np.ndarray, "4 4"]:
    """Return the matrix of a uniform scale followed by a translation."""
    return np.array(
        [[scale, 0, 0, translation[0]], [0, scale, 0, translation[1]], [0, 0, scale, translation[2]], [0, 0, 0, 1.0]]
    )


def find_assets(source: Path) -> list[Path]:
    """Return the assets of a folder and its subfolders, sorted by path, or the held-out ones of a manifest.

    A manifest is a CSV file with a column `file`, relative to the manifest, and optionally `category`; see
    `split_manifest`. Raises AssetError when there are none.
    """
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    elif source.suffix.lower() == ".csv":
        found = split_manifest(source)[1]
    else:
        found = [source] if source.suffix.lower() in SUFFIXES and source.is_file() else []
    if not found:
        raise AssetError(
            f"no 3D model found: {source}", hint="give a GLB or OBJ file, a folder of such files, or a manifest.csv"
        )
    return found


def split_manifest(manifest: Path, *, category: str = "assets3d") -> tuple[list[Path], list[Path]]:
    """Return the assets of a manifest as (training, held out), in the manifest's order.

    Of the rows of the category (all rows without such a column), those with index 0, 3, 6, … are held out. Raises
    AssetError when the file is not a manifest.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        files = [row["file"] for row in rows if row.get("category", category) == category]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise AssetError(f"the manifest cannot be read: {error} ({manifest})", hint="needs a column `file`") from error
    paths = [manifest.parent / name for name in files]
    held_out = paths[::HELD_OUT_EVERY]
    return [path for i, path in enumerate(paths) if i % HELD_OUT_EVERY], held_out


def load_asset(path: Path, *, z_up: bool = False) -> TexturedMesh:
    """Read all meshes of a file, placed by its scene graph, with +Y up (or +Z) in the file.

    Raises AssetError when the file cannot be read or has no visible triangles.
    """
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
    # trimesh does not validate files: broken ones raise any of these.
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError) as error:
        raise AssetError(
            f"the 3D model cannot be read: {type(error).__name__} {error} ({path})", hint="needs a GLB or OBJ file"
        ) from error
    mesh = mesh_from_scene(scene)
    return mesh.transformed(Y_UP_FROM_WORLD @ Y_UP_FROM_Z_UP @ Y_UP_FROM_WORLD) if z_up else mesh


def mesh_from_scene(scene: "Scene") -> TexturedMesh:
    """Return all meshes of a +Y-up trimesh scene as one. Raises AssetError when it has no visible triangles."""
    import trimesh

    parts, textures = [], TextureCollector()
    for node in scene.graph.nodes_geometry:
        node_in_scene, name = scene.graph[node]
        geometry = scene.geometry[name]
        if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces):
            part = _mesh_part(geometry, np.asarray(node_in_scene, np.float64), textures)
            if part is not None:
                parts.append(part)
    if not parts:
        raise AssetError("the 3D model has no visible triangles", hint="use another file")
    mesh = merge_parts(parts, textures)
    if not np.ptp(mesh.vertices, axis=0).any():
        # trimesh returns zeros for data that it cannot decompress.
        raise AssetError(
            "all vertices of the 3D model coincide",
            hint="use another file, or pip install DracoPy if it is Draco-compressed",
        )
    return mesh.transformed(Y_UP_FROM_WORLD)


class TextureCollector:
    """Textures of a scene without repetitions; the first is white."""

    def __init__(self) -> None:
        self.images = [np.full((1, 1, 3), 255, np.uint8)]
        self.indices: dict[int, int] = {}

    def index(self, image: Any) -> int:
        """Return the index of a Pillow image, which is added if it is new, or of white for None."""
        if image is None:
            return 0
        if id(image) not in self.indices:
            self.indices[id(image)] = len(self.images)
            self.images.append(np.array(image.convert("RGB")))
        return self.indices[id(image)]


@dataclass(frozen=True, kw_only=True)
class MeshPart:
    """One mesh of a scene, in scene coordinates."""

    vertices: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    tints: np.ndarray
    faces: np.ndarray
    texture: int


def _mesh_part(geometry: "Trimesh", node_in_scene: np.ndarray, textures: TextureCollector) -> MeshPart | None:
    """Return one mesh in scene coordinates, or None if it is invisible."""
    image, factor = read_material(geometry)
    if factor[3] < 0.05:
        return None
    linear_part = node_in_scene[:3, :3]
    # Normals transform by the inverse transpose.
    normals = geometry.vertex_normals @ np.linalg.pinv(linear_part)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 1e-12, normals / np.maximum(lengths, 1e-12), [0.0, 1.0, 0.0])
    uv = getattr(geometry.visual, "uv", None)
    uv = np.zeros((len(geometry.vertices), 2)) if uv is None or len(uv) != len(geometry.vertices) else np.asarray(uv)
    return MeshPart(
        vertices=geometry.vertices @ linear_part.T + node_in_scene[:3, 3],
        normals=normals,
        # trimesh has the origin in the lower left corner.
        uv=np.stack([uv[:, 0], 1 - uv[:, 1]], -1),
        tints=factor[:3] * vertex_colors(geometry),
        faces=geometry.faces,
        texture=textures.index(image),
    )


def read_material(geometry: "Trimesh") -> tuple[Any, Float[np.ndarray, "4"]]:
    """Return the texture of the base colour, if any, and its linear RGBA factor."""
    material = getattr(geometry.visual, "material", None)
    kind = type(material).__name__
    if kind == "PBRMaterial":
        factor = getattr(material, "baseColorFactor", None)
        image = getattr(material, "baseColorTexture", None)
        # glTF 2.0, section 3.9.2: factors are linear.
        return image, np.ones(4) if factor is None else _to_unit_range(factor)
    if kind == "SimpleMaterial":
        image = getattr(material, "image", None)
        if image is not None:
            # Many programs write OBJ files with a black or grey diffuse colour beside the texture; viewers ignore it.
            return image, np.ones(4)
        diffuse = _to_unit_range(getattr(material, "diffuse", (255, 255, 255, 255)))
        return None, np.array([*linear_from_srgb(diffuse[:3].astype(np.float32)), diffuse[3]])
    return None, np.ones(4)


def vertex_colors(geometry: "Trimesh") -> Float[np.ndarray, "M 3"]:
    """Return the linear vertex colours, white where the file has none."""
    visual: Any = geometry.visual
    count = len(geometry.vertices)
    attribute = getattr(visual, "vertex_attributes", {}).get("color")
    if attribute is not None and len(attribute) == count:
        return _to_unit_range(np.asarray(attribute))[:, :3]
    if visual.kind in ("vertex", "face"):
        # Colours in files without textures, such as PLY and OBJ, are sRGB.
        return linear_from_srgb(_to_unit_range(np.asarray(visual.vertex_colors))[:, :3].astype(np.float32)).astype(
            np.float64
        )
    return np.ones((count, 3))


def _to_unit_range(values: Any) -> Float[np.ndarray, "*S"]:
    """Return colours from 0 to 1, given as bytes or floats."""
    array = np.asarray(values)
    return array.astype(np.float64) / 255 if array.dtype.kind in "ui" else array.astype(np.float64)


def merge_parts(parts: list[MeshPart], textures: TextureCollector) -> TexturedMesh:
    """Return all parts as one mesh."""
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
        atlas=build_atlas(textures.images),
    )
