import io
import json

import numpy as np
import pygltflib
import pytest
from PIL import Image

from img2world.core.errors import ExportError
from img2world.core.mesh import Mesh
from img2world.export.glb import check_glb, linear_from_srgb, write_glb

COLORS = {"colors": np.array([[255, 0, 10], [0, 128, 20], [30, 64, 188], [255, 255, 255]], np.uint8)}
TEXTURE = {
    "uvs": np.array([[0, 0], [0.25, 0.5], [1, 0.75], [0.5, 1]], np.float32),
    "texture": np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8),
}


def make_tetrahedron(look: dict) -> Mesh:
    """Return a tetrahedron that no rotation or mirroring maps to itself."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
    outwards = vertices - vertices.mean(0)
    return Mesh(
        vertices=vertices,
        faces=np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32),
        normals=outwards / np.linalg.norm(outwards, axis=1, keepdims=True),
        **look,
    )


@pytest.fixture
def tetrahedron() -> Mesh:
    return make_tetrahedron(COLORS)


def read_arrays(path) -> tuple[pygltflib.GLTF2, dict[str, np.ndarray]]:
    """Decode what pygltflib reads, by the rules of the specification."""
    document = pygltflib.GLTF2().load_binary(str(path))
    primitive = document.meshes[0].primitives[0]
    names = {name: index for name, index in vars(primitive.attributes).items() if index is not None}
    arrays = {}
    for name, index in {**names, "indices": primitive.indices}.items():
        accessor = document.accessors[index]
        view = document.bufferViews[accessor.bufferView]
        dtype = np.dtype({pygltflib.FLOAT: "<f4", pygltflib.UNSIGNED_SHORT: "<u2"}[accessor.componentType])
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor.type]
        start = view.byteOffset + accessor.byteOffset
        assert start % 4 == 0
        data = document.binary_blob()[start : start + accessor.count * width * dtype.itemsize]
        assert len(data) == view.byteLength
        arrays[name] = np.frombuffer(data, dtype).reshape(-1, width)
    return document, arrays


def test_up_is_up_and_colours_are_linear(tetrahedron, tmp_path):
    path = tmp_path / "mesh.part"
    write_glb(tetrahedron, path, unlit=True, double_sided=False)
    document, arrays = read_arrays(path)
    np.testing.assert_array_equal(arrays["POSITION"], [[0, 0, 0], [1, 0, 0], [0, -2, 0], [0, 0, -3]])
    np.testing.assert_array_equal(arrays["indices"].reshape(-1, 3), tetrahedron.faces)
    # By hand: sRGB 128 is 0.2159 and 188 is 0.5029 in linear light.
    np.testing.assert_allclose(arrays["COLOR_0"][[0, 1, 2], [0, 1, 2]], [1, 0.2159, 0.5029], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(arrays["NORMAL"], axis=1), 1, atol=1e-6)
    # The normal of every corner points away from the centre.
    middle = arrays["POSITION"].mean(0)
    assert (np.einsum("mi,mi->m", arrays["POSITION"] - middle, arrays["NORMAL"]) > 0).all()
    accessor = document.accessors[0]
    assert (accessor.min, accessor.max) == ([0, -2, -3], [1, 0, 0])


def test_faces_still_point_outwards(tetrahedron, tmp_path):
    write_glb(tetrahedron, tmp_path / "mesh.glb", unlit=False, double_sided=True)
    _, arrays = read_arrays(tmp_path / "mesh.glb")
    a, b, c = arrays["POSITION"].astype(float)[arrays["indices"].reshape(-1, 3)].transpose(1, 0, 2)
    assert np.einsum("fi,fi->", a, np.cross(b, c)) / 6 == pytest.approx(1.0)  # 1 * 2 * 3 / 6


def test_material_and_container_are_as_specified(tetrahedron, tmp_path):
    for unlit in (True, False):
        path = tmp_path / "mesh.glb"
        write_glb(tetrahedron, path, unlit=unlit, double_sided=not unlit)
        data = path.read_bytes()
        assert data[:4] == b"glTF"
        assert int.from_bytes(data[8:12], "little") == len(data)
        text_length = int.from_bytes(data[12:16], "little")
        assert text_length % 4 == 0
        document = json.loads(data[20 : 20 + text_length])
        material = document["materials"][0]
        assert ("KHR_materials_unlit" in material.get("extensions", {})) == unlit
        assert document.get("extensionsUsed", []) == (["KHR_materials_unlit"] if unlit else [])
        assert material["pbrMetallicRoughness"] == {"metallicFactor": 0.0, "roughnessFactor": 1.0}
        assert material["doubleSided"] is not unlit
        assert document["buffers"] == [{"byteLength": len(data) - 28 - text_length}]


def test_linear_light_follows_the_srgb_curve():
    srgb = np.array([[0, 255, 10], [11, 1, 100]], np.uint8)
    expected = [[0, 1, 10 / 255 / 12.92], [((11 / 255 + 0.055) / 1.055) ** 2.4, 1 / 255 / 12.92, 0.12744]]
    np.testing.assert_allclose(linear_from_srgb(srgb), expected, atol=1e-5)


def test_a_texture_is_written_with_its_upper_row_first(tmp_path):
    path = tmp_path / "mesh.glb"
    write_glb(make_tetrahedron(TEXTURE), path, unlit=True, double_sided=False)
    document, arrays = read_arrays(path)
    np.testing.assert_array_equal(arrays["TEXCOORD_0"], TEXTURE["uvs"])
    assert "COLOR_0" not in arrays
    material = document.materials[0]
    texture = document.textures[material.pbrMetallicRoughness.baseColorTexture.index]
    image = document.images[texture.source]
    view = document.bufferViews[image.bufferView]
    content = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    assert image.mimeType == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), TEXTURE["texture"])


def test_many_vertices_have_long_indices(tmp_path):
    vertices = np.random.default_rng(0).normal(size=(65535, 3)).astype(np.float32)
    mesh = Mesh(
        vertices=vertices,
        faces=np.arange(65535, dtype=np.int32).reshape(-1, 3),
        normals=np.tile(np.float32([0, 0, 1]), (65535, 1)),
        colors=np.zeros((65535, 3), np.uint8),
    )
    write_glb(mesh, tmp_path / "mesh.glb", unlit=True, double_sided=False)
    check_glb(mesh, tmp_path / "mesh.glb")


@pytest.mark.parametrize(
    ("look", "offset"),
    [*((COLORS, offset) for offset in (0, 12 * 4, 2 * 12 * 4 + 3, -8)), *((TEXTURE, offset) for offset in (96, 140))],
)
def test_a_damaged_file_is_detected(tmp_path, look, offset):
    """Damage in positions, normals, colors and faces; in texture coordinates and faces."""
    path, tetrahedron = tmp_path / "mesh.glb", make_tetrahedron(look)
    write_glb(tetrahedron, path, unlit=True, double_sided=False)
    check_glb(tetrahedron, path)
    data = bytearray(path.read_bytes())
    start = 28 + int.from_bytes(data[12:16], "little")
    place = start + offset if offset >= 0 else len(data) + offset
    data[place : place + 4] = np.uint32(1).tobytes() if offset < 0 else np.float32(0.3).tobytes()
    path.write_bytes(bytes(data))
    with pytest.raises(ExportError, match="reads back"):
        check_glb(tetrahedron, path)
