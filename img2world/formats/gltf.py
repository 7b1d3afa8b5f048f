"""Gaussian splats in glTF 2.0: KHR_gaussian_splatting, uncompressed.

Source: Khronos, "KHR_gaussian_splatting" and "glTF 2.0 Specification". Axes are +Y up, +Z towards the viewer. Read are
.glb and .gltf with the buffers that they name, integer attributes, node transforms and several primitives, as well as
SPZ in KHR_gaussian_splatting_compression_spz_2. Also read are the drafts of these extensions that Cesium wrote.
"""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Shaped

from img2world.core.conventions import Y_UP_SIGNS
from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.rotation import matrix_from_quat
from img2world.core.sh import dc_from_rgb, rgb_from_dc, sh_degree
from img2world.formats import spz
from img2world.formats.precision import Precision
from img2world.formats.splat_file import (
    SplatFile,
    assemble,
    blocks,
    check_not_empty,
    join_files,
    logit_from_floats,
    place,
    reason,
    to_bytes,
)

NAME = "KHR_gaussian_splatting"
SPZ = (
    "KHR_gaussian_splatting_compression_spz_2",
    "KHR_gaussian_splatting_compression_spz",
    "KHR_spz_gaussian_splats_compression",
)
"""Extension for Gaussians as SPZ and its drafts, of which the last one stands in the primitive itself."""

SRGB = "srgb_rec709_display"

DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
FLOAT, UNSIGNED_BYTE, ARRAY_BUFFER = 5126, 5121, 34962
MAX_JSON = 1 << 26
MAX_NODES, MAX_INSTANCES = 100_000, 1000
"""A small file may repeat its content without end."""

HINT = "the file is damaged or was made by a faulty program; write it again"


def write(gaussians: Gaussians, path: Path) -> None:
    """Write a GLB file with KHR_gaussian_splatting, and vertex colors for viewers that show points."""
    check_not_empty(gaussians)
    turned = gaussians.flipped(Y_UP_SIGNS)
    count = len(turned)
    columns = [("POSITION", 3), (f"{NAME}:ROTATION", 4), (f"{NAME}:SCALE", 3), (f"{NAME}:OPACITY", 1)]
    columns += [(name, 3) for name in harmonics_names(sh_degree(turned.sh.shape[1]))]
    views, accessors, offset = [], [], 0
    for _, width in columns:
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": 4 * width * count, "target": ARRAY_BUFFER})
        kind = "SCALAR" if width == 1 else f"VEC{width}"
        accessors.append({"bufferView": len(accessors), "count": count, "componentType": FLOAT, "type": kind})
        offset += 4 * width * count
    accessors[0] |= {"min": turned.means.min(0).tolist(), "max": turned.means.max(0).tolist()}
    views.append({"buffer": 0, "byteOffset": offset, "byteLength": 4 * count, "target": ARRAY_BUFFER})
    fallback = {"componentType": UNSIGNED_BYTE, "normalized": True, "type": "VEC4"}
    accessors.append({"bufferView": len(accessors), "count": count, **fallback})
    names = [*(name for name, _ in columns), "COLOR_0"]
    document = {
        "asset": {"version": "2.0", "generator": "img2world"},
        "extensionsUsed": [NAME],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "splats"}],
        "meshes": [
            {
                "name": "splats",
                "primitives": [
                    {
                        "mode": 0,
                        "attributes": {name: i for i, name in enumerate(names)},
                        "extensions": {NAME: {"kernel": "ellipse", "colorSpace": SRGB}},
                    }
                ],
            }
        ],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": offset + 4 * count}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with path.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + offset + 4 * count))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", offset + 4 * count, b"BIN\0"))
        for index in range(len(names)):
            for block in blocks(count):
                file.write(_attribute(turned, index, block).tobytes())


def precision(gaussians: Gaussians) -> Precision:
    """Return the largest errors of the format: floats of the scales and opacities instead of logarithms and logits."""
    del gaussians
    return Precision(scale=2e-6, opacity=1e-6)


