from dataclasses import replace

import numpy as np
import pytest
import trimesh
from trimesh.exchange.ply import load_ply

from img2world.core.errors import ExportError
from img2world.core.ply import read_ply
from img2world.export import EXPORTERS
from img2world.export.splats import (
    CompressedPlyExport,
    GltfExport,
    KsplatExport,
    PlyExport,
    SogExport,
    SplatExport,
    SpzExport,
    UsdExport,
)
from img2world.formats.files import read_splats
from img2world.formats.ply import columns_from_gaussians

HEAD = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
TAIL = ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
LAYOUT = [*HEAD, *(f"f_rest_{i}" for i in range(45)), *TAIL]


def test_a_scene_is_written_in_the_layout_of_3dgs(balls_scene, balls_views, tmp_path):
    path = tmp_path / "scene.ply"
    facts = PlyExport(full_sh=True).write(balls_scene, balls_views, path)
    header = path.read_bytes().split(b"end_header\n")[0].decode()
    assert [line.split()[2] for line in header.splitlines() if line.startswith("property")] == LAYOUT
    assert {line.split()[1] for line in header.splitlines() if line.startswith("property")} == {"float"}
    assert facts["gaussians"] == 6000
    assert facts["bytes"] == len(header) + len("end_header\n") + 6000 * 62 * 4
    assert set(facts) == {"gaussians", "bytes", "rotation_error_deg", "reader"}
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


FORMATS = [
    (PlyExport(), 0.0), (PlyExport(full_sh=True), 0.0), (GltfExport(), 0.0), (UsdExport(), 0.0),
    (CompressedPlyExport(), 6e-4), (SplatExport(), 0.0), (KsplatExport(), 1e-5), (KsplatExport(level=0), 0.0),
    (SpzExport(), 1e-6), (SpzExport(version=4), 1e-6), (SogExport(), 2e-5),
]  # fmt: skip
"""Each exporter, and the error of its positions in a scene of half a unit."""

PLACED = np.array([[2, 0, 0, 0.5], [0, 2, 0, -1], [0, 0, 2, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(("exporter", "error"), FORMATS)
def test_every_format_is_read_back(exporter, error, balls_scene, balls_views, tmp_path):
    path = tmp_path / exporter.filename
    scene = replace(balls_scene, asset_from_world=PLACED)
    facts = exporter.write(scene, balls_views, path)
    assert facts["gaussians"] == 6000
    assert facts["bytes"] == path.stat().st_size
    assert facts.get("position_error", 0.0) <= error
    assert error == 0 or facts["position_error"] > 0
    means, expected = read_splats(path).gaussians.means, 2 * balls_scene.gaussians.means + PLACED[:3, 3]
    for axis in range(3):
        # Rounding of the placement in 32 bits.
        np.testing.assert_allclose(np.sort(means[:, axis]), np.sort(expected[:, axis]), atol=error + 2e-7)


def test_harmonics_that_all_gaussians_share_are_read_back(random_gaussians, balls_scene, tmp_path):
    gaussians = random_gaussians(2000, 4)
    shared = np.array([[0.125, 0.125, 0], [0, 0, -0.125], [0, 0.125, -0.125]], np.float32)
    scene = replace(
        balls_scene,
        gaussians=replace(gaussians, sh=np.concatenate([gaussians.sh[:, :1], np.tile(shared, (2000, 1, 1))], 1)),
    )
    facts = SogExport().write(scene, None, tmp_path / "scene.sog")
    assert facts["harmonics_error"] < 1e-5


def test_every_splat_exporter_is_tested_and_registered():
    registered = {entry.partition(":")[2] for entry in EXPORTERS.values() if ".splats:" in entry}
    assert registered == {type(exporter).__name__ for exporter, _ in FORMATS}


CHANGES = {
    "position": lambda gaussians: {"means": gaussians.means + np.float32([0, 0.01, 0])},
    "rotation": lambda gaussians: {"quats": gaussians.quats[:, [1, 0, 2, 3]]},
    "scale": lambda gaussians: {"log_scales": gaussians.log_scales + np.float32(0.1)},
    "opacity": lambda gaussians: {"logit_opacities": -gaussians.logit_opacities},
    "color": lambda gaussians: {"sh": gaussians.sh * np.float32([0.5])},
    "harmonics": lambda gaussians: {"sh": gaussians.sh * np.float32([1, -1, 1, 1])[:, None]},
}


@pytest.mark.parametrize(
    ("exporter", "changed"),
    # .splat has no harmonics.
    [
        (exporter, changed)
        for exporter, _ in FORMATS
        for changed in CHANGES
        if not (changed == "harmonics" and isinstance(exporter, SplatExport))
    ],
)
def test_a_file_with_another_value_is_detected(
    exporter, changed, random_gaussians, balls_scene, balls_views, tmp_path, monkeypatch
):
    """As a faulty writer would change all Gaussians, for each quantity and format."""
    from img2world.export import splats

    write = splats.write_splats
    monkeypatch.setattr(
        splats, "write_splats", lambda gaussians, *rest: write(replace(gaussians, **CHANGES[changed](gaussians)), *rest)
    )
    scene = replace(balls_scene, gaussians=random_gaussians(50, 4))
    with pytest.raises(ExportError, match=f"reads back with another .*{changed}"):
        exporter.write(scene, balls_views, tmp_path / exporter.filename)


def test_a_single_wrong_bit_in_a_ply_is_detected(balls_scene, balls_views, tmp_path, monkeypatch):
    from img2world.export import splats

    write = splats.write_splats

    def damage(gaussians, path, options):
        write(gaussians, path, options)
        data = bytearray(path.read_bytes())
        data[-20] ^= 1
        path.write_bytes(bytes(data))

    monkeypatch.setattr(splats, "write_splats", damage)
    with pytest.raises(ExportError, match="another scale than"):
        PlyExport().write(balls_scene, balls_views, tmp_path / "scene.ply")


@pytest.mark.parametrize("exporter", [PlyExport(), SpzExport()])
def test_a_missing_gaussian_is_detected(exporter, balls_scene, balls_views, tmp_path, monkeypatch):
    from img2world.export import splats

    write = splats.write_splats
    monkeypatch.setattr(splats, "write_splats", lambda gaussians, *rest: write(gaussians.select(slice(1, None)), *rest))
    with pytest.raises(ExportError, match="reads back as 5999 Gaussians of degree 0, written were 6000"):
        exporter.write(balls_scene, balls_views, tmp_path / exporter.filename)
