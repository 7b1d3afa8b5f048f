"""The `mini-orbit` protocol: photos of models, orbits around them, and how near generated orbits come to the truth."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.baselines import BASELINES, SCENE_BASELINES
from evaluation.samples import Case, CaseSource, object_sources, room_sources
from evaluation.ladder import RUNGS, Stages, climb, judged_cameras
from evaluation.metrics import Flip, compare, find_flip
from evaluation.video_backends import find_model, generate
from evaluation.rendering import RenderedAsset
from evaluation.posed_photos import scene_sources
from evaluation.contact_sheets import write_sheet
from img2world.core.errors import Img2WorldError, RecipeError, RunFolderError
from img2world.core.frames import Frames
from img2world.core.progress import Progress
from img2world.runs.code import code_digest
from img2world.runs.files import (
    NO_ACCESS,
    clear_disk_errors,
    digest_of,
    file_digest,
    locked,
    path_digest,
    write_text,
)
from img2world.runs.folder import Event, Listener, ignore_events
from img2world.runs.options import did_you_mean
from img2world.runs.product import code_of
from img2world.runs.recipe import VideoBackend, load_recipe

CODE = tuple(
    f"evaluation.{name}"
    for name in (
        "assets",
        "baselines",
        "samples",
        "metrics",
        "placement",
        "procedural",
        "rendering",
        "posed_photos",
        "textures",
    )
)
"""What decides a row's figures beside the model and the stages, which count by themselves."""

DRIVERS = ("ladder.py", "video_backends.py")
"""The same of modules that can reach every stage, so they count by their own text."""

OBJECT_PATHS, ROOM_PATHS, SCENE_PATHS = ("static", "dynamic"), ("arc",), ("views",)


@dataclass(frozen=True, kw_only=True)
class OrbitOptions:
    """What is evaluated, and how."""

    models: tuple[str, ...] = ("nano",)
    """Video backends, with options as in "nano:kind=object"."""
    baselines: tuple[str, ...] = tuple(BASELINES)
    assets: Path | None = None
    """A folder of GLB and OBJ files, or a manifest.csv; None makes models by seed."""
    z_up: str = ""
    """A pattern such as "ycb/*" of the files that stand along +Z."""
    count: int = 0
    """At most so many objects; 0 takes all, or 12 where they are made by seed."""
    rooms: int = 4
    """Scenes made by seed."""
    scenes: Path | None = None
    """A folder with posed photos and their depth, as `views/` of a run."""
    size: int = 256
    """Pixels along each side of the frames."""
    seed: int = 0
    alpha: bool = True
    """Give the photo's cut-out to the model; without it the model has to find the object on white."""
    flip: bool = True
    ladder: tuple[str, ...] = ()
    """Rungs of the oracle ladder to climb with each object."""
    mesh: bool = True
    """Judge meshes on the ladder, too."""
    changes: tuple[str, ...] = ()
    """Of the recipe `auto` for the ladder's stages, such as "splat.steps=500"."""

    def __post_init__(self) -> None:
        for name in self.baselines:
            if name not in BASELINES:
                raise RecipeError(f"there is no baseline {name}", hint=did_you_mean(name, list(BASELINES)))
        for name in self.ladder:
            if name not in RUNGS:
                raise RecipeError(f"the ladder has no rung {name!r}", hint=did_you_mean(name, list(RUNGS)))
        if not 64 <= self.size <= 1024 or self.rooms < 0 or self.count < 0:
            raise Img2WorldError(
                f"size is {self.size}, objects {self.count}, rooms {self.rooms}; needs 64 to 1024, 0 or more",
                hint="the protocol's sizes are 256 and 576",
            )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model on one path of one case."""

    case: str
    path: str
    """static, dynamic, arc, or a rung of the ladder."""
    model: str
    """A baseline, a video backend with its options, or what the ladder was given and made."""
    task: str
    """What made the row."""
    kind: str
    """object or scene"""
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    """Why there are no metrics, in one line."""
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something to do with one case that makes one row, or two where the ladder goes down to a mesh."""

    path: str
    label: str
    key: str
    run: Callable[[Case, Progress], Iterator[tuple[str, Frames, RenderedAsset]]]
    """Gives the model's label, its frames and the truth."""


def evaluate(options: OrbitOptions, out: Path, *, listen: Listener = ignore_events) -> Iterator[Row]:
    """Each row of the table as soon as it is known, kept in `out`/rows; those that are there are not made again.

    A model that fails on a case makes a row with the error. Raises Img2WorldError when an option cannot be used.
    """
    flip = find_flip() if options.flip else None
    models = {text: find_model(text) for text in options.models}
    stages = find_stages(options)
    sources = [
        *object_sources(options.assets, count=options.count, size=options.size, z_up=options.z_up, alpha=options.alpha),
        *room_sources(options.rooms, options.size),
        *(scene_sources(options.scenes, options.size) if options.scenes else []),
    ]
    with clear_disk_errors(out, also=NO_ACCESS):
        for folder in (out / "rows", out / "sheets"):
            folder.mkdir(parents=True, exist_ok=True)
    code = [code_digest(*CODE), *(file_digest(Path(__file__).with_name(name)) for name in DRIVERS)]
    start = time.perf_counter()
    with locked(out):
        for i, source in enumerate(sources):
            basis = {"code": code, "case": source.name, "size": options.size, "alpha": options.alpha}
            basis |= {
                "flip": options.flip,
                "z_up": source.z_up,
                "file": path_digest(source.file) if source.file else "",
            }
            tasks = [*path_tasks(source, options, models, basis), *ladder_tasks(source, options, models, stages, basis)]
            yield from _rows(source, tasks, flip, out, listen)
            seconds = time.perf_counter() - start
            listen(Event(kind="step", stage="eval", done=i + 1, total=len(sources), seconds=seconds))


