import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from img2world.core.errors import Img2WorldError, RecipeError
from img2world.core.resources import resource_folder
from img2world.runs.options import coerce, did_you_mean, option_docs, option_types, toml_text
from img2world.runs.recipe import EXPORTERS, QUALITIES, TABLES, backend_class, load_recipe, recipe_names, recipe_text

ALL_BACKENDS = [(stage, name) for stage, table in {**TABLES, "export": EXPORTERS}.items() for name in table]


@dataclass(frozen=True, kw_only=True)
class Everything:
    """One option of each type."""

    flag: bool = False
    count: int = 3
    """How many
    there are."""
    share: float = 0.5
    word: str = "a"
    place: Path = Path("here")
    kind: Literal["x", "y", 3] = "x"
    maybe: float | None = None
    numbers: tuple[float, ...] = ()


@pytest.mark.parametrize("name", recipe_names())
def test_saved_recipe_is_the_same_recipe(name, tmp_path):
    recipe = load_recipe(name, ["seed=7"])
    path = tmp_path / "saved.toml"
    path.write_text(recipe_text(recipe))
    assert load_recipe(str(path)) == recipe
    assert tomllib.loads(path.read_text())["seed"] == 7


def test_saved_recipe_holds_every_option():
    table = tomllib.loads(recipe_text(load_recipe("auto")))
    assert set(table["splat"]) == {"name", *option_types(backend_class("gaussians", TABLES["splat"], ""))}


@pytest.mark.parametrize(("stage", "name"), ALL_BACKENDS)
def test_every_registered_backend_can_be_made_and_saved(stage, name):
    kind = backend_class(name, {**TABLES, "export": EXPORTERS}[stage], stage)
    backend = kind()
    for option, value in ((option, getattr(backend, option)) for option in option_types(kind)):
        text = tomllib.loads(f"x = {toml_text(value)}")["x"]
        assert coerce(text, option_types(kind)[option], option) == value
    assert kind.__doc__
    assert not kind.__doc__.startswith(kind.__name__ + "("), "the docstring is the one dataclass makes up"


def test_set_changes_one_field_and_nothing_else():
    before, after = load_recipe("auto"), load_recipe("auto", ["splat.steps=150"])
    assert after.splat.steps == 150
    assert before.splat != after.splat
    assert (before.video, before.poses, before.exports) == (after.video, after.poses, after.exports)


def test_set_reaches_exports_and_seed():
    recipe = load_recipe("auto", ["export.formats=mesh,ply", "export.mesh.max_faces=1234", "seed=5"])
    assert list(recipe.exports) == ["mesh", "ply"]
    assert recipe.exports["mesh"].max_faces == 1234
    assert recipe.seed == 5


