"""Writing and checking of meshes as binary glTF 2.0 (GLB).

Source: Khronos, "glTF 2.0 Specification", sections 3.6 to 3.9 and 4.4; KHR_materials_unlit.
"""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.errors import ExportError
from img2world.core.mesh import Mesh
from img2world.export.glb_content import Content
from img2world.export.skin import Skin, add_skin, bone_name

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071


def write_glb(mesh: Mesh, path: Path, *, unlit: bool, double_sided: bool, skin: Skin | None = None) -> None:
    """Write the mesh with +Y up and its texture or vertex colors; `unlit` has viewers show them unshaded.

    With a skin, it has an animation, which begins at 0 seconds.
    """
    content = Content()
    attributes = {
        name: content.add(array, target=ARRAY_BUFFER, limits=name == "POSITION")
        for name, array in gltf_attributes(mesh).items()
    }
    # 65535 may not be an index (section 3.7.2.1).
    small = len(mesh.vertices) < 65535
    faces = mesh.faces.reshape(-1).astype(np.uint16 if small else np.uint32)
    indices = content.add(faces, target=ELEMENT_ARRAY_BUFFER)
    material: dict[str, Any] = {
        "doubleSided": double_sided,
        "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
    }
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "img2world"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "world"}],
        "meshes": [{"name": "world", "primitives": [{"indices": indices, "material": 0, "attributes": attributes}]}],
        "materials": [material],
        "accessors": content.accessors,
        "bufferViews": content.views,
    }
    if mesh.texture is not None:
        material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
        sampler = {
            "magFilter": LINEAR,
            "minFilter": LINEAR_MIPMAP_LINEAR,
            "wrapS": CLAMP_TO_EDGE,
            "wrapT": CLAMP_TO_EDGE,
        }
        document["images"] = [{"bufferView": content.append(png_bytes(mesh.texture)), "mimeType": "image/png"}]
        document |= {"textures": [{"sampler": 0, "source": 0}], "samplers": [sampler]}
    if unlit:
        material["extensions"] = {"KHR_materials_unlit": {}}
        document["extensionsUsed"] = ["KHR_materials_unlit"]
    if skin is not None:
        add_skin(document, skin, content, target=ARRAY_BUFFER)
    document["buffers"] = [{"byteLength": sum(map(len, content.chunks))}]
    path.write_bytes(_container(json.dumps(document, separators=(",", ":")).encode(), b"".join(content.chunks)))


def png_bytes(texture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Return a texture as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(texture).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def _container(text: bytes, binary: bytes) -> bytes:
    """Return the GLB file of a JSON and a binary chunk, each padded to four bytes (section 4.4.3)."""
    text += b" " * (-len(text) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary))
    return b"".join(
        [header, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(binary), b"BIN\0"), binary]
    )


def gltf_attributes(mesh: Mesh) -> dict[str, np.ndarray]:
    """Return the vertex attributes by their glTF names, with +Y up."""
    rotation = Y_UP_FROM_WORLD[:3, :3].astype(np.float32)
    attributes = {
        # Adding zero turns the -0.0 that the rotation leaves into 0.0.
        "POSITION": mesh.vertices @ rotation + np.float32(0),
        "NORMAL": mesh.normals @ rotation + np.float32(0),
    }
    if mesh.uvs is not None:
        return {**attributes, "TEXCOORD_0": mesh.uvs}
    assert mesh.colors is not None
    # glTF vertex colours are linear (section 3.7.2.1); sRGB values would look pale.
    return {**attributes, "COLOR_0": linear_from_srgb(mesh.colors)}


def linear_from_srgb(srgb: UInt8[np.ndarray, "M 3"]) -> Float32[np.ndarray, "M 3"]:
    """Convert 8-bit sRGB to linear light 0 to 1 (IEC 61966-2-1)."""
    value = srgb.astype(np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def check_glb(mesh: Mesh, path: Path, skin: Skin | None = None) -> None:
    """Compare the mesh, and where its joints are, with what trimesh reads. Raises ExportError if they differ."""
    import trimesh

    with path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type="glb", process=False)
    (read,) = scene.geometry.values()
    visual = read.visual
    found = {"POSITION": read.vertices, "NORMAL": read.vertex_normals}
    if mesh.texture is None:
        # Where there is a material, trimesh keeps the colours of the file as a plain attribute.
        found["COLOR_0"] = visual.vertex_attributes.get("color", np.empty(0))
    else:
        # trimesh counts from the lower edge of the texture.
        uvs = np.empty(0) if visual.uv is None else visual.uv
        found["TEXCOORD_0"] = uvs * [1, -1] + [0, 1] if len(uvs) else uvs
    wrong = [name for name, array in gltf_attributes(mesh).items() if not _equal(np.asarray(found[name]), array)]
    if mesh.texture is not None:
        image = getattr(visual.material, "baseColorTexture", None)
        if image is None or not np.array_equal(np.asarray(image.convert("RGB")), mesh.texture):
            wrong.append("texture")
    if skin is not None:
        joints = [bone_name(i) for i in range(len(skin.motion.bone_pivots))]
        known = set(scene.graph.nodes)
        places = np.array([scene.graph.get(joint)[0] for joint in joints if joint in known], np.float32)
        if not _equal(places, skin.transformed(Y_UP_FROM_WORLD).joint_matrices.astype(np.float32)):
            wrong.append("bones")
    if wrong or not np.array_equal(read.faces, mesh.faces):
        raise ExportError(
            f"the GLB file reads back as {len(read.faces)} faces, written were {len(mesh.faces)}, "
            f"with {', '.join(wrong) or 'no attribute'} wrong",
            hint=f"check the disk and write it again ({path})",
        )


def _equal(found: np.ndarray, expected: Float32[np.ndarray, "M ..."]) -> bool:
    """Return True if an attribute was read back; trimesh normalizes normals again, which changes their last bits."""
    return found.shape == expected.shape and float(np.abs(found - expected).max()) < 1e-6 * max(
        1.0, float(np.abs(expected).max())
    )
