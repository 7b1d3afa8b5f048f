"""The `mini-orbit` benchmark: videos generated from one photo against renders of the ground truth."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.baselines import BASELINES, SCENE_BASELINES
from evaluation.checks import check_names
from evaluation.contact_sheets import write_contact_sheet
from evaluation.ladder import RUNGS, Stages, held_out_cameras, run_rung
from evaluation.metrics import Flip, compare_frames, load_flip
from evaluation.posed_photos import scene_sources
from evaluation.rendering import RenderedViews
from evaluation.samples import Sample, SampleSource, object_sources, room_sources
from evaluation.video_backends import generate_video, parse_video_backend
from img2world.core.errors import Img2WorldError, RunFolderError
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
from img2world.runs.product import code_of
from img2world.runs.recipe import VideoBackend, load_recipe

CODE = ("assets", "baselines", "metrics", "placement", "posed_photos", "procedural", "rendering", "samples", "textures")
"""Modules that determine a row, with everything they import from img2world. Backends and stages count separately."""

DRIVERS = ("ladder", "video_backends")
"""Modules that can reach every backend, so only their own text counts."""

OBJECT_PATHS, ROOM_PATHS, SCENE_PATHS = ("static", "dynamic"), ("arc",), ("views",)


@dataclass(frozen=True, kw_only=True)
class OrbitOptions:
    """Selection of methods and samples. Raises RecipeError for unknown names, Img2WorldError for unusable numbers."""

    backends: tuple[str, ...] = ("nano",)
    """Video backends, with options as in "nano:kind=object"."""
    baselines: tuple[str, ...] = tuple(BASELINES)
    assets: Path | None = None
    """Folder of GLB and OBJ files or manifest.csv; None uses procedural objects."""
    z_up: str = ""
    """Pattern such as "ycb/*" of the files that have +Z up."""
    count: int = 0
    """Maximum number of objects; 0 takes all files, or 12 procedural objects."""
    rooms: int = 4
    """Number of procedural rooms."""
    scenes: Path | None = None
    """Folder of posed photos with depth."""
    size: int = 256
    """Pixels along each side of the frames."""
    seed: int = 0
    alpha: bool = True
    """Give backends the photo with its alpha; otherwise they have to segment the object on white."""
    flip: bool = True
    """Measure FLIP."""
    ladder: tuple[str, ...] = ()
    """Rungs of the oracle ladder to run for each object."""
    mesh: bool = True
    """Measure meshes on the ladder, too."""
    changes: tuple[str, ...] = ()
    """Changes to the recipe `auto` for the ladder's stages, such as "splat.steps=500"."""

    def __post_init__(self) -> None:
        check_names("baseline", self.baselines, BASELINES)
        check_names("rung", self.ladder, RUNGS)
        if not 64 <= self.size <= 1024 or self.rooms < 0 or self.count < 0:
            raise Img2WorldError(
                f"size is {self.size}, objects {self.count}, rooms {self.rooms}; needs 64 to 1024, 0 or more",
                hint="the benchmark's sizes are 256 and 576",
            )


@dataclass(frozen=True, kw_only=True)
class OrbitRow:
    """Result of one method on one path of one sample."""

    sample: str
    path: str
    """static, dynamic, arc, views or ladder."""
    method: str
    """Baseline, video backend with its options, or rung of the ladder with its output (splat or mesh)."""
    task: str
    """Label of the task that made the row."""
    kind: str
    """object or scene"""
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    """Why there are no metrics."""
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class OrbitTask:
    """Work on one sample that gives one row, or two on a rung of the ladder with a mesh."""

    path: str
    label: str
    key: str
    run: Callable[[Sample, Progress], Iterator[tuple[str, Frames, RenderedViews]]]
    """Yields method, frames and ground truth."""


def evaluate_orbits(options: OrbitOptions, out: Path, *, listen: Listener = ignore_events) -> Iterator[OrbitRow]:
    """Yield each row as soon as it is measured, and keep it in `out`/rows; kept rows are not measured again.

    A method that fails on a sample gives a row with the error. Raises Img2WorldError when an option cannot be used.
    """
    flip = load_flip() if options.flip else None
    backends = {text: parse_video_backend(text) for text in options.backends}
    stages = load_stages(options)
    sources = [
        *object_sources(options.assets, count=options.count, size=options.size, z_up=options.z_up, alpha=options.alpha),
        *room_sources(options.rooms, options.size),
        *(scene_sources(options.scenes, options.size) if options.scenes else []),
    ]
    with clear_disk_errors(out, also=NO_ACCESS):
        for folder in (out / "rows", out / "sheets"):
            folder.mkdir(parents=True, exist_ok=True)
    folder = Path(__file__).parent
    code = [
        code_digest(*(f"evaluation.{name}" for name in CODE)),
        *(file_digest(folder / f"{name}.py") for name in DRIVERS),
    ]
    start = time.perf_counter()
    with locked(out):
        for i, source in enumerate(sources):
            inputs = {
                "code": code,
                "sample": source.name,
                "size": options.size,
                "alpha": options.alpha,
                "flip": options.flip,
                "z_up": source.z_up,
                "file": path_digest(source.file) if source.file else "",
            }
            tasks = [
                *make_path_tasks(source, options, backends, inputs),
                *make_ladder_tasks(source, options, backends, stages, inputs),
            ]
            yield from _evaluate_sample(source, tasks, flip, out, listen)
            seconds = time.perf_counter() - start
            listen(Event(kind="step", stage="orbit", done=i + 1, total=len(sources), seconds=seconds))


