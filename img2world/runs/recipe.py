"""A recipe: which backend does each stage, and with which options.

A recipe is a TOML file. It names one backend per stage and the options that differ from the defaults,
which stand in the backends' own fields and nowhere else:

    description = "What it is for."
    seed = 0

    [video]
    name = "nano"          # one of img2world.video.VIDEOS

    [export]
    formats = ["ply", "mesh"]

    [export.mesh]
    max_faces = 40000
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.errors import RecipeError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress
from img2world.core.resources import resource_folder
from img2world.core.scene import Scene
from img2world.core.subject import Subject
from img2world.core.views import Views
from img2world.export import EXPORTERS
from img2world.layered import SUBJECTS
from img2world.poses import SOLVERS
from img2world.runs.options import coerce, did_you_mean, is_path, option_types, toml_text
from img2world.splat import OPTIMIZERS
from img2world.trajectory import TRAJECTORIES
from img2world.video import VIDEOS

TABLES = {"subject": SUBJECTS, "trajectory": TRAJECTORIES, "video": VIDEOS, "poses": SOLVERS, "splat": OPTIMIZERS}
"""The backends of each stage with one backend: name to "module:Class"."""
SECTIONS = [*TABLES, "export"]
MAX_METRES = 10_000.0

RENAMED = {
    "video.kind": "subject.kind",
    "video.depth": "subject.depth",
    "video.depth_model": "subject.depth_model",
    "poses.waves": "poses.max_harmonics",
    "splat.coarse_share": "splat.coarse_fraction",
    "splat.dssim_share": "splat.dssim_fraction",
}
"""Options as recipes of earlier versions have them, and what they are called now."""

REMOVED = {
    "video.name=easyanimate": "sana-wm takes exact cameras, too, and wan-vace is shown warped frames",
    "video.name=cosmos": "wan and hunyuan read text, too, and sana-wm takes exact cameras",
    **dict.fromkeys(
        ("video.noise", "video.decode_chunk", "video.strength", "video.refine", "video.reference", "video.still_at"),
        "its default is always used",
    ),
    "video.frames_per_second": "its default is always used",
}
"""Backends and options that earlier versions had, and what there is instead."""


@runtime_checkable
class SubjectBackend(Protocol):
    """Finds out what a picture shows."""

    def find(self, image: Image) -> Subject:
        """Decide between object and scene, cut out the object and predict the geometry."""
        ...


@runtime_checkable
class TrajectoryBackend(Protocol):
    """Plans where the cameras are."""

    def cameras(self, subject: Subject) -> Cameras:
        """Plan the cameras for what the picture shows."""
        ...


@runtime_checkable
class VideoBackend(Protocol):
    """Makes or reads pictures in time."""

    def generate(self, subject: Subject | None, trajectory: Cameras | None, *, seed: int, progress: Progress) -> Frames:
        """Make the pictures that the cameras of the trajectory see, or read them from a file."""
        ...


@runtime_checkable
class PoseBackend(Protocol):
    """Finds the cameras of pictures."""

    def estimate(self, frames: Frames, trajectory: Cameras | None, *, seed: int, progress: Progress) -> Views:
        """Pictures that know their cameras."""
        ...


@runtime_checkable
class SplatBackend(Protocol):
    """Reconstructs a scene."""

    def optimize(self, views: Views, *, seed: int, progress: Progress) -> Scene:
        """Gaussians that look like the views."""
        ...

    def held_out(self, num_views: int) -> np.ndarray:
        """Mask of the views that are kept for the test and never trained on."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """Writes one file and reads it back."""

    @property
    def filename(self) -> str:
        """Name of the file or folder below exports/."""
        ...

    def write(self, scene: Scene, views: Views, path: Path, *, progress: Progress) -> dict[str, float]:
        """Write exactly `path`, check it, and give facts for the report."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One backend per stage, every option decided."""

    subject: SubjectBackend
    trajectory: TrajectoryBackend
    video: VideoBackend
    poses: PoseBackend
    splat: SplatBackend
    exports: dict[str, Exporter]
    seed: int = 0
    metric: float = 0.0
    """Height of the subject in metres, 0 where it is not known."""


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or path and apply changes such as "splat.steps=150".

    Raises RecipeError when it names a section, backend or option that does not exist, or a value of
    the wrong type.
    """
    path = recipe_path(name)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig", errors="surrogateescape"))
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"the recipe cannot be read: {error} ({path})", hint="a recipe is a TOML file, see pipelines/auto.toml"
        ) from error
    # Names first: a new backend drops the options of the one it replaces, not those set beside it.
    for change in sorted(changes, key=lambda change: not change.partition("=")[0].strip().endswith(".name")):
        _apply(change, table)
    return recipe_from_table(table)


def recipe_path(name: str) -> Path:
    """The file of a recipe that is named or given as a path. Raises RecipeError when there is none."""
    if name.endswith(".toml"):
        return Path(name)
    recipes = recipe_names()
    if name not in recipes:
        raise RecipeError(
            f"there is no recipe {name}", hint=f"{did_you_mean(name, recipes)} (your own: give the path of a .toml)"
        )
    return resource_folder("pipelines") / f"{name}.toml"


def recipe_names() -> list[str]:
    """The recipes that come with the program."""
    return sorted(path.stem for path in resource_folder("pipelines").glob("*.toml"))


def recipe_description(name: str) -> str:
    """What a recipe that comes with the program is for."""
    return tomllib.loads(recipe_path(name).read_text(encoding="utf-8"))["description"]


def recipe_from_table(table: dict[str, Any]) -> Recipe:
    """Build the backends that a parsed recipe names."""
    for key, value in table.items():
        _check_known(key, [*SECTIONS, "seed", "metric", "description"], "a recipe")
        if key in SECTIONS and not isinstance(value, dict):
            raise RecipeError(f"{key} is {value!r}, needs a section", hint=f"write [{key}] and its options below")
    stages = {section: _stage_backend(section, table.get(section, {})) for section in TABLES}
    exports = _exporters(table.get("export", {}))
    seed = coerce(table.get("seed", 0), int, "seed")
    if not 0 <= seed < 2**31:
        raise RecipeError(f"seed is {seed}, needs 0 to {2**31 - 1}", hint="give a smaller seed")
    metric = coerce(table.get("metric", 0.0), float, "metric")
    if not 0 <= metric < MAX_METRES:
        raise RecipeError(f"metric is {metric:g} metres, needs 0 to {MAX_METRES:g}", hint="give the subject's height")
    return Recipe(**stages, exports=exports, seed=seed, metric=metric)


def recipe_text(recipe: Recipe) -> str:
    """The recipe as TOML with every option written out: running it again repeats the run."""
    lines = [f"seed = {recipe.seed}", f"metric = {recipe.metric}"]
    for section, backends in TABLES.items():
        backend = getattr(recipe, section)
        lines += ["", f"[{section}]", f"name = {toml_text(backend_name(backend, backends))}", *_option_lines(backend)]
    lines += ["", "[export]", f"formats = {toml_text(list(recipe.exports))}"]
    for name, exporter in recipe.exports.items():
        if options := _option_lines(exporter):
            lines += ["", f"[export.{name}]", *options]
    return "\n".join(lines) + "\n"


def backend_class(name: str, backends: dict[str, str], where: str) -> type:
    """The class that a stage's table holds under a name. Raises RecipeError when it holds none."""
    if name not in backends:
        _check_current(f"{where}.name={name}")
    _check_known(name, list(backends), where)
    module, _, class_name = backends[name].partition(":")
    return getattr(import_module(module), class_name)


