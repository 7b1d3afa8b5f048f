"""Bundles: complete, described truly, the same bytes each time, whole or not there."""

import json
import sys
import zipfile
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.exchange.ply import load_ply

from img2world.core.errors import ExportError, MissingPackageError
from img2world.export.bundle_manifest import Origin
from img2world.export.bundle_targets import TARGETS
from img2world.export.bundles import BundleExport

SPLATS = {
    "unity": "scene.ply",
    "unreal": "scene.ply",
    "godot": "scene.compressed.ply",
    "blender": "scene.ply",
    "web": "scene.sog",
}
LICENCES = ({"model": "nano", "licence": "Apache-2.0"},)
SMALL = {"resolution": 32, "max_faces": 2000, "texture_size": 64, "lods": 1}


@pytest.fixture(scope="module")
def scene(balls_scene):
    """The balls, turned into another frame."""
    placed = np.diag([2.0, 2.0, 2.0, 1.0])
    placed[:3, 3] = 0.1, -0.4, 0.3
    return replace(balls_scene, asset_from_world=placed)


@pytest.fixture(scope="module")
def bundles(scene, balls_views, tmp_path_factory):
    """The folder of all bundles."""
    folder = tmp_path_factory.mktemp("bundles")
    facts = BundleExport(targets=tuple(TARGETS), **SMALL).write(
        scene, balls_views, folder / "bundle", origin=Origin(is_metric=True, licences=LICENCES)
    )
    assert facts["bundles"] == len(TARGETS)
    assert {path.name for path in folder.iterdir()} == {f"bundle-{name}" for name in TARGETS}
    return folder


@pytest.mark.parametrize("name", TARGETS)
def test_the_manifest_tells_the_truth(bundles, scene, name):
    folder = bundles / f"bundle-{name}"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for file, facts in manifest["files"].items():
        assert facts["bytes"] == (folder / file).stat().st_size
        assert facts["sha256"] == sha256((folder / file).read_bytes()).hexdigest()
        assert bool(facts["read_back_by"]) == (file not in ("README.txt", "index.html"))
    assert manifest["frame"]["unit"] == "metre"
    assert manifest["licences"] == list(LICENCES)
    if name == "quicklook":
        assert manifest["splats"] is None
        assert (manifest["mesh"]["file"], manifest["mesh"]["others"]) == ("mesh.usdz", [])
        return
    assert manifest["splats"]["file"] == SPLATS[name]
    assert manifest["splats"]["gaussians"] == len(scene.gaussians)
    assert manifest["mesh"]["others"] == ["collider.glb", "mesh_lod1.glb"]
    # The mesh as another reader finds it is in the bounds, but for the thickness of Gaussians.
    with (folder / manifest["mesh"]["file"]).open("rb") as file:
        bounds = trimesh.load_scene(file, file_type="glb").bounds
    np.testing.assert_allclose(bounds, [manifest["bounds"]["min"], manifest["bounds"]["max"]], atol=0.06)


@pytest.mark.parametrize("name", TARGETS)
def test_the_camera_sees_the_preview(bundles, scene, name):
    """A ball is where the camera of the manifest, in the axes of OpenGL, projects it to."""
    folder = bundles / f"bundle-{name}"
    camera = json.loads((folder / "manifest.json").read_text())["camera"]
    picture = np.asarray(Image.open(folder / "preview.png"), float)
    assert max(picture.shape) == 768
    for center, color in (((0.25, 0.02, 0.05), (0.85, 0.15, 0.1)), ((-0.05, -0.25, 0), (0.1, 0.75, 0.2))):
        placed = scene.asset_from_world @ [*center, 1]
        point = np.linalg.inv(camera["world_from_camera"]) @ [placed[0], -placed[1], -placed[2], 1]
        (fx, fy), (cx, cy), scale = camera["focal_px"], camera["principal_point_px"], 768 / max(camera["size_px"])
        x, y = cx - fx * point[0] / point[2], cy + fy * point[1] / point[2]
        np.testing.assert_allclose(picture[int(y * scale), int(x * scale)] / 255, color, atol=0.12)


