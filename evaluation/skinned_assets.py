"""Animated characters from GLB files: skins, parts that hang on joints, and clips.

Source: Khronos, "glTF 2.0 Specification", sections 3.7.3 (skins), 3.11 (animations) and appendix C (interpolation).
Read are embedded buffers, four bones a vertex, and samplers that are linear or step.
"""

import io
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int, Shaped

from evaluation.assets import AssetError, MeshPart, TextureCollector, TexturedMesh, merge_parts
from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.rotation import matrix_from_quat, slerp

DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
TRIANGLES = 4
HINT = "needs a GLB file as Blender exports it, with its clips and without compression"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One property of one node over time."""

    node: int
    path: str
    """translation, rotation or scale."""
    times: Float64[np.ndarray, "T"]
    values: Float64[np.ndarray, "T D"]
    is_step: bool

    def around(self, time: float) -> tuple[Float64[np.ndarray, "D"], Float64[np.ndarray, "D"], float]:
        """Return the values before and after a time in seconds, and the fraction of the way from one to the other."""
        after = int(np.clip(np.searchsorted(self.times, time, side="right"), 1, max(len(self.times) - 1, 1)))
        before, after = after - 1, min(after, len(self.times) - 1)
        span = self.times[after] - self.times[before]
        fraction = float(np.clip((time - self.times[before]) / span, 0, 1)) if span > 0 else 0.0
        if self.is_step and fraction < 1:
            fraction = 0.0
        return self.values[before], self.values[after], fraction


@dataclass(frozen=True, kw_only=True)
class SkinnedAsset:
    """A mesh that joints move, in the axes of the file: +Y is up."""

    mesh: TexturedMesh
    """Vertices and normals as they are stored, each part in its own coordinates."""
    parents: tuple[int, ...]
    """Parent of each node, -1 for none."""
    translations: Float64[np.ndarray, "J 3"]
    quats: Float64[np.ndarray, "J 4"]
    """wxyz"""
    scales: Float64[np.ndarray, "J 3"]
    bone_nodes: Int[np.ndarray, "B"]
    """Node that each bone follows: a joint, or the node of a part without a skin."""
    inverse_binds: Float64[np.ndarray, "B 4 4"]
    bone_indices: Int[np.ndarray, "M 4"]
    bone_weights: Float64[np.ndarray, "M 4"]
    clips: dict[str, tuple[Channel, ...]]

    def duration(self, clip: str) -> float:
        """Return the seconds of a clip."""
        return max(float(channel.times[-1]) for channel in self.clips[clip])

    def posed(self, clip: str, time: float) -> tuple[Float64[np.ndarray, "M 3"], Float64[np.ndarray, "M 3"]]:
        """Return vertices and unit normals at a time of a clip in seconds."""
        bones = self._nodes_in_scene(clip, time)[self.bone_nodes] @ self.inverse_binds
        blended = np.einsum("mk,mkij->mij", self.bone_weights, bones[self.bone_indices])
        vertices = np.einsum("mij,mj->mi", blended[:, :3, :3], self.mesh.vertices) + blended[:, :3, 3]
        normals = np.einsum("mij,mj->mi", blended[:, :3, :3], self.mesh.normals)
        return vertices, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def mesh_at(self, clip: str, time: float) -> TexturedMesh:
        """Return the mesh at a time of a clip in seconds, in world axes."""
        vertices, normals = (each.astype(np.float32) for each in self.posed(clip, time))
        return replace(self.mesh, vertices=vertices, normals=normals).transformed(Y_UP_FROM_WORLD)

    def _nodes_in_scene(self, clip: str, time: float) -> Float64[np.ndarray, "J 4 4"]:
        """Return the transforms of all nodes."""
        translations, scales = self.translations.copy(), self.scales.copy()
        rotations = matrix_from_quat(self.quats)
        turning = [channel for channel in self.clips[clip] if channel.path == "rotation"]
        for channel in self.clips[clip]:
            if channel.path != "rotation":
                before, after, fraction = channel.around(time)
                moved = translations if channel.path == "translation" else scales
                moved[channel.node] = (1 - fraction) * before + fraction * after
        if turning:
            before, after, fractions = zip(*(channel.around(time) for channel in turning), strict=True)
            ends = [matrix_from_quat(_wxyz(np.stack(each))) for each in (before, after)]
            rotations[[channel.node for channel in turning]] = slerp(ends[0], ends[1], np.array(fractions))
        locals_ = np.tile(np.eye(4), (len(rotations), 1, 1))
        locals_[:, :3, :3] = rotations * scales[:, None]
        locals_[:, :3, 3] = translations
        in_scene: dict[int, np.ndarray] = {-1: np.eye(4)}

        def place(node: int) -> np.ndarray:
            if node not in in_scene:
                in_scene[node] = place(self.parents[node]) @ locals_[node]
            return in_scene[node]

        return np.stack([place(node) for node in range(len(locals_))])


def load_skinned(path: Path) -> SkinnedAsset:
    """Read the character of a GLB file with all its clips.

    Characters come with all that they can hold in the same hand: of the parts that hang on one joint, the first stays.
    Raises AssetError when the file cannot be read, holds no clips, or what is not supported.
    """
    with _readable(path):
        return _Reader(path).asset()


def has_clips(path: Path) -> bool:
    """Tell whether a file is a GLB file with clips. Raises AssetError when it cannot be read."""
    with _readable(path):
        return path.suffix.lower() == ".glb" and _Reader(path).has_clips


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise AssetError for what broken files raise: they are not validated."""
    try:
        yield
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise AssetError(f"the character cannot be read: {type(error).__name__} {error} ({path})", hint=HINT) from error


