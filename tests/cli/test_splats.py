"""`img2world convert` and `img2world inspect` as a user calls them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import trimesh
from known_scene import Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from
from PIL import Image

from img2world.cli.splats import page_of_file
from img2world.core.gaussians import Gaussians
from img2world.core.ply import write_ply
from img2world.export.html import read_world_html
from img2world.formats.files import read_splats, write_splats
from img2world.formats.ply import columns_from_gaussians
from tests.moving import moving_scene

PROGRAM = [sys.executable, "-m", "img2world.cli"]


@pytest.fixture
def scene(tmp_path) -> Path:
    """A PLY of five Gaussians with harmonics of degree 2."""
    write_splats(gaussians_from(known_splats(2)), tmp_path / "scene.ply")
    return tmp_path / "scene.ply"


def y_up(path: Path) -> np.ndarray:
    """Return the centers in a file in the axes that the help of `convert` names."""
    return read_splats(path).gaussians.means * (1, -1, -1)


CENTERS = np.array([splat.center for splat in known_splats(0)]) * (1, -1, -1)


def moved(*offset: float) -> np.ndarray:
    return CENTERS + np.array(offset)


@pytest.mark.parametrize(
    "name", ["a.ply", "a.compressed.ply", "a.splat", "a.ksplat", "a.spz", "a.sog", "meta.json", "a.glb", "a.usdc"]
)
def test_any_file_becomes_any_other(call, scene, tmp_path, name):
    code, out, err = call("convert", scene, tmp_path / name)
    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path / name}  5 Gaussians, 0.0 MB")
    code, out, _ = call("convert", tmp_path / name, tmp_path / "back.ply", "--json")
    found = json.loads(out)
    assert (code, found["event"], found["gaussians"]) == (0, "written", 5)
    assert found["bytes"] == (tmp_path / "back.ply").stat().st_size
    np.testing.assert_allclose(np.sort(y_up(tmp_path / "back.ply"), 0), np.sort(CENTERS, 0), atol=2e-3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--translate", "1,2,3"], moved(1, 2, 3)),
        (["--translate=-1,-2,-3"], CENTERS - (1, 2, 3)),
        (["--scale", "2"], 2 * CENTERS),
        # A quarter turn about +Y takes +Z to +X.
        (["--rotate", "0,90,0"], CENTERS[:, [2, 1, 0]] * (1, 1, -1)),
        (["--rotate", "90,0,0"], CENTERS[:, [0, 2, 1]] * (1, -1, 1)),
        # First about X, then about Z.
        (["--rotate", "90,0,90"], (CENTERS[:, [0, 2, 1]] * (1, -1, 1))[:, [1, 0, 2]] * (-1, 1, 1)),
        (["--scale", "2", "--translate", "1,0,0"], 2 * moved(0.5, 0, 0)),
        (["--translate", "1,0,0", "--scale", "2"], 2 * (moved(1, 0, 0))),
        (["--translate", "1,0,0", "--scale", "2", "--translate=-2,0,0", "--scale=0.5"], CENTERS),
        (["--crop-box", "-9,-9,-9,0,9,9"], CENTERS[CENTERS[:, 0] <= 0]),
        (["--translate", "5,0,0", "--crop-box", "-9,-9,-9,5,9,9"], CENTERS[CENTERS[:, 0] <= 0] + (5, 0, 0)),
        (["--crop-box", "-9,-9,-9,0,9,9", "--translate", "5,0,0"], CENTERS[CENTERS[:, 0] <= 0] + (5, 0, 0)),
        (["--crop-sphere", "0.7,0.6,-0.4,0.1"], CENTERS[1:2]),
        (["--opacity-min", "0.5"], CENTERS[2:]),
        (["--opacity-min", "0.5", "--opacity-min", "0.9"], CENTERS[4:]),
        (["--sh", "1", "--drop-nan"], CENTERS),
    ],
)  # fmt: skip
def test_actions_are_applied_in_the_order_given(call, scene, tmp_path, words, expected):
    code, _, err = call("convert", *words, scene, tmp_path / "out.ply")
    assert (code, err) == (0, "")
    np.testing.assert_allclose(y_up(tmp_path / "out.ply"), expected, atol=2e-6)
    # Options may also come last.
    code, _, _ = call("convert", scene, tmp_path / "last.ply", *words)
    assert (tmp_path / "last.ply").read_bytes() == (tmp_path / "out.ply").read_bytes()


def test_merging_is_an_action_among_others(call, scene, tmp_path):
    write_splats(gaussians_from(known_splats(0)), tmp_path / "other.glb")
    words = ["--translate", "9,0,0", "--merge", tmp_path / "other.glb", "--translate", "0,1,0", "--merge", scene]
    assert call("convert", scene, tmp_path / "both.ply", *words)[0] == 0
    expected = np.concatenate([moved(9, 1, 0), moved(0, 1, 0), CENTERS])
    np.testing.assert_allclose(y_up(tmp_path / "both.ply"), expected, atol=2e-6)
    gaussians = read_splats(tmp_path / "both.ply").gaussians
    # The richest harmonics decide.
    assert gaussians.sh.shape[1] == 9
    assert not gaussians.sh[5:10, 1:].any()
    code, _, err = call("convert", scene, tmp_path / "none.ply", "--merge", tmp_path / "missing.ply")
    assert code == 1
    assert "cannot be read" in err


@pytest.mark.parametrize(("value", "count"), [("2", 2), ("40%", 2), ("100%", 5), ("9", 5), ("1", 1), ("0.1%", 1)])
def test_gaussians_are_merged_until_few_are_left(call, scene, tmp_path, value, count):
    assert call("convert", scene, tmp_path / "few.ply", "--decimate", value)[0] == 0
    assert len(read_splats(tmp_path / "few.ply").gaussians) == count


@pytest.mark.parametrize(("value", "bases"), [("0", 1), ("1", 4), ("2", 9), ("3", 9)])
def test_harmonics_are_dropped(call, scene, tmp_path, value, bases):
    assert call("convert", scene, tmp_path / "less.ply", "--sh", value)[0] == 0
    assert read_splats(tmp_path / "less.ply").gaussians.sh.shape[1] == bases


def test_floaters_are_dropped(call, scenes, tmp_path):
    gaussians = scenes.cloud(200, 0)
    gaussians.means[7] = (50, 0, 0)
    write_splats(gaussians, tmp_path / "cloud.ply")
    assert call("convert", tmp_path / "cloud.ply", tmp_path / "clean.ply", "--drop-floaters")[0] == 0
    found = read_splats(tmp_path / "clean.ply").gaussians
    assert 180 < len(found) < 200
    assert found.means.max() < 10


def write_broken(path: Path) -> None:
    columns = {
        name: np.array(column) for name, column in columns_from_gaussians(gaussians_from(known_splats(0))).items()
    }
    columns["y"][2] = np.nan
    write_ply(columns, path)


def test_broken_gaussians_are_left_out_only_when_asked_for(call, tmp_path, scene):
    write_broken(tmp_path / "broken.ply")
    code, _, err = call("convert", tmp_path / "broken.ply", tmp_path / "out.ply")
    assert code == 1
    assert "1 of 5 Gaussians have values that are not finite" in err
    assert "--drop-nan" in err
    assert not (tmp_path / "out.ply").exists()
    code, out, _ = call("convert", tmp_path / "broken.ply", tmp_path / "out.ply", "--drop-nan")
    assert code == 0
    assert "4 Gaussians" in out
    assert "1 broken ones left out" in out
    code, _, err = call("convert", scene, tmp_path / "both.ply", "--merge", tmp_path / "broken.ply")
    assert (code, "1 of 5" in err) == (1, True)
    assert call("convert", scene, tmp_path / "both.ply", "--merge", tmp_path / "broken.ply", "--drop-nan")[0] == 0


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--scale", "0"], "--scale has the value '0', needs a positive number"),
        (["--scale", "-2"], "--scale has the value '-2'"),
        (["--scale", "big"], "--scale has the value 'big', needs a number"),
        (["--scale", ""], "--scale has the value ''"),
        (["--scale", "nan"], "--scale has the value 'nan'"),
        (["--translate", "1,2"], "--translate has the value '1,2', needs 3 numbers"),
        (["--translate", "1,2,inf"], "--translate has the value"),
        (["--rotate", "1;2;3"], "--rotate has the value"),
        (["--crop-box", "1,2,3"], "needs 6 numbers"),
        (["--crop-sphere", "1,2,3"], "needs 4 numbers"),
        (["--sh", "4"], "--sh has the value '4', needs a degree from 0 to 3"),
        (["--sh", "1.5"], "--sh has the value '1.5'"),
        (["--decimate", "0"], "--decimate has the value '0'"),
        (["--decimate", "-5"], "--decimate has the value '-5'"),
        (["--decimate", "1.5"], "--decimate has the value '1.5'"),
        (["--decimate", "101%"], "--decimate has the value '101%'"),
        (["--decimate", "%"], "--decimate has the value"),
        (["--opacity-min", "half"], "--opacity-min has the value 'half'"),
        (["--crop-sphere", "99,99,99,1"], "no Gaussians are left after the actions"),
        (["--opacity-min", "2"], "no Gaussians are left after the actions"),
        (["--spz-version", "2"], "--spz-version is 2, needs 3 or 4"),
        (["--merge", "nothing.ply"], "cannot be read"),
    ],
)
def test_wrong_values_are_one_line_and_leave_no_file(call, scene, tmp_path, words, found):
    code, out, err = call("convert", scene, tmp_path / "out.ply", *words)
    assert (code, out) == (1, "")
    assert found in err
    assert len(err.splitlines()) == 2
    assert err.splitlines()[1].startswith("  hint: ")
    assert not (tmp_path / "out.ply").exists()


@pytest.mark.parametrize("words", [["--no-such-option"], ["--scale"], ["--lod", "-1"], ["--lod", "9"], ["third"]])
def test_wrong_usage_has_its_own_code(call, scene, tmp_path, words):
    assert call("convert", scene, tmp_path / "out.ply", *words)[0] == 2


def test_other_files_are_refused_before_work_begins(call, scene, tmp_path):
    code, _, err = call("convert", tmp_path / "missing.ply", tmp_path / "out.obj")
    assert code == 1
    assert "no splat format has the file name out.obj" in err
    code, _, err = call("convert", scene, tmp_path / "out.gltf")
    assert (code, "not written" in err) == (1, True)
    (tmp_path / "photo.ply").write_bytes(b"\x89PNG")
    code, _, err = call("convert", tmp_path / "photo.ply", tmp_path / "out.ply")
    assert (code, "not a PLY file" in err) == (1, True)
    code, out, _ = call("convert", tmp_path / "photo.ply", tmp_path / "out.ply", "--json")
    assert (code, json.loads(out)["event"]) == (1, "error")


def test_an_existing_file_is_kept_when_the_conversion_fails(call, scene, tmp_path):
    call("convert", scene, tmp_path / "out.spz")
    before = (tmp_path / "out.spz").read_bytes()
    for words in (["--translate", "1e8,0,0"], ["--crop-sphere", "99,99,99,1"], ["--merge", tmp_path / "missing.ply"]):
        assert call("convert", scene, tmp_path / "out.spz", *words)[0] == 1
        assert (tmp_path / "out.spz").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.spz", "scene.ply"]


def test_a_file_may_be_converted_in_place(call, scene):
    assert call("convert", scene, scene, "--translate", "1,0,0")[0] == 0
    np.testing.assert_allclose(y_up(scene), moved(1, 0, 0), atol=2e-6)


@pytest.mark.parametrize("version", [3, 4])
def test_the_version_of_spz_is_chosen(call, scene, tmp_path, version):
    assert call("convert", scene, tmp_path / "a.spz", "--spz-version", version)[0] == 0
    assert read_splats(tmp_path / "a.spz").details["version"] == version


def test_folders_are_converted(call, scene, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    shutil.copy(scene, folder / "a.ply")
    shutil.copy(scene, folder / "b.c.PLY")
    call("convert", scene, folder / "d.spz")
    (folder / "notes.txt").write_text("no splats")
    code, out, _ = call("convert", folder, tmp_path / "web" / "new" / "*.sog", "--sh", "0")
    assert code == 0
    assert len(out.splitlines()) == 3
    assert sorted(path.name for path in (tmp_path / "web" / "new").iterdir()) == ["a.sog", "b.c.sog", "d.sog"]
    assert read_splats(tmp_path / "web" / "new" / "d.sog").gaussians.sh.shape[1] == 1


def test_folders_that_cannot_be_converted_say_why(call, scene, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    code, _, err = call("convert", folder, tmp_path / "*.sog")
    assert (code, "has no splat files" in err) == (1, True)
    code, _, err = call("convert", folder, tmp_path / "out.sog")
    assert (code, "is not a pattern" in err) == (1, True)
    for name in ("a.ply", "a.compressed.ply"):
        shutil.copy(scene, folder / name)
    code, _, err = call("convert", folder, tmp_path / "*.spz")
    assert (code, "have the same name" in err) == (1, True)
    code, _, err = call("convert", folder, tmp_path / "*.obj")
    assert (code, "no splat format" in err) == (1, True)
    assert not list(tmp_path.glob("*.spz"))


def test_levels_of_detail_are_files(call, scenes, tmp_path):
    write_splats(scenes.cloud(270, 1), tmp_path / "big.ply")
    code, out, _ = call("convert", tmp_path / "big.ply", tmp_path / "out.compressed.ply", "--lod", "3", "--sh", "0")
    assert code == 0
    names = [f"out_lod{level}.compressed.ply" for level in range(3)]
    assert [Path(line.split("  ")[0]).name for line in out.splitlines()] == names
    assert [len(read_splats(tmp_path / name).gaussians) for name in names] == [270, 90, 30]


def test_levels_of_detail_have_files_of_their_own(call, scene, tmp_path):
    """The pictures of one meta.json would replace those of another."""
    code, _, err = call("convert", scene, tmp_path / "meta.json", "--lod", "2")
    assert code == 1
    assert ".sog" in err
    assert list(tmp_path.iterdir()) == [scene]


def piped(words: list[str], data: bytes) -> subprocess.CompletedProcess:
    return subprocess.run([*PROGRAM, *words], input=data, capture_output=True, timeout=120, check=False)


@pytest.mark.parametrize("name", ["scene.ply", "scene.spz"])
def test_pipes_carry_files(scene, tmp_path, name):
    write_splats(read_splats(scene).gaussians, tmp_path / name)
    ended = piped(["convert", "-", "-", "--sh", "0"], (tmp_path / name).read_bytes())
    assert (ended.returncode, ended.stderr) == (0, b"")
    (tmp_path / "out.ply").write_bytes(ended.stdout)
    assert read_splats(tmp_path / "out.ply").gaussians.sh.shape == (5, 1, 3)


def test_a_pipe_of_something_else_is_one_error(tmp_path):
    ended = piped(["convert", "-", str(tmp_path / "out.ply")], b"no PLY")
    assert ended.returncode == 1
    assert b"not a PLY file" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_a_reader_that_closes_the_pipe_early_is_no_traceback(scenes, tmp_path):
    write_splats(scenes.cloud(3000, 3), tmp_path / "big.ply")
    program = " ".join([*PROGRAM, "convert", str(tmp_path / "big.ply"), "-", "| head -c 10"])
    ended = subprocess.run(program, shell=True, capture_output=True, timeout=120, check=False)
    assert ended.stdout == b"ply\nformat"
    assert b"Traceback" not in ended.stderr


def test_a_killed_conversion_leaves_the_old_file_whole(tmp_path):
    """Killed while it writes, which is known by the folder for the new file."""
    rng = np.random.default_rng(0)
    count = 60_000
    shapes = {"means": (3,), "quats": (4,), "log_scales": (3,), "logit_opacities": (), "sh": (16, 3)}
    big = Gaussians(**{name: rng.normal(size=(count, *rest)).astype(np.float32) for name, rest in shapes.items()})
    write_splats(big, tmp_path / "big.ply")
    write_splats(gaussians_from(known_splats(0)), tmp_path / "out.sog")
    before = (tmp_path / "out.sog").read_bytes()
    words = [*PROGRAM, "convert", str(tmp_path / "big.ply"), str(tmp_path / "out.sog")]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(tmp_path.glob(".writing-*")):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "out.sog").read_bytes() == before
    # What is left over is hidden, and the next conversion works.
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {"big.ply", "out.sog"}


# ---- inspect ----


def test_inspection_is_one_screen(call, scene):
    code, out, err = call("inspect", scene)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 100 + len(str(scene))
    assert any(line.split() == ["gaussians", "5"] for line in lines)
    assert any(line.split() == ["harmonics", "degree", "2"] for line in lines)
    assert any("(-0.9, -0.8, -1.5) to (1.3, 1.1, 1.2)" in line for line in lines)


def test_inspection_as_json(call, scene, tmp_path):
    call("convert", scene, tmp_path / "a.spz")
    code, out, _ = call("inspect", scene, tmp_path / "a.spz", "--json")
    first, second = map(json.loads, out.splitlines())
    assert code == 0
    assert (first["gaussians"], first["sh_degree"], first["broken"], first["warnings"]) == (5, 2, 0, [])
    np.testing.assert_allclose(first["low"], CENTERS.min(0), atol=1e-6)
    np.testing.assert_allclose(first["high"], CENTERS.max(0), atol=1e-6)
    np.testing.assert_allclose(first["quantiles"]["opacity"][::4], [0.2, 0.95], atol=1e-6)
    np.testing.assert_allclose(first["quantiles"]["scale"][::4], np.exp([-4, -1.5]), atol=1e-5)
    np.testing.assert_allclose(first["quantiles"]["brightness"][::4], [0.1, 0.9], atol=1e-3)
    assert first["bytes"] == scene.stat().st_size
    assert second["details"]["version"] == 3


def test_inspection_of_other_files_is_one_error(call, scene, tmp_path):
    (tmp_path / "photo.ply").write_bytes(b"\x89PNG")
    code, out, err = call("inspect", scene, tmp_path / "photo.ply")
    assert code == 1
    assert "gaussians" in out
    assert "not a PLY file" in err
    write_broken(tmp_path / "broken.ply")
    code, out, _ = call("inspect", tmp_path / "broken.ply")
    assert code == 0
    assert "1 Gaussians have values that are not finite" in out
    assert call("inspect")[0] == 2


def test_inspection_of_a_run_names_its_file(call, finished, tmp_path):
    code, _, err = call("inspect", finished)
    assert (code, "this is a run folder" in err) == (1, True)
    assert f"img2world inspect {finished}/exports/scene.ply" in err
    code, _, err = call("inspect", tmp_path)
    assert (code, "this is a folder" in err) == (1, True)


# ---- up and engine ----

SIDE = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
@pytest.mark.parametrize("up", ["x", "y", "z", "-x", "-y", "-z", "+z"])
def test_what_is_up_in_a_file_stands_upright(call, tmp_path, up, suffix):
    """The Gaussian on the up axis of the file, as another program shows its numbers, is on top afterwards."""
    gaussians = gaussians_from(known_splats(1)[:3])
    top = np.array(SIDE[up[-1]]) * (-1 if up[0] == "-" else 1)
    in_file = np.array([5 * top, 2 * np.roll(np.abs(top), 1), 3 * np.roll(np.abs(top), 2)])
    # A GLB has +Y up and a PLY +Y down: in our arrays, both are in the axes of a PLY.
    gaussians.means[:] = in_file * ((1, -1, -1) if suffix == ".glb" else (1, 1, 1))
    write_splats(gaussians, tmp_path / f"scan{suffix}")
    assert call("convert", tmp_path / f"scan{suffix}", tmp_path / "up.ply", "--up", up)[0] == 0
    found = y_up(tmp_path / "up.ply")
    np.testing.assert_allclose(found[0], (0, 5, 0), atol=1e-5)
    # Nothing is mirrored.
    assert np.linalg.det(found) == pytest.approx(np.linalg.det(in_file), abs=1e-4)
    # With +Z up, +Y points away, as in Blender.
    if up.endswith("z") and up[0] != "-":
        np.testing.assert_allclose(found[np.argmax(in_file[:, 1])], (0, 0, -in_file[:, 1].max()), atol=1e-5)


def test_up_turns_ellipsoids_and_colors_too(call, scene, tmp_path):
    """As --rotate by the same turn does."""
    assert call("convert", scene, tmp_path / "up.ply", "--up", "z")[0] == 0
    # In the axes of the actions, +Z of a PLY points away.
    assert call("convert", scene, tmp_path / "rotated.ply", "--rotate", "90,0,0")[0] == 0
    up, rotated = (
        appearance(splats_from(read_splats(tmp_path / name).gaussians)) for name in ("up.ply", "rotated.ply")
    )
    check_same(up, rotated, Tolerance(center=1e-6))


@pytest.mark.parametrize(
    ("engine", "name", "loaded"),
    [
        # What the engine makes of the file's numbers, as tests/engines measures it: +Y is up in all of them.
        ("three", "a.ply", np.eye(3)),
        ("three", "a.spz", np.eye(3)),
        ("playcanvas", "a.ply", np.eye(3)),
        ("playcanvas", "a.compressed.ply", np.eye(3)),
        ("playcanvas", "a.glb", np.eye(3)),
        ("babylon", "a.ply", np.diag([1.0, -1, 1])),
        ("babylon", "a.spz", np.diag([1.0, -1, 1])),
        ("babylon", "a.glb", np.diag([-1.0, 1, 1])),
    ],
)
def test_files_stand_upright_in_engines(call, scene, tmp_path, engine, name, loaded):
    assert call("convert", scene, tmp_path / name, "--engine", engine)[0] == 0
    centers = read_splats(tmp_path / name).gaussians.means.astype(float)
    # The numbers in the file: those of SPZ and GLB are in other axes than those of a PLY.
    in_file = centers if name.endswith(".ply") else centers * (1, -1, -1)
    in_engine = in_file @ loaded.T
    # Babylon is left-handed: +Z points away from the viewer.
    expected = CENTERS * ((1, 1, -1) if engine == "babylon" else (1, 1, 1))
    order = np.linalg.norm(in_engine[None] - expected[:, None], axis=2).argmin(1)
    np.testing.assert_allclose(in_engine[order], expected, atol=2e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--up", "w"], "--up has the value 'w', needs an axis"),
        (["--up", "zz"], "--up has the value"),
        (["--engine", "unity"], "how unity loads splats has not been measured"),
    ],
)
def test_other_axes_and_engines_are_one_error(call, scene, tmp_path, words, message):
    code, out, err = call("convert", scene, tmp_path / "out.ply", *words)
    assert (code, out) == (1, "")
    assert message in err
    assert not (tmp_path / "out.ply").exists()


# ---- export ----


@pytest.fixture
def ball(tmp_path) -> Path:
    """A splat file of a ball of two units whose upper half is red, and whose lower half is green."""
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    rgb = np.where(normals[:, 1:2] < 0, (0.9, 0.1, 0.1), (0.1, 0.7, 0.1))
    gaussians = Gaussians(
        means=(2 * normals + (5, 1, 0)).astype(np.float32),
        quats=np.tile(np.float32([1, 0, 0, 0]), (4000, 1)),
        log_scales=np.full((4000, 3), np.log(0.06), np.float32),
        logit_opacities=np.full(4000, 4, np.float32),
        sh=((rgb - 0.5) * 2 * np.sqrt(np.pi)).astype(np.float32)[:, None],
    )
    path = tmp_path / "ball.ply"
    write_splats(gaussians, path)
    return path


@pytest.fixture
def small_pictures(monkeypatch):
    """Render small pictures of a splat file for its mesh."""
    monkeypatch.setattr("img2world.export.pictures.SIZE", 128)


def test_a_splat_file_becomes_a_mesh_a_turntable_and_a_page(call, ball, small_pictures, tmp_path):
    options = ["mesh.resolution=48", "mesh.picture_size=96", "turntable.seconds=0.2"]
    words = [word for option in options for word in ("--set", f"export.{option}")]
    out = tmp_path / "new" / "files"
    code, stdout, _ = call("export", ball, *words, "--out", out)
    assert code == 0
    names = ["mesh.glb", "turntable.mp4", "world.html"]
    assert stdout.splitlines() == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == names
    (mesh,) = trimesh.load_scene(out / "mesh.glb", process=False).geometry.values()
    # In the units and at the place of the file, +Y up.
    np.testing.assert_allclose(mesh.bounds, [[3, -3, -2], [7, 1, 2]], atol=0.2)
    red, green = (mesh.visual.to_color().vertex_colors[:, channel].astype(int) for channel in (0, 1))
    assert (red - green > 60)[mesh.vertices[:, 1] > -0.7].mean() > 0.93
    assert (green - red > 60)[mesh.vertices[:, 1] < -1.3].mean() > 0.93
    with av.open(str(out / "turntable.mp4")) as video:
        first = next(video.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    height, width = first.shape[:2]
    above, below = first[height // 2 - 30, width // 2], first[height // 2 + 60, width // 2]
    assert above[0] - above[1] > 60
    assert below[1] - below[0] > 60


def test_all_files_of_a_mesh_are_written(call, ball, small_pictures, tmp_path):
    options = {"resolution": 32, "picture_size": 48, "texture_size": 32, "lods": 1, "files": "glb,obj"}
    words = [word for name, option in options.items() for word in ("--set", f"export.mesh.{name}={option}")]
    code, stdout, _ = call("export", ball, "mesh", *words, "--out", tmp_path / "a")
    assert code == 0
    names = sorted(f"mesh{level}.{suffix}" for level in ("", "_lod1") for suffix in ("glb", "mtl", "obj", "png"))
    assert stdout.splitlines() == [str(tmp_path / "a" / name) for name in names]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names


def test_a_splat_file_becomes_a_dataset_of_pictures_of_it(call, ball, tmp_path):
    assert call("export", ball, "dataset", "--out", tmp_path / "a")[0] == 0
    transforms = json.loads((tmp_path / "a" / "dataset" / "transforms.json").read_text())
    assert len(transforms["frames"]) == 32
    with Image.open(tmp_path / "a" / "dataset" / "images" / "0000.png") as picture:
        rgb = np.asarray(picture)[..., :3].astype(int)
    assert rgb.shape == (512, 512, 3)
    assert rgb[200, 256, 0] - rgb[200, 256, 1] > 60
    assert rgb[320, 256, 1] - rgb[320, 256, 0] > 60


def test_a_splat_file_is_exported_in_other_formats(call, ball, tmp_path):
    code, stdout, stderr = call("export", ball, "--set", "export.formats=spz,sog", "--out", tmp_path / "a", "--json")
    assert code == 0
    events = [json.loads(line) for line in stdout.splitlines()]
    assert events[-1]["files"] == [str(tmp_path / "a" / name) for name in ("scene.spz", "scene.sog")]
    assert len(read_splats(tmp_path / "a" / "scene.spz").gaussians) == 4000
    assert stderr == ""


def test_native_readers_print_nothing(scene, tmp_path):
    """One of them prints into standard output, which carries JSON."""
    ended = piped(["export", str(scene), "spz", "--out", str(tmp_path / "a"), "--json"], b"")
    assert [json.loads(line)["event"] for line in ended.stdout.splitlines()][-1] == "finished"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--set", "splat.steps=5"], "splat.steps=5 means nothing to a splat file", "export.mesh.max_faces"),
        (["nothing"], "nothing", ""),
    ],
)
def test_what_a_splat_file_lacks_is_one_line_with_a_command(call, scene, tmp_path, words, message, hint):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call("export", scene, *words, "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert message in err
    assert hint.format(scene=scene) in err
    assert len(err.splitlines()) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_export_leaves_no_folder(call, tmp_path):
    empty = np.zeros((3, 3), np.float32)
    quats = np.tile(np.float32([1, 0, 0, 0]), (3, 1))
    faint = Gaussians(
        means=empty, quats=quats, log_scales=empty - 9, logit_opacities=empty[:, 0] - 2, sh=empty[:, None]
    )
    write_splats(faint, tmp_path / "faint.ply")
    code, out, err = call("export", tmp_path / "faint.ply", "mesh", "--out", tmp_path / "out")
    assert (code, out, "surface" in err) == (1, "", True), err
    assert not (tmp_path / "out").exists()


def test_exports_of_other_files_and_runs(call, scene, finished, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    code, _, err = call("export", tmp_path / "photo.jpg", "--out", tmp_path / "out")
    assert (code, "no splat format" in err) == (1, True)
    assert "remov" not in err
    assert (tmp_path / "photo.jpg").exists()
    code, _, err = call("export", finished, "--out", tmp_path / "out")
    assert (code, "only a splat file needs --out" in err) == (2, True)
    code, _, err = call("export", scene, "--size", 2, "--out", tmp_path / "out")
    assert (code, "convert --scale" in err) == (2, True)
    assert not (tmp_path / "out").exists()


# ---- render ----


def test_pictures_are_rendered_with_progress(call, ball, tmp_path, monkeypatch):
    """In a log, one line says how far it is."""
    monkeypatch.setattr("img2world.cli.progress.LINE_SECONDS", 0.0)
    code, out, err = call("render", ball, "--orbit", "--views", "3", "--size", "64", "--out", tmp_path / "frames")
    assert (code, "3 pictures of 64x48" in out) == (0, True)
    assert err.splitlines()[0].startswith("render  1 of 3")
    assert len(list((tmp_path / "frames").glob("*.png"))) == 3


@pytest.mark.parametrize("name", ["frame.png", "turn.gif"])
def test_pictures_are_not_written_into_a_folder_named_as_a_file(call, ball, tmp_path, name):
    code, out, err = call("render", ball, "--orbit", "--views", "3", "--size", "64", "--out", tmp_path / name)
    assert (code, out, "name of an .mp4 file" in err) == (1, "", True)
    assert not (tmp_path / name).exists()


def test_a_missing_file_is_said_before_missing_cameras(call, tmp_path):
    code, _, err = call("render", tmp_path / "missing.ply", "--out", tmp_path / "out")
    assert (code, "missing.ply" in err) == (1, True)


def test_a_missing_file_cannot_be_viewed(call, tmp_path):
    code, _, err = call("view", tmp_path / "missing.ply")
    assert (code, "there is nothing at" in err) == (1, True)


def test_an_export_needs_a_folder_that_can_be_made(call, ball):
    code, _, stderr = call("export", ball, "ply", "--out", ball)
    assert code == 1
    assert "no folder can be made here" in stderr
    assert "--out" in stderr


def test_a_file_of_what_moves_is_played(tmp_path):
    scene = moving_scene(20)
    write_splats(scene.gaussians, tmp_path / "arm.i2w", {"motion": scene.motion})
    text = page_of_file(tmp_path / "arm.i2w")
    assert 'id="player"' in text
    _, gaussians, motion = read_world_html(text)
    # The page has units of its own; what does not change is how far it goes, relative to the whole.
    sizes = (
        np.ptp(scene.at(0.0).means, axis=0).max(),
        np.ptp(motion.move(gaussians.means, gaussians.quats, 0.0)[0], axis=0).max(),
    )
    way = scene.at(1.5).means - scene.at(0.0).means
    found = (
        motion.move(gaussians.means, gaussians.quats, 1.5)[0] - motion.move(gaussians.means, gaussians.quats, 0.0)[0]
    )
    np.testing.assert_allclose(found / sizes[1], way / sizes[0], atol=2e-3)
