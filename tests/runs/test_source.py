import json
import os
import shutil
from pathlib import Path

import dialects
import pytest
from PIL import Image as PillowImage

from img2world.core.cameras import load_cameras
from img2world.core.errors import ImageError, RecipeError
from img2world.core.frames import Frames
from img2world.pipeline import run
from img2world.runs.recipe import load_recipe
from img2world.runs.report import summary_lines
from img2world.runs.source import RECIPES, find_source


def test_photos_of_a_dataset_are_found_in_its_images_folder(tmp_path, picture):
    dataset = tmp_path / "buddha"
    (dataset / "images").mkdir(parents=True)
    (dataset / "README.md").write_text("Photos of a statue.")
    picture.rename(dataset / "images" / "0.png")
    found = find_source(dataset)
    assert (found.kind, found.name, found.path.name) == ("photos", "buddha", "images")


def test_a_folder_of_one_video_names_the_command_for_it(tmp_path):
    (tmp_path / "one clip.mp4").write_bytes(b"")
    with pytest.raises(ImageError, match="a single video") as caught:
        find_source(tmp_path)
    assert caught.value.hint.endswith(f"img2world run '{tmp_path}/one clip.mp4'")


def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="neither a file nor a folder"):
            find_source(path)
        with pytest.raises(RecipeError, match=r"trajectory\.path is neither a file nor a folder"):
            load_recipe("auto", ["trajectory.name=file", f"trajectory.path={path}"])


@pytest.fixture
def photos(tmp_path, picture):
    """A folder of two photos, one with a mask."""
    folder = tmp_path / "photos"
    (folder / "masks").mkdir(parents=True)
    for name in ("a.png", "masks/a.png"):
        shutil.copy(picture, folder / name)
    with PillowImage.open(picture) as image:
        image.transpose(PillowImage.Transpose.ROTATE_180).save(folder / "b.png")
    return folder


@pytest.mark.parametrize("name", [".DS_Store", ".hidden.png", "Thumbs.db", "notes.txt", "runs/photos/frames/0000.png"])
def test_only_photos_count(photos, name):
    before = find_source(photos).digest
    (photos / name).parent.mkdir(parents=True, exist_ok=True)
    if name.startswith("runs/"):
        (photos / "runs" / "photos" / "run.json").write_text("{}")
    (photos / name).write_bytes(b"no photo of this folder")
    assert find_source(photos).digest == before


@pytest.mark.parametrize("name", ["b.png", "masks/a.png", "c.png"])
def test_every_photo_and_mask_counts(photos, name):
    before = find_source(photos).digest
    (photos / name).write_bytes(b"another photo")
    assert find_source(photos).digest != before


def test_a_run_folder_may_lie_among_the_photos(photos, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "masks" / "a.png").unlink()
    for how in ("done", "skip"):
        events = []
        run(find_source(Path(".")), load_recipe("photos"), Path("runs/photos"), last="video", listen=events.append)
        assert [event.kind for event in events if event.stage == "video"][-1] == how


def test_posed_datasets_are_found_and_only_what_is_read_of_them_counts(tmp_path):
    folder = dialects.write_nerfstudio(tmp_path / "scan", dialects.some_truth())
    found, named = find_source(folder), find_source(folder / "transforms.json")
    assert (found.kind, found.name, RECIPES[found.kind]) == ("dataset", "scan", "dataset")
    assert (named.kind, named.name, named.digest) == ("dataset", "scan", found.digest)
    assert find_source(folder / "images").kind == "photos"
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "runs").mkdir()
    assert find_source(folder).digest == found.digest
    for name in ("images/frame_00001.png", "transforms.json", "sparse_pc.ply"):
        before = find_source(folder).digest
        (folder / name).write_bytes((folder / name).read_bytes() + b"\n")
        assert find_source(folder).digest != before


def test_a_dataset_becomes_frames_with_cameras_and_an_inventory(tmp_path):
    folder = dialects.write_colmap(tmp_path / "scan", dialects.some_truth())
    (folder / "images" / "extra.png").write_bytes((folder / "images" / "IMG_0.png").read_bytes())
    out = tmp_path / "run"
    with pytest.warns(UserWarning, match="5 of 6 pictures used: 1 picture without a camera; COLMAP cameras"):
        report = run(find_source(folder), load_recipe("dataset"), out, last="video")
    assert report["inventory"]["used"] == [f"images/IMG_{i}.png" for i in range(5)]
    assert json.loads((out / "inventory.json").read_text()) == report["inventory"]
    assert any(line.split()[:3] == ["source", "5", "of"] for line in summary_lines(out, report))
    frames = Frames.load(out / "frames")
    assert frames.cameras is not None
    assert frames.points is not None
    assert len(frames.points) == 40


def test_a_camera_path_in_json_is_no_dataset(tmp_path, picture):
    path = dialects.write_nerfstudio(tmp_path / "scan", dialects.some_truth()) / "transforms.json"
    shutil.rmtree(tmp_path / "scan" / "images")
    recipe = load_recipe("fast", ["trajectory.name=file", f"trajectory.path={path}", "trajectory.size=64"])
    run(find_source(picture), recipe, tmp_path / "run", last="trajectory")
    assert load_cameras(tmp_path / "run" / "trajectory.json").width == 64