class _Reader:
    """A GLB file."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, length, kind = struct.unpack_from("<4s8xI4s", data)
        if magic != b"glTF" or kind != b"JSON":
            raise AssetError(f"the character is not in a GLB file: {path}", hint=HINT)
        self._path, self._json = path, json.loads(data[20 : 20 + length])
        self._images: dict[int, Any] = {}
        self._binary = memoryview(data)[28 + length :]

    def _require(self, is_met: bool, problem: str) -> None:
        """Raise AssetError when the file holds what is not supported."""
        if not is_met:
            raise AssetError(f"the character has {problem} ({self._path})", hint=HINT)

    @property
    def has_clips(self) -> bool:
        """Tell whether anything moves."""
        return bool(self._json.get("animations"))

    def asset(self) -> SkinnedAsset:
        """Return the character."""
        nodes = self._json["nodes"]
        self._require(self.has_clips, "no clips")
        self._require(not self._json.get("extensionsRequired"), f"extensions: {self._json.get('extensionsRequired')}")
        self._require(all("uri" not in buffer for buffer in self._json["buffers"]), "buffers in other files")
        self._require(not any("matrix" in node for node in nodes), "nodes with matrices")
        parents = [-1] * len(nodes)
        for i, node in enumerate(nodes):
            for child in node.get("children", []):
                parents[child] = i
        skins = self._json.get("skins", [])
        starts = np.cumsum([0, *(len(skin["joints"]) for skin in skins)])
        bones = [joint for skin in skins for joint in skin["joints"]]
        inverse = [self._inverse_binds(skin) for skin in skins]
        # A part without a skin follows its node as if that were a bone.
        own = {node: len(bones) + i for i, node in enumerate(self._shown(parents, set(bones)))}
        parts, weights, textures = [], [], TextureCollector()
        for node, bone in own.items():
            first = int(starts[nodes[node]["skin"]]) if "skin" in nodes[node] else None
            for primitive in self._json["meshes"][nodes[node]["mesh"]]["primitives"]:
                part, rows = self._part(primitive, textures)
                parts.append(part)
                weights.append(self._weights(primitive, first, bone, rows))
        self._require(bool(parts), "no meshes")
        return SkinnedAsset(
            mesh=merge_parts(parts, textures),
            parents=tuple(parents),
            translations=np.array([node.get("translation", [0, 0, 0]) for node in nodes], np.float64),
            quats=_wxyz(np.array([node.get("rotation", [0, 0, 0, 1]) for node in nodes], np.float64)),
            scales=np.array([node.get("scale", [1, 1, 1]) for node in nodes], np.float64),
            bone_nodes=np.array([*bones, *own]),
            inverse_binds=np.concatenate([*inverse, np.tile(np.eye(4), (len(own), 1, 1))]),
            bone_indices=np.concatenate([indices for indices, _ in weights]),
            bone_weights=np.concatenate([each for _, each in weights]),
            clips={clip["name"]: self._channels(clip) for clip in self._json["animations"]},
        )

    def _shown(self, parents: list[int], joints: set[int]) -> list[int]:
        """Return the nodes with meshes, without all but the first of those that hang on the same joint."""
        shown, taken = [], set()
        for i, node in enumerate(self._json["nodes"]):
            if "mesh" in node:
                hangs = "skin" not in node and parents[i] in joints
                if not (hangs and parents[i] in taken):
                    shown.append(i)
                if hangs:
                    taken.add(parents[i])
        return shown

    def _inverse_binds(self, skin: dict[str, Any]) -> Float64[np.ndarray, "B 4 4"]:
        """Return the transforms from the mesh to each joint of a skin."""
        if "inverseBindMatrices" not in skin:
            return np.tile(np.eye(4), (len(skin["joints"]), 1, 1))
        # Matrices are stored by columns.
        return self._read(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)

    def _part(self, primitive: dict[str, Any], textures: TextureCollector) -> tuple[MeshPart, np.ndarray]:
        """Return a primitive without unused vertices, and the rows of those that are used."""
        attributes = primitive["attributes"]
        self._require(primitive.get("mode", TRIANGLES) == TRIANGLES, "meshes that are not of triangles")
        self._require("targets" not in primitive, "morph targets")
        self._require("NORMAL" in attributes, "meshes without normals")
        count = self._json["accessors"][attributes["POSITION"]]["count"]
        corners = self._read(primitive["indices"])[:, 0] if "indices" in primitive else np.arange(count)
        rows, faces = np.unique(corners, return_inverse=True)
        image, factor = self._material(primitive)
        colors = self._read(attributes["COLOR_0"])[rows, :3] if "COLOR_0" in attributes else np.ones((len(rows), 3))
        uv = self._read(attributes["TEXCOORD_0"])[rows] if "TEXCOORD_0" in attributes else np.zeros((len(rows), 2))
        part = MeshPart(
            vertices=self._read(attributes["POSITION"])[rows],
            normals=self._read(attributes["NORMAL"])[rows],
            uv=uv,
            tints=factor * colors,
            faces=faces.reshape(-1, 3),
            texture=textures.index(image),
        )
        return part, rows

    def _material(self, primitive: dict[str, Any]) -> tuple[Any, Float64[np.ndarray, "3"]]:
        """Return the texture of the base colour, if any, and its linear RGB factor."""
        from PIL import Image

        if "material" not in primitive:
            return None, np.ones(3)
        surface = self._json["materials"][primitive["material"]].get("pbrMetallicRoughness", {})
        factor = np.array(surface.get("baseColorFactor", [1, 1, 1, 1]), np.float64)[:3]
        if "baseColorTexture" not in surface:
            return None, factor
        source = self._json["textures"][surface["baseColorTexture"]["index"]]["source"]
        if source not in self._images:
            view = self._json["bufferViews"][self._json["images"][source]["bufferView"]]
            begin = view.get("byteOffset", 0)
            data = bytes(self._binary[begin : begin + view["byteLength"]])
            self._images[source] = Image.open(io.BytesIO(data)).convert("RGB")
        return self._images[source], factor

    def _weights(
        self, primitive: dict[str, Any], first: int | None, own: int, rows: np.ndarray
    ) -> tuple[Int[np.ndarray, "M 4"], Float64[np.ndarray, "M 4"]]:
        """Return bones and weights of the used vertices; `first` is the first bone of their skin, if any."""
        attributes = primitive["attributes"]
        if first is None:
            return np.full((len(rows), 4), own), np.tile([1.0, 0, 0, 0], (len(rows), 1))
        self._require("JOINTS_1" not in attributes, "more than four bones a vertex")
        weights = self._read(attributes["WEIGHTS_0"])[rows].astype(np.float64)
        return self._read(attributes["JOINTS_0"])[rows].astype(int) + first, weights / weights.sum(1, keepdims=True)

    def _channels(self, clip: dict[str, Any]) -> tuple[Channel, ...]:
        """Return what a clip moves."""
        channels = []
        for channel in clip["channels"]:
            sampler, target = clip["samplers"][channel["sampler"]], channel["target"]
            kind = sampler.get("interpolation", "LINEAR")
            self._require(kind in ("LINEAR", "STEP"), f"{kind} interpolation")
            self._require(target["path"] != "weights", "morph targets")
            channels.append(
                Channel(
                    node=target["node"],
                    path=target["path"],
                    times=self._read(sampler["input"])[:, 0].astype(np.float64),
                    values=self._read(sampler["output"]).astype(np.float64),
                    is_step=kind == "STEP",
                )
            )
        return tuple(channels)

    def _read(self, index: int) -> Shaped[np.ndarray, "R D"]:
        """Return an accessor; normalized integers become floats."""
        accessor = self._json["accessors"][index]
        self._require("sparse" not in accessor and "bufferView" in accessor, "sparse accessors")
        view = self._json["bufferViews"][accessor["bufferView"]]
        dtype, width = np.dtype(DTYPES[accessor["componentType"]]), WIDTHS[accessor["type"]]
        begin = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        strides = (view.get("byteStride", dtype.itemsize * width), dtype.itemsize)
        values = np.ndarray((accessor["count"], width), dtype, self._binary, begin, strides)
        return values / np.iinfo(dtype).max if accessor.get("normalized") else values


def _wxyz(quats: Float[np.ndarray, "Q 4"]) -> Float[np.ndarray, "Q 4"]:
    """Return quaternions that glTF stores as xyzw."""
    return np.roll(quats, 1, axis=-1)
