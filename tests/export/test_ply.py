from dataclasses import replace

import numpy as np
import pytest
import trimesh
from trimesh.exchange.ply import load_ply

from img2world.core.errors import ExportError
from img2world.core.ply import read_ply, write_ply
from img2world.export.ply import PlyExport
from img2world.formats.ply import columns_from_gaussians

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


def test_a_scene_without_gaussians_is_refused(balls_scene, balls_views, tmp_path):
    empty = replace(balls_scene, gaussians=balls_scene.gaussians.select(slice(0, 0)))
    with pytest.raises(ExportError, match="has no Gaussians"):
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
