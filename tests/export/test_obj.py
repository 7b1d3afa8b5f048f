"""OBJ files are read by trimesh for texture coordinates and by rules of the format written out here."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from img2world.core.errors import ExportError
from img2world.core.mesh import Mesh
from img2world.export.obj import check_obj, write_obj

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 1 / 3], [0, 0, 0]], np.float32)
"""The first and the last are the two sides of a seam."""


@pytest.fixture
def mesh() -> Mesh:
    rng = np.random.default_rng(0)
    normals = CORNERS + np.float32(0.1)
    return Mesh(
        vertices=CORNERS,
        faces=np.array([[0, 2, 1], [0, 1, 3], [4, 3, 2], [1, 2, 3]], np.int32),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        uvs=rng.random((5, 2)).astype(np.float32),
        texture=rng.integers(0, 256, (6, 4, 3)).astype(np.uint8),
    )


def test_every_number_is_read_back_by_hand(mesh, tmp_path):
    write_obj(mesh, tmp_path / "mesh.obj", unlit=True)
    rows = {"v": [], "vt": [], "vn": [], "f": []}
    for line in (tmp_path / "mesh.obj").read_text().splitlines():
        key, *values = line.split()
        if key in rows:
            rows[key].append(values)
    assert len(rows["v"]) == 4  # the seam is not cut
    v, vt, vn = (np.array(rows[key], np.float32) for key in ("v", "vt", "vn"))
    corner = np.array([[part.split("/") for part in face] for face in rows["f"]], int) - 1
    up = np.array([1, -1, -1])
    np.testing.assert_array_equal(v[corner[..., 0]], (CORNERS * up)[mesh.faces])
    np.testing.assert_allclose(vt[corner[..., 1]], (mesh.uvs * [1, -1] + [0, 1])[mesh.faces], atol=1e-7)
    np.testing.assert_allclose(vn[corner[..., 2]], (mesh.normals * up)[mesh.faces], atol=1e-7)


@pytest.mark.parametrize(("unlit", "model"), [(True, "illum 0"), (False, "illum 1")])
def test_the_material_and_its_texture_are_found(mesh, tmp_path, unlit, model):
    write_obj(mesh, tmp_path / "cup.obj", unlit=unlit)
    material = (tmp_path / "cup.mtl").read_text().splitlines()
    assert "mtllib cup.mtl" in (tmp_path / "cup.obj").read_text()
    assert {"newmtl world", "map_Kd cup.png", model} < set(material)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "cup.png")), mesh.texture)
    read = trimesh.load_mesh(tmp_path / "cup.obj")
    np.testing.assert_array_equal(np.asarray(read.visual.material.image), mesh.texture)
    assert read.volume == pytest.approx(1 / 9)  # a sixth of 1 * 2 / 3, facing outwards


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("v 1 0 0", "v 1 0 0.01", "positions"),
        ("vn ", "vn 9", "normals"),
        ("vt 0.", "vt 0.9", "texture coordinates"),
        ("/1/", "/2/", "texture coordinates"),
        ("mtllib mesh", "mtllib mush", "texture"),
    ],
)
def test_a_damaged_file_is_detected(mesh, tmp_path, old, new, what):
    path = tmp_path / "mesh.obj"
    write_obj(mesh, path, unlit=True)
    check_obj(mesh, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ExportError, match=f"wrong .*{what}"):
        check_obj(mesh, path)
