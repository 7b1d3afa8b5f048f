"""Readers of mesh files, and what is suspicious in a mesh: `python -m img2world.doctor.mesh_file` runs one reader.

Other programs may crash or hang on damaged files.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

from img2world.core.child_process import answer, run_child
from img2world.core.errors import ExportError
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress
from img2world.meshing.surface import is_closed

TIME_LIMIT = 300.0
"""Seconds that a reader may take."""

NO_FACES = "the file has no faces"
"""Warning with which a file counts as rejected."""

BOUNDS_TOLERANCE = 1e-4
"""Difference of bounds, relative to the size, that rounding explains."""

MAX_TEXTURE = 4096
"""Pixels on the longer side of a texture above which phones and headsets refuse it or run out of memory."""

MIN_SIZE, MAX_SIZE = 0.01, 1000.0
"""Sizes in units, which are metres in glTF and USD, outside of which a viewer shows a speck, or nothing."""


@dataclass(frozen=True, kw_only=True)
class MeshReading:
    """The findings of one reader about a mesh file."""

    reader: str
    """Name and version."""
    vertices: int = 0
    faces: int = 0
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    """Bounds in the axes of the file; empty where the reader does not place the meshes."""
    normals: bool | None = None
    uv: bool | None = None
    colors: bool | None = None
    """Vertex colors. None, here and below, where the reader does not say."""
    textures: tuple[tuple[int, int], ...] | None = None
    """Width and height of each texture."""
    watertight: bool | None = None
    inside_out: bool | None = None
    degenerate: int | None = None
    """Number of faces without an area."""
    error: str = ""
    """Why the reader rejects the file; empty if it does not."""

    def line(self) -> str:
        """Return one line for people."""
        if self.error:
            return f"{self.reader:<20} rejects it: {self.error}"
        facts = [f"{self.vertices:,} vertices", f"{self.faces:,} faces"]
        if self.low:
            low, high = (", ".join(f"{value:.3g}" for value in bound) for bound in (self.low, self.high))
            facts.append(f"({low}) to ({high})")
        flags = {"normals": self.normals, "UV": self.uv, "vertex colors": self.colors, "watertight": self.watertight}
        facts += [name for name, value in flags.items() if value]
        facts += [f"texture {width}x{height}" for width, height in self.textures or ()]
        return f"{self.reader:<20} {', '.join(facts)}"

    def agrees(self, other: "MeshReading") -> bool:
        """Return True if two readers have found the same number of faces and, where both say, the same bounds."""
        if self.error or other.error or self.faces != other.faces:
            return False
        if not self.low or not other.low:
            return True
        bounds, others = np.array([self.low, self.high]), np.array([other.low, other.high])
        size = max(float(np.ptp(others, axis=0).max()), 1e-12)
        return bool(np.abs(bounds - others).max() <= BOUNDS_TOLERANCE * size)


def read_mesh(path: Path) -> list[MeshReading]:
    """Return what each reader that is installed makes of a mesh file, each in a process of its own."""
    readings = []
    for package, (module, suffixes, _) in READERS.items():
        if path.suffix.lower() not in suffixes or not find_spec(module):
            continue
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "reading.json"
            options = {"reader": package, "source": str(path.absolute()), "target": str(target)}
            try:
                run_child("img2world.doctor.mesh_file", options, time_limit=TIME_LIMIT, error=ExportError)
                readings.append(_from_json(json.loads(target.read_text())))
            except ExportError as error:
                readings.append(MeshReading(reader=name_with_version(package), error=str(error)))
    if not readings:
        missing = " or ".join(
            package for package, (_, suffixes, _) in READERS.items() if path.suffix.lower() in suffixes
        )
        raise ExportError(f"no reader of {path.suffix} files is installed", hint=f"pip install {missing}")
    return readings


def mesh_warnings(mesh: MeshReading) -> list[str]:
    """Return what is suspicious in a mesh."""
    if mesh.error or not mesh.faces:
        return [] if mesh.error else [NO_FACES]
    found, size = [], float(np.ptp(np.array([mesh.low, mesh.high]), axis=0).max())
    if mesh.degenerate:
        found.append(f"{mesh.degenerate:,} faces have no area")
    if mesh.normals is False:
        found.append("no normals: some programs show flat facets")
    if not mesh.uv and not mesh.textures:
        colored = "vertex colors and no texture: Godot shows such a mesh white, and f3d too dark"
        found.append(colored if mesh.colors else "no texture coordinates and no vertex colors")
    for width, height in mesh.textures or ():
        if max(width, height) > MAX_TEXTURE:
            found.append(f"a texture of {width}x{height}: phones and headsets need {MAX_TEXTURE} at most")
    if mesh.watertight is False:
        found.append("not watertight: no solid for printing and for physics")
    if mesh.inside_out:
        found.append("the faces look inwards: it seems hollow or black")
    if not MIN_SIZE <= size <= MAX_SIZE:
        found.append(f"the longest side has {size:.3g} units, which are metres in most programs")
    return found


def _from_json(entry: dict[str, Any]) -> MeshReading:
    """Return a reading that was written as JSON."""
    textures = None if entry["textures"] is None else tuple((width, height) for width, height in entry["textures"])
    return MeshReading(**{**entry, "low": tuple(entry["low"]), "high": tuple(entry["high"]), "textures": textures})


def _trimesh(path: Path) -> dict[str, Any]:
    """Return what trimesh finds."""
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    meshes = [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh)]
    if not meshes:
        return {}
    whole: Any = trimesh.util.concatenate(
        [trimesh.Trimesh(mesh.vertices, mesh.faces, process=False) for mesh in meshes]
    )
    # Vertices that differ only in their texture coordinates are one point of the surface.
    merged = trimesh.Trimesh(whole.vertices, whole.faces, process=False)
    merged.merge_vertices()
    closed = is_closed(merged.faces)
    size = float(np.ptp(whole.bounds, axis=0).max())
    visuals: list[Any] = [mesh.visual for mesh in scene.geometry.values() if isinstance(mesh, trimesh.Trimesh)]
    pictures = {id(picture): picture.size for visual in visuals for picture in _textures(visual)}
    attributes = [getattr(visual, "vertex_attributes", {}) for visual in visuals]
    return {
        "vertices": len(whole.vertices),
        "faces": len(whole.faces),
        "low": whole.bounds[0].tolist(),
        "high": whole.bounds[1].tolist(),
        # Those that are not in the file are computed when they are asked for.
        "normals": all("vertex_normals" in mesh._cache.cache for mesh in scene.geometry.values()),
        "uv": any(getattr(visual, "uv", None) is not None for visual in visuals),
        "colors": any("color" in names for names in attributes) or any(visual.kind == "vertex" for visual in visuals),
        "textures": list(pictures.values()),
        "watertight": closed,
        "inside_out": closed and bool(merged.volume < 0),
        "degenerate": int((whole.area_faces <= 1e-14 * size**2).sum()),
    }


def _textures(visual: Any) -> list[Any]:
    """Return the pictures of a material of trimesh."""
    material = getattr(visual, "material", None)
    names = (
        "image",
        "baseColorTexture",
        "normalTexture",
        "metallicRoughnessTexture",
        "occlusionTexture",
        "emissiveTexture",
    )
    found = [getattr(material, name, None) for name in names]
    return [picture for picture in found if picture is not None]


def _pygltflib(path: Path) -> dict[str, Any]:
    """Return what pygltflib finds: the numbers of the triangles that the scene shows."""
    import pygltflib

    document: Any = pygltflib.GLTF2().load(str(path))
    counts, stack = np.zeros(2, int), list(document.scenes[document.scene or 0].nodes)
    while stack:
        node = document.nodes[stack.pop()]
        stack += node.children or []
        for primitive in document.meshes[node.mesh].primitives if node.mesh is not None else ():
            if primitive.mode in (None, 4):
                vertices = document.accessors[primitive.attributes.POSITION].count
                corners = vertices if primitive.indices is None else document.accessors[primitive.indices].count
                counts += (vertices, corners // 3)
    return {"vertices": int(counts[0]), "faces": int(counts[1])}


def _usd(path: Path) -> dict[str, Any]:
    """Return what OpenUSD finds."""
    import pxr.Usd
    import pxr.UsdGeom

    usd, geometry = cast(Any, pxr.Usd), cast(Any, pxr.UsdGeom)
    stage = usd.Stage.Open(str(path))
    cache = geometry.BBoxCache(usd.TimeCode.EarliestTime(), [geometry.Tokens.default_, geometry.Tokens.render])
    bounds = cache.ComputeWorldBound(stage.GetPseudoRoot()).ComputeAlignedRange()
    meshes = [geometry.Mesh(prim) for prim in stage.Traverse() if prim.IsA(geometry.Mesh)]
    sides = [np.array(mesh.GetFaceVertexCountsAttr().Get() or [], int) for mesh in meshes]
    names = [
        primvar.GetPrimvarName() for mesh in meshes for primvar in geometry.PrimvarsAPI(mesh).GetPrimvarsWithValues()
    ]
    return {
        "vertices": sum(len(mesh.GetPointsAttr().Get() or []) for mesh in meshes),
        # Polygons as triangles, as the other readers count them.
        "faces": int(sum((counts - 2).sum() for counts in sides)),
        "low": [] if bounds.IsEmpty() else list(bounds.GetMin()),
        "high": [] if bounds.IsEmpty() else list(bounds.GetMax()),
        "normals": bool(meshes) and all(mesh.GetNormalsAttr().HasValue() for mesh in meshes),
        "uv": any(name.startswith(("st", "uv", "UVMap")) for name in names),
        "colors": "displayColor" in names,
        "textures": [size for prim in stage.Traverse() for size in _usd_textures(prim)],
    }


def _usd_textures(prim: Any) -> Iterator[tuple[int, int]]:
    """Yield the size of the picture that a shader of OpenUSD reads, if it reads one."""
    import io

    import pxr.Ar
    from PIL import Image

    asset = prim.GetAttribute("inputs:file").Get() if prim.GetTypeName() == "Shader" else None
    opened = asset and cast(Any, pxr.Ar).GetResolver().OpenAsset(cast(Any, pxr.Ar).ResolvedPath(asset.resolvedPath))
    if opened:
        with Image.open(io.BytesIO(opened.GetBuffer())) as picture:
            yield picture.size


READERS: dict[str, tuple[str, tuple[str, ...], Callable[[Path], dict[str, Any]]]] = {
    "trimesh": ("trimesh", (".glb", ".gltf", ".obj", ".stl", ".ply", ".off"), _trimesh),
    "pygltflib": ("pygltflib", (".glb", ".gltf"), _pygltflib),
    "usd-core": ("pxr", (".usdz", ".usdc", ".usda", ".usd"), _usd),
}
"""Module, formats and function of each reader by its package."""

MESH_SUFFIXES = {suffix for _, suffixes, _ in READERS.values() for suffix in suffixes}


def _answer(options: dict, progress: Progress) -> None:
    """Write what a reader makes of a file as JSON. Options: reader, source, target."""
    del progress
    package = options["reader"]
    found: dict[str, Any]
    try:
        found = READERS[package][2](Path(options["source"]))
    # Other programs raise whatever they like; that is what is to be found out.
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    Path(options["target"]).write_text(json.dumps(asdict(MeshReading(reader=name_with_version(package), **found))))


if __name__ == "__main__":
    answer(_answer)
