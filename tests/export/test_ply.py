from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from trimesh.exchange.ply import load_ply

from img2world.core.errors import ExportError, Img2WorldError
from img2world.core.gaussians import Gaussians
from img2world.core.ply import read_ply, write_ply
from img2world.core.splat_ply import gaussians_from_columns, read_gaussians
from img2world.export.ply import PlyExport, columns_from_gaussians

HEAD = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
TAIL = ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
LAYOUT = [*HEAD, *(f"f_rest_{i}" for i in range(45)), *TAIL]


def test_a_scene_is_written_in_the_layout_of_3dgs(balls_scene, balls_views, tmp_path):
    path = tmp_path / "scene.part"
    facts = PlyExport(full_sh=True).write(balls_scene, balls_views, path)
    header = path.read_bytes().split(b"end_header\n")[0].decode()
    assert [line.split()[2] for line in header.splitlines() if line.startswith("property")] == LAYOUT
    assert {line.split()[1] for line in header.splitlines() if line.startswith("property")} == {"float"}
    assert facts == {"gaussians": 6000.0, "bytes": float(len(header) + len("end_header\n") + 6000 * 62 * 4)}
    with path.open("rb") as file:
        cloud = trimesh.load(file, file_type="ply", process=False)
    # The file keeps our axes, in which the green ball is at negative y.
    np.testing.assert_array_equal(cloud.vertices.astype(np.float32), balls_scene.gaussians.means)
    assert cloud.vertices[2000:4000, 1].mean() == pytest.approx(-0.25, abs=0.01)


@pytest.mark.parametrize(("bases", "rest"), [(1, 0), (4, 9), (9, 24), (16, 45)])
def test_sh_is_written_at_its_own_degree(random_gaussians, balls_scene, balls_views, tmp_path, bases, rest):
    scene = replace(balls_scene, gaussians=random_gaussians(20, bases))
    path = tmp_path / "scene.ply"
    PlyExport().write(scene, balls_views, path)
    assert list(read_ply(path)) == [*HEAD, *(f"f_rest_{i}" for i in range(rest)), *TAIL]
    # Another reader finds the same bits in every column.
    with path.open("rb") as file:
        rows = load_ply(file)["metadata"]["_ply_raw"]["vertex"]["data"]
    for name, column in columns_from_gaussians(scene.gaussians).items():
        np.testing.assert_array_equal(rows[name], column)


def test_columns_are_those_of_the_reference_code():
    """One Gaussian whose coefficient of basis k and channel c is 10 k + c."""
    sh = (10 * np.arange(4)[:, None] + np.arange(3)).astype(np.float32)[None]
    one = Gaussians(
        means=np.array([[1, 2, 3]], np.float32),
        quats=np.array([[0, 2, 0, 0]], np.float32),
        log_scales=np.array([[-1, -2, -3]], np.float32),
        logit_opacities=np.array([0.5], np.float32),
        sh=sh,
    )
    columns = {name: float(column[0]) for name, column in columns_from_gaussians(one, bases=16).items()}
    assert [columns[f"f_dc_{i}"] for i in range(3)] == [0, 1, 2]
    rest = [columns[f"f_rest_{i}"] for i in range(45)]
    assert rest[:3] == [10, 20, 30]
    assert rest[15:18] == [11, 21, 31]
    assert rest[30:33] == [12, 22, 32]
    assert sum(map(abs, rest)) == sum([10, 20, 30, 11, 21, 31, 12, 22, 32])
    assert [columns[f"rot_{i}"] for i in range(4)] == [0, 1, 0, 0]
    assert columns["opacity"] == 0.5
    assert [columns[f"scale_{i}"] for i in range(3)] == [-1, -2, -3]


@pytest.mark.parametrize("bases", [1, 4, 9, 16])
def test_the_same_bits_are_read_back(random_gaussians, tmp_path, bases):
    gaussians = random_gaussians(20, bases)
    path = tmp_path / "scene.ply"
    write_ply(columns_from_gaussians(gaussians), path)
    read = read_gaussians(path)
    for name in ("means", "log_scales", "logit_opacities", "sh"):
        np.testing.assert_array_equal(getattr(read, name), getattr(gaussians, name))
    turned = np.einsum("ni,ni->n", read.quats, gaussians.quats / np.linalg.norm(gaussians.quats, axis=1)[:, None])
    np.testing.assert_allclose(turned, 1, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(59)), normals=st.booleans(), double=st.booleans())
