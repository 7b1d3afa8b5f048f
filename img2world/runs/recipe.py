"""Recipes: the backend of each stage and its options.

A recipe is a TOML file that names one backend per stage and the options that differ from the defaults, which are those
of the backends' fields:

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
from img2world.core.errors import RecipeError, reason
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.live import UNWATCHED, Live
from img2world.core.progress import Progress
from img2world.core.resources import resource_folder
from img2world.core.scene import Scene
from img2world.core.subject import Subject
from img2world.core.text_file import expanded, read_text
from img2world.core.views import Views
from img2world.export import EXPORTERS
from img2world.export.bundle_targets import TARGETS
from img2world.layered import SUBJECTS
from img2world.poses import SOLVERS
from img2world.runs.options import coerce, did_you_mean, is_path, option_types, toml_text
from img2world.splat import OPTIMIZERS
from img2world.trajectory import TRAJECTORIES
from img2world.video import VIDEOS

TABLES = {"subject": SUBJECTS, "trajectory": TRAJECTORIES, "video": VIDEOS, "poses": SOLVERS, "splat": OPTIMIZERS}
"""Backends by name, as "module:Class", of each stage that uses one backend."""
SECTIONS = [*TABLES, "export"]
PLAIN = ("seed", "metric", "size")
"""Options that have no section."""

MAX_METRES = 10_000.0

BY_VIEWS = ("splat.steps=0", "splat.max_gaussians=0")
QUALITIES = {
    "draft": (*BY_VIEWS, "splat.quality=draft", "splat.sh_degree=0", "video.size=480", "video.photo_size=640"),
    "normal": (*BY_VIEWS, "splat.quality=normal"),
    "high": (*BY_VIEWS, "splat.quality=high", "splat.sh_degree=2", "video.size=960", "video.photo_size=1600"),
}
"""Changes to the recipes of videos, photos and datasets for each quality."""

RENAMED = {
    "video.kind": "subject.kind",
    "video.depth": "subject.depth",
    "video.depth_model": "subject.depth_model",
    "poses.waves": "poses.max_harmonics",
    "splat.coarse_share": "splat.coarse_fraction",
    "splat.dssim_share": "splat.dssim_fraction",
}
"""Options of earlier versions and their present names."""

REMOVED = {
    "video.name=easyanimate": "sana-wm takes exact cameras, too, and wan-vace is shown warped frames",
    "video.name=cosmos": "wan and hunyuan read text, too, and sana-wm takes exact cameras",
    **dict.fromkeys(
        (
            "trajectory.turns",
            "video.decode_chunk",
            "video.fps",
            "video.frames_per_second",
            "video.noise",
            "video.refine",
            "video.reference",
            "video.still_at",
            "video.strength",
            "poses.exhaustive_up_to",
            "splat.mesh_resolution",
            "export.mesh.smoothing",
            "export.mesh.truncation",
        ),
        "its default is always used",
    ),
    "poses.max_points": "only the backend commanded has it",
}
"""Backends and options of earlier versions, and what to use instead."""

MISPLACED = {
    "render": "the rasterizer is an option of the splat stage, as in --set splat.backend=reference",
    "glb": "mesh writes a mesh as .glb, gltf writes splats as .glb",
    "obj": "use mesh, with --set export.mesh.files=obj",
    "usdz": "for a mesh use mesh, with --set export.mesh.files=usdz; for splats use usd",
    **dict.fromkeys(TARGETS, "several bundles are written with commas, without spaces: --bundle unity,unreal"),
}
"""Words that no recipe knows, and where to find what they mean."""


@runtime_checkable
class SubjectBackend(Protocol):
    """Recognises what a picture shows."""

    def find(self, image: Image) -> Subject:
        """Classify the picture as an object or a scene, cut out the object and predict the geometry."""
        ...


@runtime_checkable
class TrajectoryBackend(Protocol):
    """Plans a camera path."""

    def cameras(self, subject: Subject) -> Cameras:
        """Return a camera path that suits what the picture shows."""
        ...


@runtime_checkable
class VideoBackend(Protocol):
    """Generates or reads frames."""

    def generate(self, subject: Subject | None, trajectory: Cameras | None, *, seed: int, progress: Progress) -> Frames:
        """Generate the frames that the cameras of the trajectory see, or read frames from files."""
        ...


@runtime_checkable
class PoseBackend(Protocol):
    """Estimates cameras."""

    def estimate(
        self, frames: Frames, trajectory: Cameras | None, *, seed: int, progress: Progress, work: Path | None
    ) -> Views:
        """Estimate the cameras of the frames, and return both.

        A backend that takes long keeps what it has found in the folder `work`, and goes on from there.
        """
        ...


@runtime_checkable
class SplatBackend(Protocol):
    """Reconstructs a scene."""

    def optimize(self, views: Views, *, seed: int, progress: Progress, live: Live = UNWATCHED) -> Scene:
        """Fit Gaussians to the views, show them to whoever looks on, and stop early where that is asked for."""
        ...

    def held_out(self, num_views: int, times: np.ndarray | None = None) -> np.ndarray:
        """Return the mask of the views that are never trained on, but tested on, by their times if they have some."""
        ...


@runtime_checkable
class NeedsPrograms(Protocol):
    """A backend that needs programs or packages which are installed separately."""

    def check_programs(self) -> None:
        """Check that they are installed. Raises MissingPackageError if not."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """Writes a file and reads it back."""

    @property
    def filename(self) -> str:
        """Name of the file or folder in exports/."""
        ...

    def write(self, scene: Scene, views: Any, path: Path, *, progress: Progress) -> dict[str, float | str]:
        """Write the file or folder `path`, check it, and return metrics and the name of the reader for the report."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The backends of all stages with their options."""

    subject: SubjectBackend
    trajectory: TrajectoryBackend
    video: VideoBackend
    poses: PoseBackend
    splat: SplatBackend
    exports: dict[str, Exporter]
    seed: int = 0
    metric: float = 0.0
    """Height of the subject in metres; 0 if unknown."""
    size: float = 1.0
    """Longest side of an object in exported files if its metres are unknown; 0 keeps the units of the world."""


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or path and apply changes such as "splat.steps=150".

    Raises RecipeError for sections, backends and options that do not exist and for values of the wrong type.
    """
    path = recipe_path(name)
    try:
        table = tomllib.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"the recipe cannot be read: {reason(error)} ({path})",
            hint="a recipe is a TOML file, see pipelines/auto.toml",
        ) from error
    # Names first: a new backend drops the options of the one it replaces, not those set beside it.
    for change in sorted(changes, key=lambda change: not change.partition("=")[0].strip().endswith(".name")):
        _apply(change, table)
    return recipe_from_table(table)


def recipe_path(name: str) -> Path:
    """Return the file of a recipe, given by name or path. Raises RecipeError when there is no recipe of the name."""
    if name.endswith(".toml"):
        return Path(name)
    recipes = recipe_names()
    if name not in recipes:
        raise RecipeError(
            f"there is no recipe {name}", hint=f"{did_you_mean(name, recipes)} (your own: give the path of a .toml)"
        )
    return resource_folder("pipelines") / f"{name}.toml"


def recipe_names() -> list[str]:
    """Return the names of the built-in recipes."""
    return sorted(path.stem for path in resource_folder("pipelines").glob("*.toml"))


def recipe_description(name: str) -> str:
    """Return the description of a built-in recipe."""
    return tomllib.loads(recipe_path(name).read_text(encoding="utf-8"))["description"]


def recipe_from_table(table: dict[str, Any]) -> Recipe:
    """Build the backends of a parsed recipe. Raises RecipeError as `load_recipe` does."""
    for key, value in table.items():
        _check_known(key, [*SECTIONS, *PLAIN, "description"], "a recipe")
        if key in SECTIONS and not isinstance(value, dict):
            raise RecipeError(f"{key} is {value!r}, needs a section", hint=f"write [{key}] and its options below it")
    stages = {section: _stage_backend(section, table.get(section, {})) for section in TABLES}
    exports = _exporters(table.get("export", {}))
    seed = coerce(table.get("seed", 0), int, "seed")
    if not 0 <= seed < 2**31:
        raise RecipeError(f"seed is {seed}, needs 0 to {2**31 - 1}", hint="give a smaller seed")
    metric = coerce(table.get("metric", 0.0), float, "metric")
    if not 0 <= metric < MAX_METRES:
        raise RecipeError(f"metric is {metric:g} metres, needs 0 to {MAX_METRES:g}", hint="give the subject's height")
    size = coerce(table.get("size", 1.0), float, "size")
    if not 0 <= size < MAX_METRES:
        raise RecipeError(f"size is {size:g}, needs 0 to {MAX_METRES:g}", hint="give the longest side of the object")
    return Recipe(**stages, exports=exports, seed=seed, metric=metric, size=size)


def recipe_text(recipe: Recipe) -> str:
    """Return the recipe as TOML with all options, including the defaults, so that it repeats the run."""
    lines = [f"seed = {recipe.seed}", f"metric = {recipe.metric}", f"size = {recipe.size}"]
    for section, backends in TABLES.items():
        backend = getattr(recipe, section)
        lines += ["", f"[{section}]", f"name = {toml_text(backend_name(backend, backends))}", *_option_lines(backend)]
    lines += ["", "[export]", f"formats = {toml_text(list(recipe.exports))}"]
    for name, exporter in recipe.exports.items():
        if options := _option_lines(exporter):
            lines += ["", f"[export.{name}]", *options]
    return "\n".join(lines) + "\n"


def backend_class(name: str, backends: dict[str, str], where: str) -> type:
    """Return the class of a backend by its name in a stage's table. Raises RecipeError when there is none."""
    if name not in backends:
        _check_current(f"{where}.name={name}")
    _check_known(name, list(backends), where)
    module, _, class_name = backends[name].partition(":")
    return getattr(import_module(module), class_name)


