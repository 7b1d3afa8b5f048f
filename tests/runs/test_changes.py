"""What a run says about the products of an earlier run with other options."""

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import MissingPackageError, RunFolderError
from img2world.pipeline import STAGES, begin, run
from img2world.runs.changes import find_changes
from img2world.runs.folder import RunFolder
from img2world.runs.recipe import load_recipe, recipe_text
from img2world.runs.source import find_source, source_of_run


@pytest.fixture
def copy(finished, tmp_path):
    """A run folder that may be changed."""
    return shutil.copytree(finished, tmp_path / "run")


def changes(copy, *options):
    with RunFolder.open(copy) as folder:
        return find_changes(folder, load_recipe(str(copy / "recipe.toml"), options), STAGES)


def test_changed_options_and_what_depends_on_them_are_named(copy):
    found = changes(copy, "splat.steps=10", "splat.holdout_every=3", "export.formats=ply")
    assert found.options == ["splat.steps was 20", "splat.holdout_every was 8"]
    assert found.remade == ["splat", "measure", "quality", "comparison", "export"]
    assert found.deleted == ["html"]
    assert found.line() == (
        "this run was made with other options (splat.steps was 20, splat.holdout_every was 8): "
        "replaces splat, measure, quality, comparison, export; deletes html"
    )


def test_another_backend_is_one_change(copy):
    found = changes(copy, "video.name=nano")
    assert found.options == ["video.name was synthetic"]
    assert found.remade == ["video", "doctor", "poses", "splat", "measure", "quality", "comparison", "export"]
    assert changes(copy, "seed=1").options == ["seed was 0"]


@pytest.mark.parametrize("options", [(), ("metric=1.8",), ("export.ply.full_sh=true",), ("export.formats=ply,mesh",)])
def test_files_that_are_quickly_written_again_are_no_news(copy, options):
    assert changes(copy, *options).remade == []


def test_a_new_or_unfinished_run_has_nothing_to_replace(copy, tmp_path):
    with RunFolder.open(tmp_path / "new") as folder:
        assert find_changes(folder, load_recipe("auto"), STAGES).remade == []
    with RunFolder.open(copy) as folder:
        folder.forget()
    assert changes(copy, "splat.steps=10").remade == []


def test_a_subject_that_is_asked_for_later_replaces_the_scene(tmp_path):
    def make(path, progress):
        (path / "scene").mkdir()
        (path / "scene" / "scene.safetensors").write_text("")
        return {}

    with RunFolder.open(tmp_path / "run") as folder:
        (folder.path / "recipe.toml").write_text(recipe_text(load_recipe("photos")))
        folder.stage("splat", options={}, reads={}, make=make)
        found = find_changes(folder, load_recipe("photos", ["subject.kind=object"]), STAGES)
        assert (found.options, found.remade) == (["subject.kind was auto"], ["splat"])
        # Captures of scenes are not cut out.
        assert find_changes(folder, load_recipe("photos", ["subject.model=none"]), STAGES).remade == []


def test_a_run_says_what_it_replaces_and_a_single_stage_does_not(copy, picture):
    def messages(*options, **how):
        recipe = load_recipe(str(copy / "recipe.toml"), options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run(find_source(picture), recipe, copy, **how)
        return [str(warning.message) for warning in caught if "other options" in str(warning.message)]

    assert messages("splat.steps=10", last="splat") == []
    [message] = messages("splat.steps=12")
    assert "splat.steps was 10" in message
    assert messages("splat.steps=12") == []
    assert messages("splat.steps=14", fresh=STAGES) == []


def test_a_missing_program_is_noticed_before_anything_is_replaced(copy, picture, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_NERFSTUDIO_BIN", str(copy))
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != ".lock"}
    options = ["trajectory.num_views=8", "splat.name=nerfstudio"]
    recipe = load_recipe(str(copy / "recipe.toml"), options)
    with pytest.raises(MissingPackageError, match="ns-train is not in"):
        run(find_source(picture), recipe, copy)
    assert {path: path.read_bytes() for path in before} == before
    # The video can be made without it.
    run(find_source(picture), recipe, copy, last="video")


def test_photos_that_were_moved_or_removed_are_no_change_and_changed_ones_are_told(tmp_path):
    photos, moved, out = tmp_path / "photos", tmp_path / "moved", tmp_path / "run"
    photos.mkdir()
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 255, (32, 48, 3), dtype=np.uint8)
        PillowImage.fromarray(noise).save(photos / f"{i}.jpg")
    told = []

    def go(source):
        told.clear()
        run(source, load_recipe("photos"), out, last="video", listen=lambda event: told.append(event.kind))

    go(find_source(photos))
    photos.rename(moved)
    with RunFolder.open(out) as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        begin(folder, find_source(moved), load_recipe("photos"), fresh=(), last=STAGES[-1])
    go(find_source(moved))
    assert told == ["skip"]
    (moved / "3.jpg").write_bytes((moved / "2.jpg").read_bytes())
    with pytest.raises(RunFolderError, match="a run of moved as it was before it changed"):
        go(find_source(moved))
    shutil.rmtree(moved)
    go(source_of_run(out))
    assert told == ["skip"]