def backend_name(backend: object, backends: dict[str, str]) -> str:
    """The name under which a stage's table holds the class of this backend."""
    place = f"{type(backend).__module__}:{type(backend).__qualname__}"
    return next(name for name, value in backends.items() if value == place)


def options_of(backend: object) -> dict[str, Any]:
    """The options of a backend, by name."""
    return {name: getattr(backend, name) for name in option_types(type(backend))}


def with_options(backend: Any, **options: Any) -> Any:
    """The backend with some options changed. Raises RecipeError when it lacks one or takes another type."""
    return _build(type(backend), {**options_of(backend), **options}, type(backend).__name__)


def _option_lines(backend: object) -> list[str]:
    """The options of a backend as lines of TOML."""
    return [f"{name} = {toml_text(value)}" for name, value in options_of(backend).items()]


def _check_known(word: str, words: list[str], where: str) -> None:
    """Raise RecipeError when a word is not one of those that are known."""
    if word not in words:
        raise RecipeError(f"{where} has no {word}", hint=did_you_mean(word, words))


def _check_current(words: str) -> None:
    """Raise RecipeError when an option or backend is one of an earlier version."""
    if new := RENAMED.get(words):
        raise RecipeError(f"{words} is called {new} now", hint=f"write {new}")
    if reason := REMOVED.get(words):
        raise RecipeError(f"{words} is gone", hint=f"leave it out: {reason}")