def backend_name(backend: object, backends: dict[str, str]) -> str:
    """Return the name of a backend in its stage's table."""
    place = f"{type(backend).__module__}:{type(backend).__qualname__}"
    return next(name for name, value in backends.items() if value == place)


def options_of(backend: object) -> dict[str, Any]:
    """Return the values of a backend's options by name."""
    return {name: getattr(backend, name) for name in option_types(type(backend))}


def with_options(backend: Any, **options: Any) -> Any:
    """Return a copy of the backend with some options changed. Raises RecipeError as `load_recipe` does."""
    return _build(type(backend), {**options_of(backend), **options}, type(backend).__name__)


def _option_lines(backend: object) -> list[str]:
    """Return the options of a backend as lines of TOML."""
    return [f"{name} = {toml_text(value)}" for name, value in options_of(backend).items()]


def _check_known(word: str, words: list[str], where: str) -> None:
    """Raise RecipeError when a word is not among the known ones."""
    if word not in words:
        raise RecipeError(f"{where} has no {word}", hint=MISPLACED.get(word) or did_you_mean(word, words))


def _check_current(words: str) -> None:
    """Raise RecipeError when an option or backend was renamed or removed."""
    if new := RENAMED.get(words):
        raise RecipeError(f"{words} is now called {new}", hint=f"write {new}")
    if reason := REMOVED.get(words):
        raise RecipeError(f"{words} has been removed", hint=f"leave it out: {reason}")