def test_changed_name_drops_the_old_backends_options_but_not_the_new_ones(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[video]\nname = "file"\nmax_photos = 9\n')
    recipe = load_recipe(str(path), ["video.num_frames=4", "video.name=synthetic"])
    assert type(recipe.video).__name__ == "SyntheticVideo"
    assert recipe.video.num_frames == 4


def test_path_of_a_source_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("video", ["video.path=walk.mp4"])
    assert Path(recipe.video.path) == tmp_path / "walk.mp4"


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ("splat.step=3", "splat has no step", "did you mean steps"),
        ("splatt.steps=3", "no splatt", "did you mean splat"),
        ("splat.name=gausians", "splat has no gausians", "did you mean gaussians"),
        ("splat.steps=many", "splat.steps is 'many', needs a whole number", "models"),
        ("splat.steps=1.5", "needs a whole number", "models"),
        ("splat.steps=true", "needs a whole number", "models"),
        ("splat.means_lr=nan", "needs a number", "models"),
        ("splat.means_lr=inf", "needs a number", "models"),
        ("splat.means_lr=-1e-3", "splat.means_lr is -0.001, needs at least 0", "range"),
        ("splat.steps=-1", "splat.steps is -1, needs at least 0", "range"),
        ("splat.max_gaussians=-1", "splat.max_gaussians is -1, needs at least 0", "range"),
        ("splat.dssim_fraction=1.1", "splat.dssim_fraction is 1.1, needs 0 to 1", "range"),
        ("video.supersample=0", "video.supersample is 0, needs 1 to 16", "range"),
        ("export.mesh.resolution=1", "export.mesh.resolution is 1, needs at least 8", "range"),
        ("export.mesh.max_faces=0", "export.mesh.max_faces is 0, needs at least 4", "range"),
        ("export.mesh.picture_size=2", "needs at least 16", "range"),
        ("export.turntable.seconds=inf", "needs a number", "models"),
        ("splat.backend=nativ", "needs one of", "did you mean native"),
        ("export.formats=plx", "no plx", "did you mean ply"),
        ("export.mesh.max_face=1", "export.mesh has no max_face", "did you mean max_faces"),
        ("export.formats=ply,glb", "no glb", "mesh writes a mesh as .glb"),
        ("export.formats=obj", "no obj", "export.mesh.files=obj"),
        ("export.formats=unreal", "no unreal", "--bundle unity,unreal"),
        ("export.nerf.x=1", "export has no nerf", "choose from"),
        ("render.name=reference", "a recipe has no render", "--set splat.backend=reference"),
        ("export.mesh=3", "needs a section", "export.mesh"),
        ("seed=-1", "seed is -1", "seed"),
        ("steps=3", "cannot set", "section.option=value"),
        ("splat.steps", "cannot set", "section.option=value"),
        ("splat..steps=1", "cannot set", "section.option=value"),
        ("seed.x=1", "seed", ""),
    ],
)
def test_wrong_change_is_refused_with_a_hint(change, message, hint):
    with pytest.raises(RecipeError) as caught:
        load_recipe("auto", [change])
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[video\n", "cannot be read"),
        ("[vidoe]\nname = 'file'\n", "no vidoe"),
        ("video = 3\n", "needs a section"),
        ("[video]\nname = 3\n", "video.name is 3, needs text"),
        ("[export]\nformats = 'plx'\n", "no plx"),
        ("[export]\nply = 3\n", "needs a section"),
        ("[export]\nformats = 'ply'\n[export.mesh]\nmax_face = 9\n", "export.mesh has no max_face"),
        ("\x00", "cannot be read"),
    ],
)
def test_broken_recipe_file_is_refused(tmp_path, text, message):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(path))


def test_recipe_is_read_with_a_byte_order_mark(tmp_path):
    """As Notepad and PowerShell write it."""
    path = tmp_path / "own.toml"
    path.write_text("[splat]\nsteps = 12\n", encoding="utf-8-sig")
    assert load_recipe(str(path)).splat.steps == 12


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_recipe_is_read_in_the_encodings_of_windows(tmp_path, encoding):
    (tmp_path / "a.toml").write_bytes("seed = 7\r\n[splat]\r\nsteps = 9\r\n".encode(encoding))
    recipe = load_recipe(str(tmp_path / "a.toml"))
    assert (recipe.seed, recipe.splat.steps) == (7, 9)


def test_recipes_that_are_no_text_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "deep.toml").write_text("x = " + "[" * 5000)
    for name in ("pipe.toml", "deep.toml"):
        with pytest.raises(RecipeError, match="the recipe cannot be read"):
            load_recipe(str(tmp_path / name))
    with pytest.raises(RecipeError):
        load_recipe("auto", ["splat.steps=" + "[" * 5000])


def test_home_of_an_unknown_user_is_a_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_recipe("video", ["video.path=~nobody_at_all/a.mp4"]).video.path == tmp_path / "~nobody_at_all/a.mp4"


def test_missing_recipes_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "none.toml"))
    with pytest.raises(RecipeError, match="no recipe autoo") as caught:
        load_recipe("autoo")
    assert "auto" in caught.value.hint
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "folder.toml" / "x.toml"))


