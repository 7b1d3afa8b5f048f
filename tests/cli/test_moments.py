"""`img2world convert`, `inspect`, `render` and `export` of files in which something moves."""

import json

import av
import numpy as np
import pytest
import trimesh

from img2world.formats.files import read_splats, write_splats
from tests.moving import moving_scene


@pytest.fixture(scope="module")
def scene():
    return moving_scene(15)


@pytest.fixture
def moving(tmp_path, scene):
    """An exact .i2w of the moving scene."""
    options = {"motion": scene.motion, "background": scene.background, "is_object": True, "exact": True}
    write_splats(scene.gaussians, tmp_path / "scene.i2w", options)
    return tmp_path / "scene.i2w"


def test_a_still_file_is_of_the_first_key_or_of_the_time_told(call, moving, scene, tmp_path):
    with pytest.warns(UserWarning, match="first key"):
        code, _, _ = call("convert", moving, tmp_path / "first.ply")
    assert code == 0
    code, _, err = call("convert", moving, tmp_path / "later.ply", "--time", "1.3")
    assert (code, err) == (0, "")
    for name, time in (("first", 0.0), ("later", 1.3)):
        np.testing.assert_allclose(trimesh.load(tmp_path / f"{name}.ply").vertices, scene.at(time).means, atol=1e-6)


@pytest.mark.parametrize(("target", "suffix"), [("frames/*.spz", ".spz"), ("frames/", ".ply")])
def test_a_pattern_or_a_folder_gets_all_frames(call, moving, scene, tmp_path, target, suffix):
    code, out, _ = call("convert", moving, f"{tmp_path}/{target}", "--fps", "4", "--json")
    assert (code, json.loads(out)["frames"]) == (0, 9)
    manifest = json.loads((tmp_path / "frames" / "manifest.json").read_text())
    assert manifest["frames"][6] == f"frame_0006{suffix}"
    found = read_splats(tmp_path / "frames" / manifest["frames"][6]).gaussians
    np.testing.assert_allclose(found.means, scene.at(1.5).means, atol=1e-6)
    code, _, err = call("convert", moving, f"{tmp_path}/{target}")
    assert (code, "there are files" in err) == (1, True)
    code, out, _ = call("inspect", tmp_path / "frames", "--json")
    assert json.loads(out)["details"]["frames"] == 9


def test_actions_move_the_motion_as_well(call, moving, scene, tmp_path):
    """A quarter turn about +Y takes +X away from the viewer."""
    words = ["--scale", "2", "--rotate", "0,90,0", "--translate", "0,1,0", "--crop-sphere", "0,1,0,0.7"]
    code, _out, _ = call("convert", moving, tmp_path / "moved.i2w", *words)
    assert code == 0
    file = read_splats(tmp_path / "moved.i2w")
    rest = scene.gaussians.means * [1, -1, -1] * 2  # +Y up
    kept = np.linalg.norm(rest, axis=1) <= 0.7
    assert 0 < kept.sum() == len(file.gaussians) < 60
    for time in (0.0, 1.2):
        x, y, z = (2 * scene.at(time).means[kept] * [1, -1, -1]).T
        expected = np.stack([z, y + 1, -x], 1)
        np.testing.assert_allclose(file.at(time).means * [1, -1, -1], expected, atol=2 * 2 / 255)


def test_formats_with_time_keep_it_and_tell_what_is_not_read(call, moving, tmp_path):
    for name, unread in (("a.usdc", "24 of 25 time samples"), ("a.brush.zip", "48 of 49 frames")):
        code, _, err = call("convert", moving, tmp_path / name, *(["--fps", "12"] if name == "a.usdc" else []))
        assert (code, err) == (0, "")
        with pytest.warns(UserWarning, match=unread):
            assert call("convert", tmp_path / name, tmp_path / "b.ply")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out.ply", "--time", "2.5"], "the motion lasts from 0 to 2 s"),
        (["out.i2w", "--lod", "2"], "levels of detail are made of one moment"),
        (["out.i2w", "--decimate", "50%"], "cannot join Gaussians that move apart"),
        (["frames/*.usdc"], "not written as a sequence"),
        (["out.i2w", "--time", "1"], "nothing moves in it"),
    ],
)
def test_what_cannot_be_is_one_error(call, moving, tmp_path, words, message):
    code, _, err = call("convert", moving, tmp_path / words[0], *words[1:])
    assert (code, message in err) == (1, True)


def test_a_still_file_has_no_moments(call, moving, tmp_path):
    call("convert", moving, tmp_path / "still.ply", "--time", "0")
    for words in (["a.ply", "--time", "0"], ["a.i2w"], ["folder/"]):
        code, _, err = call("convert", tmp_path / "still.ply", f"{tmp_path}/{words[0]}", *words[1:])
        assert (code, "nothing moves" in err) == (1, True)


def test_people_are_told_how_it_moves(call, moving):
    code, out, _ = call("inspect", moving)
    assert code == 0
    assert "2 s, 5 keys, 3 bones; " in out
    assert "25% come or go" in out


def test_files_that_move_are_exported_and_rendered(call, moving, tmp_path):
    options = ["turntable.seconds=1", "turntable.fps=4", "turntable.size=64"]
    words = [word for option in options for word in ("--set", f"export.{option}")]
    code, _, _ = call("export", moving, "turntable", "i2w", "spz-sequence", *words, "--out", tmp_path / "out")
    assert code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"turntable.mp4", "scene.i2w", "spz-sequence"}
    code, _, _ = call(
        "render", moving, "--orbit", "--views", "16", "--size", "64", "--fps", "4", "--out", tmp_path / "o.mp4"
    )
    assert code == 0
    with av.open(str(tmp_path / "o.mp4")) as video:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]).astype(int)
    yellow = ((frames[..., 0] > 150) & (frames[..., 1] > 150) & (frames[..., 2] < 120)).sum((1, 2))
    assert yellow[0] == 0
    assert yellow[7] > 20
    assert yellow[15] == 0