def _attribute(gaussians: Gaussians, index: int, block: slice) -> Shaped[np.ndarray, "B C"]:
    """Return some rows of an attribute in the order in which they are written."""
    bases = gaussians.sh.shape[1]
    if index == 0:
        return gaussians.means[block].astype("<f4")
    if index == 1:
        wide = gaussians.quats[block].astype(np.float64)
        # glTF writes x y z w, of unit length.
        return (wide / np.linalg.norm(wide, axis=1, keepdims=True))[:, [1, 2, 3, 0]].astype("<f4")
    if index == 2:
        return np.exp(gaussians.log_scales[block].astype(np.float64)).astype("<f4")
    if index == 3:
        wide = gaussians.logit_opacities[block].astype(np.float64)
        return (1 / (1 + np.exp(-wide)))[:, None].astype("<f4")
    if index < 4 + bases:
        return gaussians.sh[block, index - 4].astype("<f4")
    srgb = rgb_from_dc(gaussians.sh[block, 0]).clip(0, 1)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return to_bytes(255 * np.concatenate([linear, _attribute(gaussians, 3, block)], 1))


def harmonics_names(degree: int) -> list[str]:
    """Return the names of the attributes of spherical harmonics up to a degree."""
    return [f"{NAME}:SH_DEGREE_{band}_COEF_{i}" for band in range(degree + 1) for i in range(2 * band + 1)]


def read(path: Path) -> SplatFile:
    """Read the Gaussians of a .glb or .gltf file. Raises FormatError when it has none, or is damaged."""
    try:
        document, buffers = _load(path)
        found = _primitives(document)
        parts = [place(_read_primitive(document, buffers, primitive), matrix) for matrix, primitive in found]
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError, struct.error) as error:
        raise FormatError(f"the glTF file is damaged: {reason(error)}", hint=HINT) from error
    if not parts:
        raise FormatError(f"the glTF file has no Gaussian splats: {path}", hint=f"needs a primitive with {NAME}")
    return join_files(parts)


def _load(path: Path) -> tuple[dict[str, Any], list[memoryview]]:
    """Return the JSON document and its buffers."""
    data = memoryview(path.read_bytes())
    chunk = None
    if data[:4] == b"glTF":
        size, kind = struct.unpack_from("<I4s", data, 12)
        if kind != b"JSON" or size > min(len(data), MAX_JSON):
            raise ValueError(f"a first chunk of {size} bytes")
        document = json.loads(bytes(data[20 : 20 + size]))
        if 28 + size <= len(data):
            length, _ = struct.unpack_from("<I4s", data, 20 + size)
            if 28 + size + length > len(data):
                raise ValueError(f"{len(data)} bytes of {28 + size + length}")
            chunk = data[28 + size : 28 + size + length]
    else:
        document = json.loads(bytes(data[:MAX_JSON]))
    buffers = []
    for buffer in document.get("buffers", []):
        uri = buffer.get("uri")
        if uri is None:
            if chunk is None:
                raise ValueError("a buffer without data")
            buffers.append(chunk)
        elif uri.startswith("data:"):
            buffers.append(memoryview(base64.b64decode(uri.partition(",")[2])))
        else:
            buffers.append(memoryview(_beside(path, uri)))
    return document, buffers


def _beside(path: Path, uri: str) -> bytes:
    """Return a buffer in a file beside the document."""
    from urllib.parse import unquote

    target = path.parent / unquote(uri)
    # A document may not read files elsewhere on this machine.
    if not target.resolve().is_relative_to(path.parent.resolve()):
        raise FormatError(
            f"the glTF file names a buffer outside of its folder: {uri!r:.80}", hint="copy it beside the file"
        )
    try:
        return target.read_bytes()
    except OSError as error:
        raise FormatError(f"the glTF file lacks its buffer {uri!r:.80}", hint="copy all files of the folder") from error


def _primitives(document: dict[str, Any]) -> list[tuple[Float64[np.ndarray, "4 4"], dict[str, Any]]]:
    """Return the primitives that are Gaussian splats, each with the transform of its node."""
    nodes = document.get("nodes", [])
    if "scenes" in document:
        roots = document["scenes"][document.get("scene", 0)].get("nodes", [])
    else:
        children = {child for node in nodes for child in node.get("children", [])}
        roots = [index for index in range(len(nodes)) if index not in children]
    stack = [(index, np.eye(4), 0) for index in roots]
    found, visited = [], 0
    while stack:
        index, parent, depth = stack.pop()
        visited += 1
        if depth > len(nodes) or visited > MAX_NODES:
            raise ValueError("nodes that contain themselves")
        node = nodes[index]
        matrix = parent @ _node_matrix(node)
        stack += [(child, matrix, depth + 1) for child in node.get("children", [])]
        if "mesh" in node:
            primitives = document["meshes"][node["mesh"]]["primitives"]
            found += [
                (matrix, primitive) for primitive in primitives if {NAME, *SPZ} & set(primitive.get("extensions", {}))
            ]
            if len(found) > MAX_INSTANCES:
                raise ValueError(f"more than {MAX_INSTANCES} instances of splats")
    return found