def find_stages(options: OrbitOptions) -> Stages:
    """The ladder's stages: those of the recipe `auto`, but cameras are estimated, by COLMAP unless told otherwise."""
    recipe = load_recipe("auto", ["poses.name=colmap", *options.changes])
    return Stages(poses=recipe.poses, splat=recipe.splat, mesh=recipe.exports.get("mesh") if options.mesh else None)


def path_tasks(
    source: CaseSource, options: OrbitOptions, models: Mapping[str, VideoBackend], basis: Mapping[str, Any]
) -> Iterator[Task]:
    """Each baseline and each model along each path."""
    for path in OBJECT_PATHS if source.is_object else ROOM_PATHS if source.file is None else SCENE_PATHS:
        for name in options.baselines:
            if not source.is_object and name not in SCENE_BASELINES:
                continue

            def baseline(case: Case, _: Progress, name: str = name, path: str = path) -> Iterator[Any]:
                truth = case.paths[path]
                yield name, BASELINES[name](case, truth.cameras), truth

            yield Task(path=path, label=name, key=digest_of({**basis, "path": path, "baseline": name}), run=baseline)
        for name, model in models.items():

            def made(
                case: Case, progress: Progress, name: str = name, model: VideoBackend = model, path: str = path
            ) -> Iterator[Any]:
                truth = case.paths[path]
                frames = generate(
                    model, case.subject, truth, is_object=case.is_object, seed=options.seed, progress=progress
                )
                yield name, frames, truth

            key = digest_of({**basis, "path": path, "model": code_of(model, options.seed)})
            yield Task(path=path, label=name, key=key, run=made)


def ladder_tasks(
    source: CaseSource,
    options: OrbitOptions,
    models: Mapping[str, VideoBackend],
    stages: Stages,
    basis: Mapping[str, Any],
) -> Iterator[Task]:
    """Each rung with an object; the last for each model."""
    rungs = [(rung, name) for rung in options.ladder for name in (models if rung == "photo" else [""])]
    for rung, name in rungs if source.is_object else []:
        label = f"{rung} ({name})" if name else rung

        def climbed(
            case: Case, progress: Progress, rung: str = rung, name: str = name, label: str = label
        ) -> Iterator[Any]:
            assert case.draw is not None
            truth = case.draw(judged_cameras(case, options.size))
            shown = climb(case, rung, models.get(name), stages, size=options.size, seed=options.seed, progress=progress)
            for kind, frames in shown:
                yield f"{label}, {kind}", frames, truth

        used = [stages.splat, stages.mesh, *([stages.poses] if rung == "true video" else [])]
        codes = [code_of(stage, options.seed) for stage in [*used, models.get(name)] if stage is not None]
        yield Task(path="ladder", label=label, key=digest_of({**basis, "rung": rung, "stages": codes}), run=climbed)


def _rows(source: CaseSource, tasks: list[Task], flip: Flip | None, out: Path, listen: Listener) -> Iterator[Row]:
    """The rows of one case, those that are kept and those that are made now."""
    place = out / "rows" / f"{source.name}.json"
    kept = read_rows(place)
    case: Case | None = None
    for task in tasks:
        rows = [row for row in kept if row.key == task.key]
        if not rows:
            case = source.make() if case is None else case
            rows = list(_made(case, task, flip, out, listen))
            kept = [*(row for row in kept if (row.path, row.task) != (task.path, task.label)), *rows]
            write_text(place, json.dumps([asdict(row) for row in kept], indent=1) + "\n")
        yield from rows


def _made(case: Case, task: Task, flip: Flip | None, out: Path, listen: Listener) -> Iterator[Row]:
    """The rows of one task, and a sheet of pictures for each."""
    start = time.perf_counter()
    stage = f"{case.name} {task.path} {task.label}"

    def progress(done: int, total: int, **quality: float) -> None:
        seconds = time.perf_counter() - start
        listen(Event(kind="step", stage=stage, done=done, total=total, seconds=seconds, quality=quality))

    kind = "object" if case.is_object else "scene"
    about: dict[str, Any] = {"case": case.name, "path": task.path, "task": task.label, "kind": kind, "key": task.key}
    try:
        for label, frames, truth in task.run(case, progress):
            seconds = time.perf_counter() - start
            metrics = compare(frames, truth, is_object=case.is_object, radius=case.radius, flip=flip)
            write_sheet(truth, frames, out / "sheets" / f"{case.name}.{task.path}.{file_name(label)}.png")
            yield Row(**about, model=label, metrics=metrics, seconds=round(seconds, 3))
    except Img2WorldError as error:
        yield Row(**about, model=task.label, error=str(error))
    listen(Event(kind="done", stage=stage, seconds=time.perf_counter() - start))


def read_rows(place: Path) -> list[Row]:
    """The rows that are kept of a case; none when the file is not there. Raises RunFolderError when it is broken."""
    if not place.is_file():
        return []
    try:
        return [Row(**row) for row in json.loads(place.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(f"kept results cannot be read: {error} ({place})", hint="remove the file") from error


def file_name(label: str) -> str:
    """A label without what a file's name should not have."""
    return "".join(letter if letter.isalnum() or letter in "-=" else "-" for letter in label)