@pytest.mark.parametrize("name", TARGETS)
def test_the_readme_has_three_steps_and_names_every_file(bundles, name):
    folder = bundles / f"bundle-{name}"
    text = (folder / "README.txt").read_text()
    lines = text.splitlines()
    assert [line[:3] for line in lines if line[:1].isdigit()] == ["1. ", "2. ", "3. "]
    assert "{" not in text
    assert max(map(len, lines)) <= 120
    listed = {line.split()[0] for line in text.partition("Files\n")[2].partition("\n\n")[0].splitlines()}
    assert listed == {path.name for path in folder.iterdir()} - {"README.txt"}


def test_plugins_that_need_all_harmonics_get_them(bundles):
    with (bundles / "bundle-unity" / "scene.ply").open("rb") as file:
        columns = load_ply(file)["metadata"]["_ply_raw"]["vertex"]["data"].dtype.names
    assert sum(name.startswith("f_rest_") for name in columns) == 45


def test_godot_moves_the_splats_back_by_their_mean(bundles):
    turn = json.loads((bundles / "bundle-godot" / "manifest.json").read_text())["splats"]["turns"]["godot"]
    with (bundles / "bundle-unity" / "scene.ply").open("rb") as file:
        mean = trimesh.load(file, file_type="ply", process=False).vertices.mean(0)
    np.testing.assert_allclose(turn["position"], mean * [1, -1, -1], atol=1e-3)


def test_an_object_has_a_second_preview_and_a_scene_has_not(bundles, scene, balls_views, tmp_path):
    turned = np.asarray(Image.open(bundles / "bundle-web" / "preview_turned.png"))
    assert np.abs(turned.astype(float) - turned[0, 0]).max() > 50
    BundleExport(targets=("godot",), **SMALL).write(replace(scene, is_object=False), balls_views, tmp_path / "bundle")
    assert not (tmp_path / "bundle-godot" / "preview_turned.png").exists()


def test_a_zip_holds_the_same_bytes_as_the_folder_of_another_export(bundles, scene, balls_views, tmp_path):
    BundleExport(targets=("godot.zip",), **SMALL).write(
        scene, balls_views, tmp_path / "bundle", origin=Origin(is_metric=True, licences=LICENCES)
    )
    (made,) = tmp_path.iterdir()
    assert made.name == "bundle-godot.zip"
    with zipfile.ZipFile(made) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert len(archive.infolist()) == len(list((bundles / "bundle-godot").iterdir()))
        for path in (bundles / "bundle-godot").iterdir():
            assert archive.read(f"bundle-godot/{path.name}") == path.read_bytes()


def test_nothing_is_left_of_a_bundle_that_fails(scene, balls_views, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ExportError("the disk is full", hint="")

    monkeypatch.setattr("img2world.export.bundles.readme", fail)
    with pytest.raises(ExportError, match="disk is full"):
        BundleExport(targets=("godot",), **SMALL).write(scene, balls_views, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("package", "targets"), [("pxr", ("godot", "quicklook")), ("coacd", ("godot",))])
def test_a_missing_package_is_an_error_before_work_begins(scene, balls_views, tmp_path, monkeypatch, package, targets):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("img2world.export.bundles.find_spec", lambda name: None if name == package else name)
    with pytest.raises(MissingPackageError) as error:
        BundleExport(targets=targets).write(scene, balls_views, tmp_path / "bundle")
    assert "pip install" in error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_without_a_collider_needs_no_package(scene, balls_views, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "coacd", None)
    BundleExport(targets=("godot",), collider=False, **SMALL).write(scene, balls_views, tmp_path / "bundle")
    assert not (tmp_path / "bundle-godot" / "collider.glb").exists()


def test_no_target_is_one_error(scene, balls_views, tmp_path):
    with pytest.raises(ExportError, match="targets is empty"):
        BundleExport(targets=()).write(scene, balls_views, tmp_path / "bundle")
