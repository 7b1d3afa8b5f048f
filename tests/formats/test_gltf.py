"""KHR_gaussian_splatting: documents by the rules of glTF 2.0, with everything that readers must accept."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest
from known_scene import RUB, Splat, Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from, turned
from scipy.spatial.transform import Rotation
from splat_encoders import in_axes, spz_bytes

from img2world.core.errors import FormatError
from img2world.formats.files import read_splats
from img2world.formats.gltf import read, write

PREFIX = "KHR_gaussian_splatting:"
EXTENSION = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
FLOAT, BYTE, UNSIGNED_BYTE, SHORT, UNSIGNED_SHORT = 5126, 5120, 5121, 5122, 5123
DTYPES = {FLOAT: "<f4", BYTE: "<i1", UNSIGNED_BYTE: "<u1", SHORT: "<i2", UNSIGNED_SHORT: "<u2"}


class Document:
    """A glTF document that grows."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0"}, "extensionsUsed": ["KHR_gaussian_splatting"], "scene": 0,
            "scenes": [{"nodes": []}], "nodes": [], "meshes": [], "accessors": [], "bufferViews": [],
        }  # fmt: skip

    def accessor(self, values: Any, kind: int = FLOAT, *, normalized: bool = False, padding: int = 0) -> int:
        """Add an accessor, whose rows are `padding` bytes apart."""
        table = np.asarray(values, np.float64).reshape(len(values), -1)
        if normalized:
            table = np.rint(table * np.iinfo(DTYPES[kind]).max)
        table = table.astype(DTYPES[kind])
        row = table.dtype.itemsize * table.shape[1]
        stride = -(-row // 4) * 4 + padding
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": stride * len(table), "byteStride": stride}
        for line in table:
            self.data += line.tobytes() + b"\xaa" * (stride - row)
        self.json["bufferViews"].append(view)
        accessor = {"bufferView": len(self.json["bufferViews"]) - 1, "componentType": kind, "count": len(table)}
        accessor |= {"type": TYPES[table.shape[1]]} | ({"normalized": True} if normalized else {})
        self.json["accessors"].append(accessor)
        return len(self.json["accessors"]) - 1

    def primitive(
        self, splats: list[Splat], kinds: dict[str, Any] | None = None, prefix: str = PREFIX
    ) -> dict[str, Any]:
        """Return a primitive of splats, all in floats apart from those that `kinds` names."""
        quaternions = np.array([splat.quaternion for splat in splats])[:, [1, 2, 3, 0]]
        columns = {
            "POSITION": [splat.center for splat in splats],
            f"{prefix}ROTATION": quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
            f"{prefix}SCALE": [splat.radii for splat in splats],
            f"{prefix}OPACITY": [splat.opacity for splat in splats],
        }
        for band in range(round(len(splats[0].harmonics) ** 0.5)):
            for k in range(2 * band + 1):
                columns[f"{prefix}SH_DEGREE_{band}_COEF_{k}"] = [splat.harmonics[band * band + k] for splat in splats]
        attributes = {
            name: self.accessor(values, **(kinds or {}).get(name.removeprefix(prefix), {}))
            for name, values in columns.items()
        }
        return {"mode": 0, "attributes": attributes, "extensions": {"KHR_gaussian_splatting": dict(EXTENSION)}}

    def node(self, primitives: list[dict[str, Any]] | None = None, *, root: bool = True, **fields: Any) -> int:
        """Add a node, and the mesh of its primitives."""
        if primitives:
            self.json["meshes"].append({"primitives": primitives})
            fields["mesh"] = len(self.json["meshes"]) - 1
        self.json["nodes"].append(fields)
        if root:
            self.json["scenes"][0]["nodes"].append(len(self.json["nodes"]) - 1)
        return len(self.json["nodes"]) - 1

    def save(self, path: Path, uri: str | None = None) -> Path:
        """Write a .glb, or a .gltf whose buffer is in another file or in the document."""
        buffer = {"byteLength": len(self.data)}
        if path.suffix == ".gltf":
            if uri is None:
                uri = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
            elif uri:
                (path.parent / uri.replace("%20", " ")).write_bytes(self.data)
            path.write_text(json.dumps({**self.json, "buffers": [{**buffer, "uri": uri}]}))
            return path
        text = json.dumps({**self.json, "buffers": [buffer]}).encode()
        text += b" " * (-len(text) % 4)
        data = bytes(self.data) + bytes(-len(self.data) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path


def y_up(splats: list[Splat]) -> list[Splat]:
    return [in_axes(splat, RUB) for splat in splats]


def check_read(path: Path, splats: list[Splat], tolerance: Tolerance | None = None) -> None:
    """Check that a file shows these splats, which are in the axes of a PLY."""
    expected = appearance(splats)
    check_same(appearance(splats_from(read_splats(path).gaussians)), expected, tolerance or Tolerance(center=2e-6))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_documents_are_read(degree, tmp_path):
    splats = known_splats(degree)
    document = Document()
    document.node([document.primitive(y_up(splats))])
    check_read(document.save(tmp_path / "scene.glb"), splats)
    check_read(document.save(tmp_path / "inside.gltf"), splats)
    check_read(document.save(tmp_path / "beside.gltf", "the%20data.bin"), splats)
    assert (tmp_path / "the data.bin").exists()


def test_names_without_a_prefix_are_read(tmp_path):
    """As drafts of the extension wrote them."""
    splats = known_splats(1)
    document = Document()
    document.node([document.primitive(y_up(splats), prefix="_")])
    check_read(document.save(tmp_path / "draft.glb"), splats)


def test_rows_may_be_apart(tmp_path):
    splats = known_splats(1)
    document = Document()
    names = ("POSITION", "ROTATION", "SCALE", "OPACITY", "SH_DEGREE_0_COEF_0", "SH_DEGREE_1_COEF_2")
    document.node([document.primitive(y_up(splats), {name: {"padding": 8} for name in names})])
    check_read(document.save(tmp_path / "apart.glb"), splats)


def test_attributes_may_be_interleaved(tmp_path):
    splats = known_splats(0)
    document = Document()
    primitive = document.primitive(y_up(splats))
    tables = []
    for index, accessor in enumerate(document.json["accessors"]):
        view = document.json["bufferViews"][index]
        width = {"SCALAR": 4, "VEC3": 12, "VEC4": 16}[accessor["type"]]
        start, stride = view["byteOffset"], view["byteStride"]
        tables.append([bytes(document.data[start + row * stride :][:width]) for row in range(5)])
        accessor |= {"bufferView": 0, "byteOffset": sum(len(table[0]) for table in tables[:-1])}
    document.data = bytearray(b"".join(b"".join(row) for row in zip(*tables, strict=True)))
    stride = sum(len(table[0]) for table in tables)
    document.json["bufferViews"] = [{"buffer": 0, "byteLength": len(document.data), "byteStride": stride}]
    document.node([primitive])
    check_read(document.save(tmp_path / "interleaved.glb"), splats)


@pytest.mark.parametrize(
    ("kinds", "tolerance"),
    [
        ({"ROTATION": {"kind": BYTE, "normalized": True}}, Tolerance(center=2e-6, covariance=0.02)),
        ({"ROTATION": {"kind": SHORT, "normalized": True}}, Tolerance(center=2e-6, covariance=1e-4)),
        ({"SCALE": {"kind": UNSIGNED_BYTE, "normalized": True}}, Tolerance(center=2e-6, covariance=0.05)),
        ({"SCALE": {"kind": UNSIGNED_SHORT, "normalized": True}}, Tolerance(center=2e-6, covariance=2e-4)),
        ({"OPACITY": {"kind": UNSIGNED_BYTE, "normalized": True}}, Tolerance(center=2e-6, opacity=0.002)),
        ({"OPACITY": {"kind": UNSIGNED_SHORT, "normalized": True}}, Tolerance(center=2e-6, opacity=1e-5)),
    ],
)
def test_integers_are_read(kinds, tolerance, tmp_path):
    splats = known_splats(1)
    document = Document()
    document.node([document.primitive(y_up(splats), kinds)])
    check_read(document.save(tmp_path / "integers.glb"), splats, tolerance)


def test_integers_that_are_not_normalized_are_sizes(tmp_path):
    splats = [
        Splat(s.center, s.quaternion, (1, 3, 200), s.opacity, s.harmonics) for s in known_splats(0)
    ]  # fmt: skip
    document = Document()
    document.node([document.primitive(y_up(splats), {"SCALE": {"kind": UNSIGNED_BYTE}})])
    check_read(document.save(tmp_path / "integers.glb"), splats)


def moved(splats: list[Splat], rotation: np.ndarray, scale: float, offset: tuple[float, ...]) -> list[Splat]:
    """Return splats in the axes of the file after a node's transform."""
    result = []
    for splat in splats:
        spun = in_axes(splat, rotation)
        center = tuple(scale * np.array(spun.center) + offset)
        result.append(
            Splat(center, spun.quaternion, tuple(scale * np.array(splat.radii)), splat.opacity, spun.harmonics)
        )
    return result


QUATERNION = Rotation.from_euler("yxz", [50, -35, 110], degrees=True)


@pytest.mark.parametrize("as_matrix", [False, True])
def test_nodes_are_transformed(as_matrix, tmp_path):
    """A turned child of a scaled and moved parent; the file's colors turn with it."""
    file_splats = y_up(known_splats(3))
    child = {"rotation": QUATERNION.as_quat().tolist(), "scale": [0.5, 0.5, 0.5], "translation": [0.25, -2, 1]}
    parent = {"translation": [1, 2, 3], "scale": [4, 4, 4]}
    if as_matrix:
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = 0.5 * QUATERNION.as_matrix(), (0.25, -2, 1)
        child = {"matrix": matrix.T.ravel().tolist()}
        # Column-major.
        parent = {"matrix": [4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0, 1, 2, 3, 1]}
    document = Document()
    index = document.node([document.primitive(file_splats)], root=False, **child)
    document.node(children=[index], **parent)
    path = document.save(tmp_path / "nodes.glb")
    inner = moved(file_splats, QUATERNION.as_matrix(), 0.5, (0.25, -2, 1))
    whole = moved(inner, np.eye(3), 4, (1, 2, 3))
    found = appearance(splats_from(read(path).gaussians))
    expected = turned(appearance(whole, RUB), RUB)
    check_same(found, expected, Tolerance(center=1e-5, color=1e-5))
    # Without scenes, the roots are the nodes that are nobody's children.
    del document.json["scenes"], document.json["scene"]
    assert len(read(document.save(tmp_path / "nodes.glb")).gaussians) == 5


def test_two_primitives_two_nodes_and_other_meshes_are_read(tmp_path):
    splats = known_splats(2)
    document = Document()
    first, second = document.primitive(y_up(splats[:2])), document.primitive(y_up(known_splats(0)[2:3]))
    triangles = {"attributes": {"POSITION": first["attributes"]["POSITION"]}}
    document.node([first, triangles, second])
    document.node([document.primitive(y_up(splats[3:]))])
    document.node(camera=0)
    found = read(document.save(tmp_path / "two.glb"))
    expected = [*splats[:2], known_splats(0)[2], *splats[3:]]
    padded = [
        Splat(s.center, s.quaternion, s.radii, s.opacity, np.pad(s.harmonics, ((0, 9 - len(s.harmonics)), (0, 0))))
        for s in expected
    ]
    check_same(appearance(splats_from(found.gaussians)), appearance(padded), Tolerance(center=2e-6))
    assert found.details == {"colors": "srgb_rec709_display"}


DRAFTS = ["KHR_gaussian_splatting_compression_spz_2", "KHR_gaussian_splatting_compression_spz", None]
"""Extensions for SPZ inside that for splats; the first draft stood in the primitive itself."""


@pytest.mark.parametrize("name", DRAFTS)
@pytest.mark.parametrize("version", [2, 3, 4])
def test_compression_by_spz_is_read(version, name, tmp_path):
    splats = known_splats(2)
    document = Document()
    document.data = bytearray(b"\0" * 8 + spz_bytes(y_up(splats), version))
    document.json["bufferViews"] = [{"buffer": 0, "byteOffset": 8, "byteLength": len(document.data) - 8}]
    extensions: dict[str, Any] = {"KHR_gaussian_splatting": {**EXTENSION, "extensions": {name: {"bufferView": 0}}}}
    if name is None:
        extensions = {"KHR_spz_gaussian_splats_compression": {"bufferView": 0}}
    turn = Rotation.from_euler("x", -90, degrees=True)
    document.node(
        [{"mode": 0, "attributes": {}, "extensions": extensions}],
        rotation=turn.as_quat().tolist(),
    )
    found = read(document.save(tmp_path / "spz.glb"))
    expected = turned(appearance(moved(y_up(splats), turn.as_matrix(), 1, (0, 0, 0)), RUB), RUB)
    tolerance = Tolerance(center=4e-5, covariance=0.05 if version < 3 else 5e-3, opacity=0.002, color=4e-3)
    check_same(appearance(splats_from(found.gaussians)), expected, tolerance)


def test_viewers_without_the_extension_see_colored_points(tmp_path):
    """pygltflib reads what is written; COLOR_0 is in linear light, with the opacity."""
    splats = known_splats(3)
    write(gaussians_from(splats), tmp_path / "scene.glb")
    document = pygltflib.GLTF2().load_binary(str(tmp_path / "scene.glb"))
    assert document.extensionsUsed == ["KHR_gaussian_splatting"]
    assert not document.extensionsRequired
    primitive = document.meshes[0].primitives[0]
    assert primitive.mode == pygltflib.POINTS
    accessor = document.accessors[primitive.attributes.COLOR_0]
    assert (accessor.componentType, accessor.type, accessor.normalized) == (pygltflib.UNSIGNED_BYTE, "VEC4", True)
    start = document.bufferViews[accessor.bufferView].byteOffset
    colors = np.frombuffer(document.binary_blob()[start : start + 20], np.uint8).reshape(5, 4)
    srgb = np.array([0.5 + s.harmonics[0] / 2 / np.sqrt(np.pi) for s in splats])
    linear = np.where(srgb < 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(colors[:, :3] / 255, linear, atol=0.51 / 255)
    np.testing.assert_allclose(colors[:, 3] / 255, [s.opacity for s in splats], atol=0.51 / 255)
    bounds = document.accessors[primitive.attributes.POSITION]
    centers = np.float32([RUB @ s.center for s in splats])
    assert (bounds.min, bounds.max) == (centers.min(0).tolist(), centers.max(0).tolist())
    for view in document.bufferViews:
        assert view.byteOffset % 4 == 0
        assert view.target == pygltflib.ARRAY_BUFFER


def change_of(path: str, value: Any):
    """Return a change that sets a value deep in the JSON; None removes it."""

    def change(json_: dict[str, Any]) -> None:
        *parents, last = [int(word) if word.isdecimal() else word for word in path.split("/")]
        place: Any = json_
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


KHR = "meshes/0/primitives/0/extensions/KHR_gaussian_splatting"
DAMAGE = {
    "huge count": (change_of("accessors/0/count", 10**15), "damaged"),
    "infinite count": (change_of("accessors/0/count", float("inf")), "damaged"),
    "count of another type": (change_of("accessors/0/count", [5]), "damaged"),
    "no count": (change_of("accessors/0/count", 0), "damaged"),
    "negative offset": (change_of("bufferViews/0/byteOffset", -4), "damaged"),
    "huge offset": (change_of("bufferViews/0/byteOffset", 10**30), "damaged"),
    "fractional offset": (change_of("bufferViews/0/byteOffset", 0.5), "damaged"),
    "negative stride": (change_of("bufferViews/0/byteStride", -12), "damaged"),
    "short stride": (change_of("bufferViews/0/byteStride", 2), "damaged"),
    "unknown component": (change_of("accessors/0/componentType", 99), "damaged"),
    "another width": (change_of("accessors/1/type", "VEC3"), "damaged"),
    "no view": (change_of("accessors/0/bufferView", None), "damaged"),
    "view that is not there": (change_of("accessors/0/bufferView", 99), "damaged"),
    "negative view": (change_of("accessors/0/bufferView", -1), "damaged"),
    "no rotation": (change_of(f"meshes/0/primitives/0/attributes/{PREFIX}ROTATION", None), "damaged"),
    "no colors": (change_of(f"meshes/0/primitives/0/attributes/{PREFIX}SH_DEGREE_0_COEF_0", None), "damaged"),
    "one harmonic less": (change_of(f"meshes/0/primitives/0/attributes/{PREFIX}SH_DEGREE_1_COEF_1", None), "damaged"),
    "columns of other lengths": (change_of("accessors/1/count", 4), "damaged"),
    "a node that is not there": (change_of("scenes/0/nodes", [7]), "damaged"),
    "a scene that is not there": (change_of("scene", 7), "damaged"),
    "no nodes": (change_of("scenes/0/nodes", []), "no Gaussian splats"),
    "recursive node": (change_of("nodes/0/children", [0]), "contain themselves"),
    "a matrix of 3": (change_of("nodes/0/matrix", [1, 2, 3]), "damaged"),
    "an endless matrix": (change_of("nodes/0/matrix", [float("nan")] * 16), "cannot be applied"),
    "a matrix of large numbers": (change_of("nodes/0/matrix", [10**400] * 16), "damaged"),
    "a mirroring node": (change_of("nodes/0/scale", [-1, 1, 1]), "mirrors"),
    "a squeezing node": (change_of("nodes/0/scale", [1, 2, 1]), "unevenly"),
    "a node of no size": (change_of("nodes/0/scale", [0, 0, 0]), "cannot be applied"),
    "a node without a rotation": (change_of("nodes/0/rotation", [0, 0, 0, 0]), "damaged"),
    "another kernel": (change_of(f"{KHR}/kernel", "customShape"), "kernel 'customShape'"),
    "linear colors": (change_of(f"{KHR}/colorSpace", "lin_rec709_display"), "colors in 'lin_rec709_display'"),
    "a list for an extension": (change_of(KHR, []), "damaged"),
    "a list for nodes": (change_of("nodes", {"a": 1}), "damaged"),
    "buffers of another type": (change_of("buffers", [5]), "damaged"),
    "an address": (change_of("buffers", [{"uri": "https://example.com/a.bin", "byteLength": 4}]), "lacks its buffer"),
    "a path": (change_of("buffers", [{"uri": "../secret.bin", "byteLength": 4}]), "outside of its folder"),
    "a hidden path": (change_of("buffers", [{"uri": "%2e%2e/secret.bin", "byteLength": 4}]), "outside of its folder"),
    "an absolute path": (change_of("buffers", [{"uri": "/etc/passwd", "byteLength": 4}]), "outside of its folder"),
    "a path with a zero": (change_of("buffers", [{"uri": "a%00b", "byteLength": 4}]), "damaged"),
    "the folder": (change_of("buffers", [{"uri": ".", "byteLength": 4}]), "lacks its buffer"),
    "bad base64": (change_of("buffers", [{"uri": "data:;base64,=", "byteLength": 4}]), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_error(damage, tmp_path):
    change, found = DAMAGE[damage]
    document = Document()
    document.node([document.primitive(y_up(known_splats(1)))])
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(document.data)
    path = document.save(folder / "scene.gltf")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=found) as error:
        read_splats(path)
    assert "\n" not in str(error.value)


def test_a_tree_of_nodes_that_grows_without_end_is_refused(tmp_path):
    """Each of 40 nodes has the next one twice: 2⁴⁰ instances."""
    document = Document()
    document.node([document.primitive(y_up(known_splats(0)))])
    for _ in range(40):
        document.node(root=False, children=[len(document.json["nodes"]) - 1] * 2)
    document.json["scenes"][0]["nodes"] = [40]
    with pytest.raises(FormatError, match="damaged"):
        read(document.save(tmp_path / "tree.glb"))


@pytest.mark.parametrize("length", [4, 11, 12, 19, 20, 60, 2000, -1])
def test_truncated_files_are_one_error(length, tmp_path):
    write(gaussians_from(known_splats(3)), tmp_path / "whole.glb")
    path = tmp_path / "short.glb"
    path.write_bytes((tmp_path / "whole.glb").read_bytes()[:length])
    with pytest.raises(FormatError):
        read_splats(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '"a"', "[" * 100_000, '{"a":' * 100_000, "\xff\xfe"])
def test_other_documents_are_one_error(text, tmp_path):
    path = tmp_path / "scene.gltf"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError):
        read_splats(path)


def test_colors_and_opacities_of_the_first_draft_are_read(tmp_path):
    """Its splats have what is displayed in COLOR_0, as bytes, and no spherical harmonics."""
    splats = known_splats(0)
    document = Document()
    primitive = document.primitive(y_up(splats), prefix="_")
    rgba = [[*(0.5 + splat.harmonics[0] / 2 / np.sqrt(np.pi)), splat.opacity] for splat in splats]
    for name in ("_OPACITY", "_SH_DEGREE_0_COEF_0"):
        del primitive["attributes"][name]
    primitive["attributes"]["COLOR_0"] = document.accessor(rgba, UNSIGNED_BYTE, normalized=True)
    primitive["extensions"] = {"KHR_gaussian_splatting": {}}
    document.node([primitive])
    check_read(document.save(tmp_path / "draft.gltf"), splats, Tolerance(center=2e-6, opacity=0.003, color=0.003))


def test_scales_that_differ_by_rounding_are_one_scale(tmp_path):
    splats = known_splats(1)
    document = Document()
    document.node([document.primitive(y_up(splats))], scale=[0.333, 0.333, 0.334])
    found = read(document.save(tmp_path / "rounded.glb")).gaussians
    expected = np.float32([splat.center for splat in splats]) * np.cbrt(0.333 * 0.333 * 0.334)
    np.testing.assert_allclose(found.means, expected, atol=1e-6)
    document.json["nodes"][0]["scale"] = [0.33, 0.33, 0.34]
    with pytest.raises(FormatError, match="transform of a node cannot be applied"):
        read(document.save(tmp_path / "uneven.glb"))