def _node_matrix(node: dict[str, Any]) -> Float64[np.ndarray, "4 4"]:
    """Return the transform of a node."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    matrix[:3, :3] = matrix_from_quat(np.array([w, x, y, z], np.float64)) * np.array(node.get("scale", (1, 1, 1)))
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _read_primitive(document: dict[str, Any], buffers: list[memoryview], primitive: dict[str, Any]) -> SplatFile:
    """Return the Gaussians of a primitive in the axes of the file."""
    extension = primitive["extensions"].get(NAME, {})
    details: dict[str, object] = {"colors": extension.get("colorSpace", SRGB)}
    inner = {**primitive["extensions"], **extension.get("extensions", {})}
    if compressed := next((inner[name] for name in SPZ if name in inner), None):
        view = document["bufferViews"][compressed["bufferView"]]
        start = view.get("byteOffset", 0)
        file = spz.unpack(bytes(buffers[view["buffer"]][start : start + view["byteLength"]]), turn=False)
        return SplatFile(gaussians=file.gaussians, broken=file.broken, details={**details, "compressed": "SPZ"})
    if extension.get("kernel", "ellipse") != "ellipse":
        raise FormatError(
            f"the glTF file has Gaussians of the kernel {extension['kernel']!r:.40}", hint="needs ellipse"
        )
    if details["colors"] != SRGB:
        raise FormatError(f"the glTF file has colors in {details['colors']!r:.40}", hint=f"needs {SRGB}")
    attributes = primitive["attributes"]
    # Files of the extension's drafts have names without a prefix.
    named = {name.removeprefix(f"{NAME}:").removeprefix("_"): index for name, index in attributes.items()}

    def column(name: str, width: int) -> Float32[np.ndarray, "N C"]:
        values = _accessor(document, buffers, named[name])
        if values.shape[1] != width:
            raise ValueError(f"{name} has {values.shape[1]} components")
        return values

    if "SH_DEGREE_0_COEF_0" not in named and "OPACITY" not in named:
        # The first draft had the displayed color and the opacity in COLOR_0.
        rgba = column("COLOR_0", 4)
        harmonics, opacities = [dc_from_rgb(rgba[:, :3])], rgba[:, 3]
    else:
        degree = max(band for band in range(4) if f"SH_DEGREE_{band}_COEF_0" in named)
        harmonics = [column(name.removeprefix(f"{NAME}:"), 3) for name in harmonics_names(degree)]
        opacities = column("OPACITY", 1)[:, 0]
    return assemble(
        column("POSITION", 3),
        column("ROTATION", 4)[:, [3, 0, 1, 2]],
        np.log(column("SCALE", 3).astype(np.float64)),
        logit_from_floats(opacities),
        np.stack(harmonics, 1),
        **details,
    )


def _accessor(document: dict[str, Any], buffers: list[memoryview], index: int) -> Float32[np.ndarray, "N C"]:
    """Return the values of an accessor as floats (glTF 2.0, section 3.6.2)."""
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    if min(index, accessor["bufferView"], view["buffer"]) < 0:
        raise ValueError(f"accessor {index} with a negative index")
    dtype, width, count = np.dtype(DTYPES[accessor["componentType"]]), WIDTHS[accessor["type"]], int(accessor["count"])
    buffer = buffers[view["buffer"]]
    offset = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride") or dtype.itemsize * width
    end = offset + stride * (count - 1) + dtype.itemsize * width
    if "sparse" in accessor or count < 1 or offset < 0 or stride < dtype.itemsize * width or end > len(buffer):
        raise ValueError(f"accessor {index} of {count} elements")
    table = np.ndarray((count, width), dtype, buffer, offset, (stride, dtype.itemsize))
    if not accessor.get("normalized"):
        return table.astype(np.float32)
    return np.maximum(table.astype(np.float32) / np.iinfo(dtype).max, -1)