def _build(backend: type, options: dict[str, Any], where: str) -> Any:
    """Return a backend with some of its options set. Raises RecipeError for a wrong name, type or path."""
    kinds = option_types(backend)
    for option in options:
        if option not in kinds:
            _check_current(f"{where}.{option}")
        _check_known(option, list(kinds), where)
    values = {name: coerce(value, kinds[name], f"{where}.{name}") for name, value in options.items()}
    for option, value in values.items():
        if isinstance(value, Path) or is_path(value):
            # Absolute, so that the saved recipe works from any folder.
            path = expanded(Path(value)).absolute()
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise RecipeError(
                    f"{where}.{option} is neither a file nor a folder: {path}", hint="save it to a file and name that"
                )
            values[option] = type(value)(path) if isinstance(value, str) else path
    return backend(**values)


def _stage_backend(section: str, table: dict[str, Any]) -> Any:
    """Build the backend of a stage, by default the first in the stage's table."""
    backends = TABLES[section]
    name = coerce(table.get("name", next(iter(backends))), str, f"{section}.name")
    options = {option: value for option, value in table.items() if option != "name"}
    return _build(backend_class(name, backends, section), options, section)


def _exporters(table: dict[str, Any]) -> dict[str, Exporter]:
    """Build the exporters of a recipe in its order, by default all exporters."""
    formats = coerce(table.get("formats", list(EXPORTERS)), tuple[str, ...], "export.formats")
    for name, options in table.items():
        _check_known(name, ["formats", *EXPORTERS], "export")
        if name != "formats" and not isinstance(options, dict):
            raise RecipeError(f"export.{name} is {options!r}, needs a section", hint=f"write [export.{name}]")
    for name in formats:
        _check_known(name, list(EXPORTERS), "export.formats")
    # Options of formats that are not exported are checked, too.
    exporters = {
        name: _build(backend_class(name, EXPORTERS, "export"), table.get(name, {}), f"export.{name}")
        for name in {**dict.fromkeys(formats), **table}
        if name != "formats"
    }
    return {name: exporters[name] for name in formats}


def _apply(change: str, table: dict[str, Any]) -> None:
    """Set one value of a parsed recipe from text such as "splat.steps=150"."""
    key, equals, text = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts) or (len(parts) == 1 and parts[0] not in PLAIN):
        raise RecipeError(f"cannot set {change!r}", hint="write --set section.option=value, as in splat.steps=150")
    place = table
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise RecipeError(
                f"cannot set {change!r}, {part} is not a section", hint="write --set section.option=value"
            )
    value = _parse(text.strip())
    # The options of one backend mean nothing to another.
    if parts[-1] == "name" and place.get("name") != value:
        place.clear()
    place[parts[-1]] = value


def _parse(text: str) -> Any:
    """Parse a TOML value or a list without brackets, or return the text itself when it is neither."""
    if not text:
        return ""
    for form in (text, f"[{text}]"):
        try:
            return tomllib.loads(f"value = {form}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
    return text
