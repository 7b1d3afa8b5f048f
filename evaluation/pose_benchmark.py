"""Benchmark of pose solvers on rendered orbits with known cameras and degraded frames, and on posed photos."""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evaluation.assets import TexturedMesh, find_assets, load_asset, normalize_mesh
from evaluation.checks import check_names
from evaluation.degradations import DEGRADATIONS, degrade_frames
from evaluation.generated_clips import KINDS, make_clip
from evaluation.placement import azimuth_rotation, square_cameras
from evaluation.pose_metrics import PoseScore, score_poses
from evaluation.posed_photos import find_scene_folders, load_posed_photos, scene_name
from evaluation.procedural import procedural_object
from evaluation.rendering import render_asset
from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError, RejectedError
from img2world.core.frames import Frames
from img2world.core.views import Views
from img2world.doctor.findings import select_rejections
from img2world.doctor.video import examine_video
from img2world.poses.auto import AutoPoses
from img2world.poses.colmap import ColmapPoses
from img2world.poses.commanded import CommandedPoses
from img2world.poses.flow_colmap import FlowColmapPoses
from img2world.poses.orbit import OrbitPoses
from img2world.video.synthetic import SyntheticVideo

OBJECT_RADIUS = 0.25
"""Radius of the object's bounding sphere at a distance of 1, with which it stays in the frame all around."""

PRIOR_ELEVATION_ERROR = np.radians(8.0)
PRIOR_FOCAL_ERROR = 1.25
"""Factor on the focal length. The prior path is as wrong as generators typically are."""

GENERATED = "generated"
"""Name of all kinds of generated clips together."""

NO_PATH = "-no-path"
"""Suffix of solvers that are not given the prior path."""


@dataclass(frozen=True, kw_only=True)
class ExaminedPoses:
    """What a run of a video does: the doctor examines the frames, then `auto` finds the cameras without a path."""

    def estimate(self, frames: Frames, trajectory: Cameras | None) -> Views:
        """Return the views. Raises RejectedError where the doctor rejects the frames or no cameras are found."""
        if rejections := select_rejections(examine_video(frames)):
            raise RejectedError(f"doctor: {rejections[0].line()}", hint=rejections[0].advice)
        return AutoPoses().estimate(frames, None)


SOLVERS = {
    "auto": AutoPoses(),
    "orbit": OrbitPoses(),
    "commanded": CommandedPoses(),
    "colmap": ColmapPoses(),
    "flow-colmap": FlowColmapPoses(),
    "flow-colmap-global": FlowColmapPoses(mapper="global"),
    f"auto{NO_PATH}": AutoPoses(),
    f"orbit{NO_PATH}": OrbitPoses(),
    "examined": ExaminedPoses(),
}


@dataclass(frozen=True, kw_only=True)
class PathSpec:
    """Camera path around an object or in a room."""

    num_views: int
    fov_deg: float
    arc_deg: float = 360.0
    wobble_deg: float = 0.0
    """Amplitude by which the true path rises and falls; the prior path does not."""
    jitter_deg: float = 0.0
    """Standard deviation of each camera's azimuth and elevation."""
    is_room: bool = False


PATHS = {
    "circle": PathSpec(num_views=21, fov_deg=33.8),
    "wobble": PathSpec(num_views=36, fov_deg=40.0, wobble_deg=12.0, jitter_deg=1.0),
    "room": PathSpec(num_views=30, fov_deg=55.0, arc_deg=80.0, is_room=True),
}


@dataclass(frozen=True, kw_only=True)
class PoseOptions:
    """Selection of clips and solvers. Raises RecipeError for unknown names."""

    assets: Path | None = None
    """Folder of GLB and OBJ files or manifest.csv; None uses procedural objects."""
    count: int = 12
    """Maximum number of objects, and number of rooms."""
    first: int = 0
    """First seed."""
    seeds: int = 3
    """Number of seeds; each gives every object another side, path and degradation."""
    scenes: Path | None = None
    """Folder of posed photos, which are given to solvers without order and prior path."""
    size: int = 256
    paths: tuple[str, ...] | None = None
    """None renders all paths, or none where there are posed photos; `generated` stands for all kinds of clips."""
    degradations: tuple[str, ...] = ("clean", "hard")
    solvers: tuple[str, ...] = ("auto",)

    def __post_init__(self) -> None:
        check_names("path", self.chosen_paths, [*PATHS, *KINDS, GENERATED])
        check_names("degradation", self.degradations, DEGRADATIONS)
        check_names("solver", self.solvers, SOLVERS)

    @property
    def chosen_paths(self) -> tuple[str, ...]:
        """Return the paths to render."""
        if self.paths is None:
            return () if self.scenes else tuple(PATHS)
        return tuple(dict.fromkeys(name for path in self.paths for name in (KINDS if path == GENERATED else (path,))))