def load_stages(options: OrbitOptions) -> Stages:
    """Return the ladder's stages: those of the recipe `auto`, except that COLMAP estimates poses by default."""
    recipe = load_recipe("auto", ["poses.name=colmap", *options.changes])
    return Stages(poses=recipe.poses, splat=recipe.splat, mesh=recipe.exports.get("mesh") if options.mesh else None)


def make_path_tasks(
    source: SampleSource, options: OrbitOptions, backends: Mapping[str, VideoBackend], inputs: Mapping[str, Any]
) -> Iterator[OrbitTask]:
    """Yield the tasks of all baselines and backends along each path."""
    for path in OBJECT_PATHS if source.is_object else ROOM_PATHS if source.file is None else SCENE_PATHS:
        for name in options.baselines:
            if not source.is_object and name not in SCENE_BASELINES:
                continue

            def run_baseline(sample: Sample, _: Progress, name: str = name, path: str = path) -> Iterator[Any]:
                truth = sample.paths[path]
                yield name, BASELINES[name](sample, truth.cameras), truth

            key = digest_of({**inputs, "path": path, "baseline": name})
            yield OrbitTask(path=path, label=name, key=key, run=run_baseline)
        for name, backend in backends.items():

            def run_backend(
                sample: Sample, progress: Progress, name: str = name, backend: VideoBackend = backend, path: str = path
            ) -> Iterator[Any]:
                truth = sample.paths[path]
                frames = generate_video(
                    backend, sample.subject, truth, is_object=sample.is_object, seed=options.seed, progress=progress
                )
                yield name, frames, truth

            key = digest_of({**inputs, "path": path, "backend": code_of(backend, options.seed)})
            yield OrbitTask(path=path, label=name, key=key, run=run_backend)


def make_ladder_tasks(
    source: SampleSource,
    options: OrbitOptions,
    backends: Mapping[str, VideoBackend],
    stages: Stages,
    inputs: Mapping[str, Any],
) -> Iterator[OrbitTask]:
    """Yield the tasks of the ladder for an object, the last rung for each backend."""
    rungs = [(rung, name) for rung in options.ladder for name in (backends if rung == "photo" else [""])]
    for rung, name in rungs if source.is_object else []:
        label = f"{rung} ({name})" if name else rung

        def run(
            sample: Sample, progress: Progress, rung: str = rung, name: str = name, label: str = label
        ) -> Iterator[Any]:
            assert sample.render is not None
            truth = sample.render(held_out_cameras(sample, options.size))
            outputs = run_rung(
                sample, rung, backends.get(name), stages, size=options.size, seed=options.seed, progress=progress
            )
            for output, frames in outputs:
                yield f"{label}, {output}", frames, truth

        used = [stages.splat, stages.mesh, *([stages.poses] if rung == "true video" else []), backends.get(name)]
        codes = [code_of(stage, options.seed) for stage in used if stage is not None]
        yield OrbitTask(path="ladder", label=label, key=digest_of({**inputs, "rung": rung, "stages": codes}), run=run)


def _evaluate_sample(
    source: SampleSource, tasks: list[OrbitTask], flip: Flip | None, out: Path, listen: Listener
) -> Iterator[OrbitRow]:
    """Yield the rows of one sample, kept and new ones."""
    file = out / "rows" / f"{source.name}.json"
    kept = read_rows(file)
    sample: Sample | None = None
    for task in tasks:
        rows = [row for row in kept if row.key == task.key]
        if not rows:
            sample = source.make() if sample is None else sample
            rows = list(_run_task(sample, task, flip, out, listen))
            kept = [*(row for row in kept if (row.path, row.task) != (task.path, task.label)), *rows]
            write_text(file, json.dumps([asdict(row) for row in kept], indent=1) + "\n")
        yield from rows


def _run_task(sample: Sample, task: OrbitTask, flip: Flip | None, out: Path, listen: Listener) -> Iterator[OrbitRow]:
    """Yield the rows of one task, and write a contact sheet for each."""
    start = time.perf_counter()
    stage = f"{sample.name} {task.path} {task.label}"

    def progress(done: int, total: int, *, step: str = "", **quality: float) -> None:
        seconds = time.perf_counter() - start
        listen(Event(kind="step", stage=stage, done=done, total=total, seconds=seconds, quality=quality))

    kind = "object" if sample.is_object else "scene"
    common: dict[str, Any] = {
        "sample": sample.name, "path": task.path, "task": task.label, "kind": kind, "key": task.key,
    }  # fmt: skip
    try:
        for method, frames, truth in task.run(sample, progress):
            seconds = time.perf_counter() - start
            metrics = compare_frames(frames, truth, is_object=sample.is_object, radius=sample.radius, flip=flip)
            name = f"{sample.name}.{task.path}.{safe_file_name(method)}.png"
            write_contact_sheet(truth, frames, out / "sheets" / name)
            yield OrbitRow(**common, method=method, metrics=metrics, seconds=round(seconds, 3))
    except Img2WorldError as error:
        yield OrbitRow(**common, method=task.label, error=str(error))
    listen(Event(kind="done", stage=stage, seconds=time.perf_counter() - start))


def read_rows(file: Path) -> list[OrbitRow]:
    """Return the kept rows of a sample; none where there is no file. Raises RunFolderError when it is broken."""
    if not file.is_file():
        return []
    try:
        return [OrbitRow(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(f"the rows cannot be read: {error} ({file})", hint="remove the file") from error


def safe_file_name(label: str) -> str:
    """Return a label with other characters than letters, digits, - and = replaced by -."""
    return "".join(letter if letter.isalnum() or letter in "-=" else "-" for letter in label)