def test_dialects_are_read(tmp_path_factory, order, normals, double):
    """Columns in any order, with or without normals, of floats or doubles, extra columns and a second element."""
    rng = np.random.default_rng(1)
    names = [name for name in LAYOUT if name not in ("nx", "ny", "nz")]
    columns = {names[i]: rng.normal(size=3).astype(np.float64 if double else np.float32) for i in order}
    columns |= {axis: np.zeros(3, np.float32) for axis in ("nx", "ny", "nz") if normals}
    columns["segment"] = np.arange(3, dtype=np.uint8)
    path = tmp_path_factory.mktemp("ply") / "dialect.ply"
    write_ply(columns, path, comments=("by another program",))
    path.write_bytes(
        path.read_bytes().replace(b"end_header", b"element extra 1\nproperty int value\nend_header") + b"1234"
    )
    read = read_gaussians(path)
    np.testing.assert_array_equal(read.means[:, 1], columns["y"].astype(np.float32))
    np.testing.assert_array_equal(read.sh[:, 2, 1], columns["f_rest_16"].astype(np.float32))


def test_missing_columns_are_named(tmp_path):
    path = tmp_path / "points.ply"
    write_ply({axis: np.zeros(2, np.float32) for axis in "xyz"}, path)
    with pytest.raises(ExportError, match="lacks f_dc_0, f_dc_1, f_dc_2, opacity, scale_0"):
        read_gaussians(path)
    columns = {name: np.ones(2, np.float32) for name in LAYOUT if name != "f_rest_44"}
    with pytest.raises(ExportError, match="has 44 f_rest columns"):
        gaussians_from_columns(columns)
    with pytest.raises(ExportError, match="lacks f_rest_7"):
        gaussians_from_columns({name: column for name, column in columns.items() if name != "f_rest_7"})
    columns = {name: np.full(2, np.nan if name == "opacity" else 1, np.float32) for name in LAYOUT}
    with pytest.raises(Img2WorldError, match="logit_opacities holds nan"):
        gaussians_from_columns(columns)


@pytest.mark.parametrize(
    "header",
    [
        "element chunk 1\nproperty float min_x\nelement vertex 1\nproperty float x",
        "element vertex one\nproperty float x",
        "element vertex 1\nproperty list uchar int x",
        "element vertex 1\nproperty float x\nproperty float x",
        "element vertex 1\nproperty float",
        "element vertex",
        "",
    ],
)
def test_other_ply_files_are_refused_in_one_line(tmp_path, header):
    path = tmp_path / "other.ply"
    path.write_bytes(b"ply\nformat binary_little_endian 1.0\n" + header.encode() + b"\nend_header\n" + bytes(100))
    with pytest.raises(ExportError, match="vertices of scalar properties"):
        read_ply(path)


def test_a_scene_without_gaussians_is_refused(balls_scene, balls_views, tmp_path):
    empty = replace(balls_scene, gaussians=balls_scene.gaussians.select(slice(0, 0)))
    with pytest.raises(ExportError, match="has 0 Gaussians"):
        PlyExport().write(empty, balls_views, tmp_path / "scene.ply")


def test_a_damaged_file_is_detected(balls_scene, balls_views, tmp_path, monkeypatch):
    """A single wrong bit in one column is an error."""
    from img2world.export import ply

    def damage(columns, path):
        write_ply(columns, path)
        data = bytearray(path.read_bytes())
        data[-2] ^= 1
        path.write_bytes(bytes(data))

    monkeypatch.setattr(ply, "write_ply", damage)
    with pytest.raises(ExportError, match="wrong in 1 of 17 columns: rot_3"):
        PlyExport().write(balls_scene, balls_views, tmp_path / "scene.ply")