@dataclass(frozen=True, kw_only=True)
class ClipId:
    """Identity of a clip."""

    sample: str
    seed: int
    path: str
    degradation: str


@dataclass(frozen=True, kw_only=True)
class PoseRow:
    """Result of one solver on one clip."""

    clip: ClipId
    solver: str
    score: PoseScore
    grade: str
    """Grade in the solver's report; empty without a report or a result."""
    outcome: str
    """Solver that gave the result, or why there is none."""
    reasons: tuple[str, ...]
    figures: dict[str, float]
    """From the report: held-out error in pixels, inlier fraction, tracks, parallax, margins."""
    seconds: float
    """CPU seconds of this process and its children."""

    @property
    def key(self) -> tuple[ClipId, str]:
        """Return what identifies the row."""
        return self.clip, self.solver


def evaluate_poses(options: PoseOptions, *, known: Collection[tuple[ClipId, str]] = ()) -> Iterator[PoseRow]:
    """Yield the rows of all solvers on all clips, seed by seed, except those whose `key` is known."""
    for seed in range(options.first, options.first + options.seeds):
        for path in options.chosen_paths:
            for sample, render, truth, prior_path in _make_samples(options, path, seed):
                tasks = [
                    (ClipId(sample=sample, seed=seed, path=path, degradation=degradation), solver)
                    for degradation in options.degradations
                    for solver in options.solvers
                ]
                tasks = [task for task in tasks if task not in known]
                frames = render() if tasks else None
                for clip, solver in tasks:
                    assert frames is not None
                    degraded = degrade_frames(frames, DEGRADATIONS[clip.degradation], seed=1000 * seed + 7)
                    # Solvers get what a generator returns: images only.
                    images = Frames(rgb=degraded.rgb, times=degraded.times)
                    yield evaluate_solver(clip, solver, images, truth, prior_path)
    if options.scenes is not None:
        yield from _evaluate_photos(options.scenes, options.solvers, known)


def _evaluate_photos(
    scenes: Path, solvers: Collection[str], known: Collection[tuple[ClipId, str]]
) -> Iterator[PoseRow]:
    """Yield the rows of posed photos, given without their order and cameras."""
    for folder in find_scene_folders(scenes):
        clip = ClipId(sample=scene_name(folder, scenes), seed=0, path="photos", degradation="as is")
        missing = [solver for solver in solvers if (clip, solver) not in known]
        if missing:
            views = load_posed_photos(folder)
            photos = Frames(rgb=views.rgb, mask=views.mask, times=np.arange(len(views), dtype=float), ordered=False)
            for solver in missing:
                yield evaluate_solver(clip, solver, photos, views.cameras, None)


def evaluate_solver(clip: ClipId, solver: str, frames: Frames, truth: Cameras, prior_path: Cameras | None) -> PoseRow:
    """Return the result of one solver on one clip; where it refuses, no frame counts as placed."""
    start = _cpu_seconds()
    views, refusal = None, ""
    try:
        views = SOLVERS[solver].estimate(frames, None if solver.endswith(NO_PATH) else prior_path)
    except (PoseError, RejectedError) as error:
        refusal = str(error)
    seconds = _cpu_seconds() - start
    report = None if views is None else views.report
    figures: dict[str, float] = {}
    if report is not None:
        figures = {
            "px": report.heldout_px,
            "inliers": report.inlier_share,
            "tracks": float(report.tracks),
            "parallax": report.parallax_deg,
            "moving": report.moving_share if report.moving_frames else 0.0,
            "gain": float("nan") if report.gain_db is None else report.gain_db,
            **report.margins,
        }
    return PoseRow(
        clip=clip,
        solver=solver,
        score=_score(views, truth),
        grade="" if report is None else report.grade,
        outcome=refusal if views is None else views.solver,
        reasons=() if report is None else report.reasons,
        figures={name: round(value, 4) for name, value in figures.items()},
        seconds=round(seconds, 2),
    )