def _build(backend: type, options: dict[str, Any], where: str) -> Any:
    """A backend with some of its options set."""
    kinds = option_types(backend)
    for option in options:
        if option not in kinds:
            _check_current(f"{where}.{option}")
        _check_known(option, list(kinds), where)
    values = {name: coerce(value, kinds[name], f"{where}.{name}") for name, value in options.items()}
    for option, value in values.items():
        if isinstance(value, Path) or is_path(value):
            # The saved recipe shall work from any folder.
            path = Path(value).expanduser().absolute()
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise RecipeError(
                    f"{where}.{option} is neither a file nor a folder: {path}", hint="save it to a file and name that"
                )
            values[option] = type(value)(path) if isinstance(value, str) else path
    return backend(**values)


def _stage_backend(section: str, table: dict[str, Any]) -> Any:
    """The backend of one stage; the first in the stage's table when the recipe names none."""
    backends = TABLES[section]
    name = coerce(table.get("name", next(iter(backends))), str, f"{section}.name")
    options = {option: value for option, value in table.items() if option != "name"}
    return _build(backend_class(name, backends, section), options, section)


def _exporters(table: dict[str, Any]) -> dict[str, Exporter]:
    """The exporters of a recipe, in its order; all there are when it names none."""
    formats = coerce(table.get("formats", list(EXPORTERS)), tuple[str, ...], "export.formats")
    for name, options in table.items():
        _check_known(name, ["formats", *EXPORTERS], "export")
        if name != "formats" and not isinstance(options, dict):
            raise RecipeError(f"export.{name} is {options!r}, needs a section", hint=f"write [export.{name}]")
    chosen = {name: backend_class(name, EXPORTERS, "export.formats") for name in formats}
    return {name: _build(kind, table.get(name, {}), f"export.{name}") for name, kind in chosen.items()}


def _apply(change: str, table: dict[str, Any]) -> None:
    """Set one value of a parsed recipe from text such as "splat.steps=150"."""
    key, equals, text = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts) or (len(parts) == 1 and parts not in (["seed"], ["metric"])):
        raise RecipeError(f"cannot set {change!r}", hint="write --set section.field=value, as in splat.steps=150")
    place = table
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise RecipeError(f"cannot set {change!r}, {part} is no section", hint="write --set section.field=value")
    value = _parse(text.strip())
    # The options of one backend mean nothing to another.
    if parts[-1] == "name" and place.get("name") != value:
        place.clear()
    place[parts[-1]] = value


def _parse(text: str) -> Any:
    """A value as TOML would read it, or the text itself where TOML needs quotes."""
    if not text:
        return ""
    for form in (text, f"[{text}]"):
        try:
            return tomllib.loads(f"value = {form}")["value"]
        except tomllib.TOMLDecodeError:
            continue
    return text