@pytest.mark.parametrize(
    ("option", "given", "expected"),
    [
        ("flag", True, True),
        ("count", 5, 5),
        ("share", 2, 2.0),
        ("word", "b", "b"),
        ("place", "there", Path("there")),
        ("kind", "y", "y"),
        ("kind", 3, 3),
        ("maybe", "none", None),
        ("maybe", 1, 1.0),
        ("numbers", [1, 2.5], (1.0, 2.5)),
        ("numbers", 4, (4.0,)),
        ("numbers", [], ()),
        ("numbers", "", ()),
    ],
)
def test_values_take_the_annotated_type(option, given, expected):
    value = coerce(given, option_types(Everything)[option], option)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("flag", 1),
        ("flag", "yes"),
        ("count", "5"),
        ("word", 5),
        ("numbers", [1, "b"]),
        ("maybe", "x"),
        ("kind", "z"),
        ("kind", 3.0),
        ("kind", True),
    ],
)
def test_other_values_are_refused(option, given):
    with pytest.raises(RecipeError, match=option):
        coerce(given, option_types(Everything)[option], option)


@pytest.mark.parametrize(
    "value", ['a "quoted" \\ path', "line\nbreak\ttab", "ünï → 😀", "\x7f\x01", 1e-05, 1e22, -0.0, True, ["a", "b"]]
)
def test_toml_text_is_read_back(value):
    assert tomllib.loads(f"x = {toml_text(value)}")["x"] == value


def test_docs_below_options_are_found():
    assert option_docs(Everything) == {"count": "How many there are."}


def test_recipes_and_assets_are_found_in_a_checkout():
    assert (resource_folder("pipelines") / "auto.toml").is_file()
    with pytest.raises(Img2WorldError, match="no folder nothing"):
        resource_folder("nothing")


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ("video.depth=transformers", "video.depth is now called subject.depth", "write subject.depth"),
        ("video.kind=object", "video.kind is now called subject.kind", "write subject.kind"),
        ("video.name=easyanimate", "video.name=easyanimate has been removed", "sana-wm"),
        ("video.still_at=first", "video.still_at has been removed", "leave it out"),
        ("video.fps=24", "video.fps has been removed", "leave it out"),
        ("export.mesh.smoothing=0", "export.mesh.smoothing has been removed", "leave it out"),
    ],
)
def test_what_earlier_versions_had_is_named(change, message, hint):
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe("auto", [change])
    assert hint in caught.value.hint


def test_paths_count_by_their_content_because_of_their_type(tmp_path):
    from img2world.runs.product import code_of

    lora, depth = tmp_path / "lora.safetensors", tmp_path / "depth"
    depth.mkdir()
    sets = ["video.name=wan", f"video.lora={lora}", "subject.depth=transformers", f"subject.depth_model={depth}"]
    lora.write_bytes(b"1")
    (depth / "config.json").write_text("{}")
    recipe = load_recipe("auto", sets)
    assert recipe.video.lora == str(lora)
    before = code_of(recipe.video), code_of(recipe.subject)
    assert (code_of(recipe.video), code_of(recipe.subject)) == before
    lora.write_bytes(b"2")
    (depth / "config.json").write_text("{ }")
    after = code_of(recipe.video), code_of(recipe.subject)
    assert after[0] != before[0]
    assert after[1] != before[1]
    named = load_recipe("auto", ["subject.depth_model=Intel/dpt-large"])
    assert code_of(named.subject)["depth_model"] == "Intel/dpt-large"


def test_a_name_in_two_tables_is_suggested_once():
    assert did_you_mean("foo", ["auto", "file", "auto"]) == "choose from auto, file"
    assert did_you_mean("aut", ["auto", "file", "auto"]) == "did you mean auto?"


@pytest.mark.parametrize("name", ["video", "photos", "dataset"])
@pytest.mark.parametrize("quality", QUALITIES)
def test_qualities_suit_the_recipes_of_captures(name, quality):
    recipe = load_recipe(name, QUALITIES[quality])
    assert (recipe.splat.quality, recipe.splat.steps, recipe.splat.max_gaussians) == (quality, 0, 0)