def _score(views: Views | None, truth: Cameras) -> PoseScore:
    """Return the score of the views' cameras, the lowest where there are none."""
    if views is None:
        return score_poses(truth.select([]), truth, np.zeros(0, np.int64))
    placed = np.arange(len(views)) if views.report is None else np.array(views.report.frames)
    return score_poses(views.cameras, truth, placed)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of children that have ended."""
    return sum(os.times()[:4])


def _make_samples(
    options: PoseOptions, path: str, seed: int
) -> Iterator[tuple[str, Callable[[], Frames], Cameras, Cameras | None]]:
    """Yield the name of each object or room, a function that renders its clean frames, its true cameras and the prior.

    Of clips of generated kinds nobody knows what path was asked for.
    """
    if path in KINDS:
        for i in range(options.count):
            clip = make_clip(path, 100 * i + seed, options.size)
            yield f"clip-{i:02d}", lambda clip=clip: clip.frames, clip.cameras, None
        return
    spec = PATHS[path]
    files = None if options.assets is None else find_assets(options.assets)[: options.count]
    for i in range(options.count if spec.is_room or files is None else len(files)):
        number = 100 * i + seed
        truth = _make_true_cameras(spec, options.size, seed=number)
        if spec.is_room:
            prior = _make_prior_path(truth, spec, seed)
            yield f"room-{i:02d}", lambda truth=truth, number=number: _render_room(truth, number), truth, prior
        else:
            name = f"object-{i:02d}" if files is None else files[i].stem
            prior = _make_prior_path(truth, spec, seed)
            yield name, lambda i=i, truth=truth: _render_object(_load_object(files, i), truth, seed), truth, prior


def _load_object(files: list[Path] | None, i: int) -> TexturedMesh:
    """Return the asset or procedural object of a number."""
    return procedural_object(i) if files is None else load_asset(files[i])


def _render_room(truth: Cameras, number: int) -> Frames:
    """Return the frames of a synthetic room."""
    return SyntheticVideo(kind="room").generate(None, truth, seed=number)


def _render_object(mesh: TexturedMesh, truth: Cameras, seed: int) -> Frames:
    """Return the frames of an object, rotated about the vertical by the seed."""
    views = render_asset(normalize_mesh(mesh, OBJECT_RADIUS).transformed(azimuth_rotation(2.1 * seed)), truth)
    return Frames(rgb=views.rgb, alpha=views.alpha, times=np.arange(len(truth)) / 8.0)


def _make_true_cameras(spec: PathSpec, size: int, *, seed: int) -> Cameras:
    """Return the cameras of a path with random elevation, wobble and jitter."""
    rng = np.random.default_rng(seed)
    phase, count = np.arange(spec.num_views) / spec.num_views, spec.num_views
    elevations = np.radians(rng.uniform(3, 18) + spec.wobble_deg * np.sin(2 * np.pi * (phase + rng.random())))
    elevations += np.radians(spec.jitter_deg) * rng.normal(size=count)
    azimuths = _azimuths(spec) + np.radians(spec.jitter_deg) * rng.normal(size=count)
    return square_cameras(on_sphere(azimuths, elevations), float(np.radians(spec.fov_deg)), size)


def _make_prior_path(truth: Cameras, spec: PathSpec, seed: int) -> Cameras:
    """Return the path that the generator was asked for: a plain arc with wrong elevation and focal length."""
    mean_elevation = float(np.arcsin(-truth.centers_in_world[:, 1].astype(np.float64)).mean())
    # Even seeds have too high an elevation and too long a focal length, odd ones the reverse.
    sign, factor = (1, PRIOR_FOCAL_ERROR) if seed % 2 == 0 else (-1, 1 / PRIOR_FOCAL_ERROR)
    elevations = np.full(spec.num_views, mean_elevation + sign * PRIOR_ELEVATION_ERROR)
    fov = 2 * np.arctan(np.tan(np.radians(spec.fov_deg) / 2) / factor)
    return square_cameras(on_sphere(_azimuths(spec), elevations), float(fov), truth.width)


def _azimuths(spec: PathSpec) -> Float[np.ndarray, "V"]:
    """Return even steps around a circle from the input camera, or along an arc to both sides of it."""
    if spec.arc_deg >= 360:
        return np.arange(spec.num_views) * (2 * np.pi / spec.num_views)
    return np.radians(spec.arc_deg) * np.linspace(-0.5, 0.5, spec.num_views)
