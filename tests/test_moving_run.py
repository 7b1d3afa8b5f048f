"""Whole runs of what moves, on renders of a mesh that moves."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as PillowImage

from evaluation.moving_scenes import make_scene, render_scene, ring_of_cameras
from img2world.core.cameras import save_cameras
from img2world.core.errors import RunFolderError
from img2world.core.frames import Frames
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.pipeline import run
from img2world.runs.recipe import load_recipe
from img2world.runs.report import summary_lines
from img2world.runs.source import find_source

COUNT, TIMES, SIZE = 4, 4, 48
TINY = (
    "splat.steps=4", "splat.static_steps=10", "splat.sweep_steps=1", "splat.max_gaussians=300", "splat.num_bones=4",
    "export.formats=i2w",
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """A box that opens, by viewpoint and time."""
    cameras = ring_of_cameras(COUNT, SIZE).select(np.repeat(np.arange(COUNT), TIMES))
    seen = render_scene(make_scene("hinged box", 0), cameras, np.tile(np.linspace(0, 1, TIMES), COUNT))
    return seen.views.rgb.reshape(COUNT, TIMES, SIZE, SIZE, 3)


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory) -> Path:
    """A folder of frames for each camera, with the cameras."""
    root = tmp_path_factory.mktemp("sets") / "box"
    for i, clip in enumerate(pictures):
        (root / f"cam_{i}").mkdir(parents=True)
        for k, rgb in enumerate(clip):
            PillowImage.fromarray(rgb).save(root / f"cam_{i}" / f"{k:02d}.png")
    save_cameras(ring_of_cameras(COUNT, SIZE), root / "transforms.json", [f"cam_{i}" for i in range(COUNT)])
    return root


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "box"
    source = find_source(folder)
    run(source, load_recipe(source.default_recipe, TINY), out)
    return out


def test_a_folder_of_cameras_becomes_a_scene_that_moves(finished, pictures):
    frames, views = Frames.load(finished / "frames"), Views.load(finished / "views")
    scene = Scene.load(finished / "scene" / "scene.safetensors")
    assert np.array_equal(frames.rgb, pictures.swapaxes(0, 1).reshape(-1, SIZE, SIZE, 3))
    assert views.times is not None
    assert np.array_equal(views.times, frames.times)
    assert scene.motion is not None
    assert np.allclose(scene.motion.key_times, np.unique(views.times))
    report = json.loads((finished / "report.json").read_text())
    assert (report["source"]["kind"], report["cameras"]["grade"]) == ("videos", "B")
    assert report["motion"] == "4 times; 100% of the sides were seen at some time, 100% at any one time"
    assert any(line.split()[0] == "motion" for line in summary_lines(finished, report) if line)
    with av.open(str(finished / "video.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.frames, stream.width, stream.height) == (TIMES, 2 * SIZE, 2 * SIZE)
        assert stream.average_rate == 24
    page = (finished / "report.html").read_text()
    assert "from all viewpoints at the same times" in page
    assert page.count('id="frame-') == COUNT * TIMES
    assert "pictures of several cameras at the same times" in page
    assert "What it shows moves, at 4 times" in page


def test_a_finished_run_is_kept_and_another_frame_makes_it_anew(finished, folder, tmp_path):
    copy, out = shutil.copytree(folder, tmp_path / "box"), shutil.copytree(finished, tmp_path / "run")
    events = []
    source = find_source(copy)
    run(source, load_recipe("moving", TINY), out, last="splat", listen=events.append)
    assert {event.kind for event in events} <= {"skip", "start"} - {"done"}
    with PillowImage.open(copy / "cam_3" / "03.png") as picture:
        picture.transpose(PillowImage.Transpose.FLIP_LEFT_RIGHT).save(copy / "cam_3" / "03.png")
    with pytest.raises(RunFolderError, match="as it was before it changed"):
        run(find_source(copy), load_recipe("moving", TINY), out, last="splat")


def test_a_run_that_is_stopped_in_its_stages_ends_with_the_same_bytes(finished, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_THREADS", "1")
    out, stopped = tmp_path / "run", []

    def stop(event):
        if event.stage in ("poses", "splat", "export.i2w") and event.stage not in stopped and event.kind != "start":
            stopped.append(event.stage)
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(find_source(folder), load_recipe("moving", TINY), out, listen=stop)
    run(find_source(folder), load_recipe("moving", TINY), out, listen=stop)
    assert stopped == ["poses", "splat", "export.i2w"]
    for name in ("video.mp4", "views/transforms.json", "scene/scene.safetensors", "exports/scene.i2w"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


def test_a_grid_is_chosen_on_the_command_line(pictures, tmp_path, call):
    PillowImage.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in pictures])).save(
        tmp_path / "grid.png"
    )
    save_cameras(ring_of_cameras(COUNT, SIZE), tmp_path / "path.json")
    out = tmp_path / "run"
    words = [word for change in TINY for word in ("--set", change)]
    words += ["--grid", f"{COUNT}x{TIMES}", "--set", f"video.cameras={tmp_path / 'path.json'}"]
    code, _, told = call("run", tmp_path / "grid.png", "--out", out, *words)
    assert code == 0, told
    assert np.array_equal(Frames.load(out / "frames").rgb, pictures.swapaxes(0, 1).reshape(-1, SIZE, SIZE, 3))
    assert json.loads((out / "report.json").read_text())["source"]["kind"] == "matrix"
    # The recipe of the run alone says the same.
    code, told, more = call("run", tmp_path / "grid.png", "--out", out, "--recipe", out / "recipe.toml")
    assert code == 0
    assert "splat  kept" in told + more


def test_qualities_of_what_stands_still_are_refused_in_one_line(folder, call):
    code, _, told = call("run", folder, "--quality", "draft")
    assert code == 1
    assert "--quality is for what stands still" in told
