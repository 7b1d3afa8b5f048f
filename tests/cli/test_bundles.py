"""Bundles on the command line, of a run and of a splat file."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from img2world.core.gaussians import Gaussians
from img2world.export.bundle_targets import TARGETS
from img2world.formats.files import read_splats, write_splats
from img2world.runs.recipe import load_recipe

SMALL = [
    "--set",
    "export.bundle.lods=0",
    "--set",
    "export.bundle.collider=false",
    "--set",
    "export.bundle.resolution=24",
    "--set",
    "export.bundle.texture_size=32",
]


@pytest.fixture
def ball(tmp_path, monkeypatch) -> Path:
    """A splat file of a ball, of which small pictures are rendered."""
    monkeypatch.setattr("img2world.export.pictures.SIZE", 96)
    normals = np.random.default_rng(0).normal(size=(3000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    gaussians = Gaussians(
        means=(2 * normals + (5, 1, 0)).astype(np.float32),
        quats=np.tile(np.float32([1, 0, 0, 0]), (3000, 1)),
        log_scales=np.full((3000, 3), np.log(0.08), np.float32),
        logit_opacities=np.full(3000, 4, np.float32),
        sh=np.zeros((3000, 1, 3), np.float32),
    )
    write_splats(gaussians, tmp_path / "ball.ply")
    return tmp_path / "ball.ply"


def test_bundles_are_added_to_a_run_and_named_in_its_report(call, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    assert call("export", run, "--bundle", "godot", *SMALL)[0] == 0
    assert call("export", run, "--bundle", "unreal,godot")[0] == 0
    exporter = load_recipe(str(run / "recipe.toml")).exports["bundle"]
    assert exporter.targets == ("godot", "unreal")
    assert {path.name for path in (run / "exports").glob("bundle*")} == {"bundle-godot", "bundle-unreal"}
    files = json.loads((run / "report.json").read_text())["files"]
    for name in ("bundle-godot", "bundle-unreal"):
        assert "trimesh" in files[f"exports/{name}"]["reader"]
    manifest = json.loads((run / "exports" / "bundle-godot" / "manifest.json").read_text())
    assert manifest["camera"]["of"] == "the photo"
    assert manifest["frame"]["origin"] == "on the ground, below the middle of the object"
    licences = [(model["model"], model["licence"]) for model in manifest["licences"]]
    assert licences == [(model, "Apache-2.0") for model in ("nano-geo", "nano-depth", "U²-Net-p")]
    assert call("export", run, "--bundle", "godot", "--zip")[0] == 0
    assert {path.name for path in (run / "exports").glob("bundle*")} == {"bundle-godot.zip", "bundle-unreal"}


def test_a_splat_file_becomes_a_bundle_which_is_replaced_by_the_next(call, ball, tmp_path):
    old = tmp_path / "files" / "bundle-godot"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text("{}")
    (old / "mesh.glb.old").write_bytes(b"of an earlier version")
    code, out, _ = call("export", ball, "--bundle", "godot", *SMALL, "--out", tmp_path / "files")
    assert (code, out) == (0, f"{old}\n")
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["bundle-godot"]
    assert not (old / "mesh.glb.old").exists()
    manifest = json.loads((tmp_path / "files" / "bundle-godot" / "manifest.json").read_text())
    assert manifest["licences"].startswith("unknown")
    assert manifest["camera"]["of"] == "a view of the whole"
    np.testing.assert_allclose(
        [manifest["bounds"]["min"], manifest["bounds"]["max"]], [[3, -3, -2], [7, 1, 2]], atol=0.1
    )
    assert call("export", ball, "--bundle", "web", "--zip", *SMALL, "--out", tmp_path / "files")[0] == 0
    with zipfile.ZipFile(tmp_path / "files" / "bundle-web.zip") as archive:
        assert "bundle-web/world.html" in archive.namelist()


def test_size_and_metres_take_each_others_place(call, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    extents = []
    for words, metric, size in (
        (["--size", "100"], 0.0, 100.0),
        (["--metric", "0.9"], 0.9, 1.0),
        (["--size", "2"], 0.0, 2.0),
    ):
        assert call("export", run, *words)[0] == 0
        recipe = load_recipe(str(run / "recipe.toml"))
        assert (recipe.metric, recipe.size) == (metric, size)
        extents.append(np.ptp(read_splats(run / "exports" / "scene.ply").gaussians.means))
    np.testing.assert_allclose(extents[0], 50 * extents[2], rtol=1e-5)
    code, _, err = call("export", run, "--size", "2", "--metric", "1")
    assert (code, "exclude each other" in err) == (2, True)


def test_a_folder_that_is_no_bundle_is_not_replaced(call, ball, tmp_path):
    own = tmp_path / "files" / "bundle-godot" / "own.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    code, _, err = call("export", ball, "--bundle", "godot", *SMALL, "--out", tmp_path / "files")
    # Below the lines of progress, whose number depends on the time.
    lines = [line for line in err.splitlines() if line and not line.startswith("bundle")]
    assert (code, len(lines)) == (1, 2)
    assert f"the folder is not empty: {own.parent}" in err
    assert own.read_text() == "mine"
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["bundle-godot"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--bundle", "unitty"], 1, f"needs one of {', '.join(TARGETS)}"),
        (["--zip"], 2, "--zip needs --bundle"),
    ],
)
def test_wrong_words_are_one_error_before_any_work(call, ball, finished, tmp_path, words, code, message):
    before = sorted(tmp_path.rglob("*"))
    manifest = (finished / "run.json").read_bytes()
    for source, out in ((ball, ["--out", tmp_path / "files"]), (finished, [])):
        found, _, err = call("export", source, *words, *out)
        assert (found, message in " ".join(err.split())) == (code, True)
    assert sorted(tmp_path.rglob("*")) == before
    assert (finished / "run.json").read_bytes() == manifest


def test_a_missing_package_is_one_error_before_any_work(call, ball, tmp_path, tiny, picture, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    code, _, err = call("export", ball, "usd", "--out", tmp_path / "files")
    assert (code, "pip install 'img2world[usd]'" in err) == (1, True)
    changes = [word for change in [*tiny, "export.formats=usd"] for word in ("--set", change)]
    code, _, err = call("run", picture, "--out", tmp_path / "run", *changes)
    assert (code, "pip install 'img2world[usd]'" in err) == (1, True)
    assert not (tmp_path / "files").exists()
    assert not (tmp_path / "run").exists()


def test_formats_lists_the_bundles(call):
    lines = call("formats")[1].splitlines()
    listed = lines[next(i for i, line in enumerate(lines) if line.startswith("bundles:")) + 1 :]
    assert [line.split()[0] for line in listed] == list(TARGETS)
