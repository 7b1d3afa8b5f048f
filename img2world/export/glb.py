"""Writing and checking of meshes as binary glTF 2.0 (GLB).

Source: Khronos, "glTF 2.0 Specification", sections 3.6 to 3.9 and 4.4; KHR_materials_unlit.
"""

import json
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.errors import ExportError
from img2world.core.mesh import Mesh
from img2world.export.surface import Surface, vertex_normals

FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


def write_glb(mesh: Mesh, path: Path, *, unlit: bool, double_sided: bool) -> None:
    """Write the mesh with +Y up, normals and vertex colours; `unlit` has viewers show the colours unshaded."""
    arrays = gltf_attributes(mesh)
    accessors, views, chunks = [], [], []
    for name, array in [*arrays.items(), ("indices", mesh.faces.reshape(-1).astype(np.uint32))]:
        indices = name == "indices"
        kind = (
            {"componentType": UNSIGNED_INT, "type": "SCALAR"} if indices else {"componentType": FLOAT, "type": "VEC3"}
        )
        accessor = {"bufferView": len(views), "count": len(array), **kind}
        if name == "POSITION":
            accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        target = ELEMENT_ARRAY_BUFFER if indices else ARRAY_BUFFER
        offset = sum(map(len, chunks))
        chunks.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(chunks[-1]), "target": target})
        accessors.append(accessor)
    material = {"doubleSided": double_sided, "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}
    if unlit:
        material["extensions"] = {"KHR_materials_unlit": {}}
    primitive = {"attributes": {name: i for i, name in enumerate(arrays)}, "indices": len(arrays), "material": 0}
    document = {
        "asset": {"version": "2.0", "generator": "img2world"},
        **({"extensionsUsed": ["KHR_materials_unlit"]} if unlit else {}),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "world"}],
        "meshes": [{"name": "world", "primitives": [primitive]}],
        "materials": [material],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": sum(map(len, chunks))}],
    }
    path.write_bytes(_container(json.dumps(document, separators=(",", ":")).encode(), b"".join(chunks)))


def _container(text: bytes, binary: bytes) -> bytes:
    """Return the GLB file of a JSON and a binary chunk, each padded to four bytes (section 4.4.3)."""
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary))
    return b"".join(
        [header, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(binary), b"BIN\0"), binary]
    )


def gltf_attributes(mesh: Mesh) -> dict[str, Float32[np.ndarray, "M 3"]]:
    """Return the vertex attributes by their glTF names, with +Y up."""
    rotation = Y_UP_FROM_WORLD[:3, :3].astype(np.float32)
    return {
        # Adding zero turns the -0.0 that the rotation leaves into 0.0.
        "POSITION": mesh.vertices @ rotation + np.float32(0),
        "NORMAL": vertex_normals(Surface(mesh.vertices, mesh.faces)).astype(np.float32) @ rotation + np.float32(0),
        # glTF vertex colours are linear (section 3.7.2.1); sRGB values would look pale.
        "COLOR_0": linear_from_srgb(mesh.colors),
    }


def linear_from_srgb(srgb: UInt8[np.ndarray, "M 3"]) -> Float32[np.ndarray, "M 3"]:
    """Convert 8-bit sRGB to linear light 0 to 1 (IEC 61966-2-1)."""
    value = srgb.astype(np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def check_glb(mesh: Mesh, path: Path) -> None:
    """Compare the mesh with what trimesh reads. Raises ExportError when they differ."""
    import trimesh

    with path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type="glb", process=False)
    (read,) = scene.geometry.values()
    arrays = gltf_attributes(mesh)
    # Where there is a material, trimesh keeps the colours of the file as a plain attribute.
    found = {
        "POSITION": read.vertices,
        "NORMAL": read.vertex_normals,
        "COLOR_0": read.visual.vertex_attributes.get("color", np.empty(0)),
    }
    wrong = [name for name in arrays if not _equal(found[name], arrays[name])]
    if wrong or not np.array_equal(read.faces, mesh.faces):
        raise ExportError(
            f"the GLB file reads back as {len(read.faces)} faces, written were {len(mesh.faces)}, "
            f"with {', '.join(wrong) or 'no attribute'} wrong",
            hint=f"check the disk and write it again ({path})",
        )


def _equal(found: np.ndarray, expected: Float32[np.ndarray, "M 3"]) -> bool:
    """Return True if an attribute was read back; trimesh normalizes normals again, which changes their last bits."""
    return found.shape == expected.shape and float(np.abs(found - expected).max()) < 1e-6 * max(
        1.0, float(np.abs(expected).max())
    )
