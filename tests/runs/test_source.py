import os
import shutil
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from img2world.core.errors import ImageError, RecipeError
from img2world.pipeline import run
from img2world.runs.recipe import load_recipe
from img2world.runs.source import find_source


def test_photos_of_a_dataset_are_found_in_its_images_folder(tmp_path, picture):
    dataset = tmp_path / "buddha"
    (dataset / "images").mkdir(parents=True)
    (dataset / "README.md").write_text("Photos of a statue.")
    picture.rename(dataset / "images" / "0.png")
    found = find_source(dataset)
    assert (found.kind, found.name, found.path.name) == ("photos", "buddha", "images")


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
