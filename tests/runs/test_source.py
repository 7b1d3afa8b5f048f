import os
from pathlib import Path

import pytest

from img2world.core.errors import ImageError, RecipeError
from img2world.runs.recipe import load_recipe
from img2world.runs.source import find_source


def test_photos_of_a_dataset_are_found_in_its_images_folder(tmp_path, picture):
    dataset = tmp_path / "buddha"
    (dataset / "images").mkdir(parents=True)
    (dataset / "README.md").write_text("Photos of a statue.")
    picture.rename(dataset / "images" / "0.png")
    found = find_source(dataset)
    assert (found.kind, found.name, found.path.name) == ("photos", "buddha", "images")


def test_what_never_ends_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="neither a file nor a folder"):
            find_source(path)
        with pytest.raises(RecipeError, match=r"trajectory\.path is neither a file nor a folder"):
            load_recipe("auto", ["trajectory.name=file", f"trajectory.path={path}"])
