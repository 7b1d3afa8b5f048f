"""How right the cameras are that solvers find, on orbits whose truth is known and whose frames are spoilt."""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.assets import TexturedMesh, find_assets, load_asset, unit_mesh
from evaluation.degradations import DOSES, degraded
from evaluation.placement import turned
from evaluation.pose_metrics import PoseScore, score_poses
from evaluation.procedural import procedural_object
from evaluation.rendering import render_asset
from evaluation.posed_photos import posed_photos, scene_folders, scene_name
from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import PoseError, RecipeError, RejectedError
from img2world.core.frames import Frames
from img2world.core.views import Views
from img2world.poses.auto import AutoPoses
from img2world.poses.colmap import ColmapPoses
from img2world.poses.commanded import CommandedPoses
from img2world.poses.flow_colmap import FlowColmapPoses
from img2world.poses.orbit import OrbitPoses
from img2world.runs.options import did_you_mean
from img2world.video.synthetic import SyntheticVideo

OBJECT_RADIUS = 0.25
"""Of the sphere that an object just fills, one unit from the camera: it stays in the picture all around."""

ELEVATION_ERROR = np.radians(8.0)
FOCAL_ERROR = 1.25
"""By what the told path is wrong, as generators' are."""

SOLVERS = {
    "auto": AutoPoses(),
    "orbit": OrbitPoses(),
    "commanded": CommandedPoses(),
    "colmap": ColmapPoses(),
    "flow-colmap": FlowColmapPoses(),
    "flow-colmap-global": FlowColmapPoses(mapper="global"),
    "auto, path unknown": AutoPoses(),
    "orbit, path unknown": OrbitPoses(),
}
"""What can be compared; the told path is given to all but those that say so."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A camera path around an object or in a room."""

    num_views: int
    fov_deg: float
    arc_deg: float = 360.0
    wobble_deg: float = 0.0
    """By how much the true path rises and falls, of which nobody is told."""
    jitter_deg: float = 0.0
    """Standard deviation of each camera's place on its own."""
    is_room: bool = False


WAYS = {
    "circle": Way(num_views=21, fov_deg=33.8),
    "wobble": Way(num_views=36, fov_deg=40.0, wobble_deg=12.0, jitter_deg=1.0),
    "room": Way(num_views=30, fov_deg=55.0, arc_deg=80.0, is_room=True),
}


REAL = ("photos", "as is")
"""Path and damage of posed photos in the table."""


@dataclass(frozen=True, kw_only=True)
class PoseOptions:
    """What is to be evaluated."""

    assets: Path | None = None
    count: int = 12
    """Objects, and rooms."""
    first: int = 0
    """The first seed."""
    seeds: int = 3
    """Times each, with another side, height, path and damage."""
    scenes: Path | None = None
    """A folder with posed photos, as `views/` of a run: each is taken as photos without order, nothing told."""
    size: int = 256
    ways: tuple[str, ...] = tuple(WAYS)
    doses: tuple[str, ...] = ("clean", "hard")
    solvers: tuple[str, ...] = ("auto",)


def pose_options(
    *,
    ways: list[str] | None,
    doses: list[str] | None,
    solvers: list[str] | None,
    assets: Path | None = None,
    count: int = 12,
    first: int = 0,
    seeds: int = 3,
    size: int = 256,
    scenes: Path | None = None,
) -> PoseOptions:
    """Options as they were typed, what is left out being the default. Raises RecipeError for unknown names.

    With `scenes`, paths are only rendered when they are named, too.
    """
    default = PoseOptions()
    chosen = {
        "ways": ways or ([] if scenes else default.ways),
        "doses": doses or default.doses,
        "solvers": solvers or default.solvers,
    }
    for name, known in (("ways", WAYS), ("doses", DOSES), ("solvers", SOLVERS)):
        for word in chosen[name]:
            if word not in known:
                raise RecipeError(f"there is no {word}", hint=did_you_mean(word, list(known)))
    named = {name: tuple(words) for name, words in chosen.items()}
    return PoseOptions(assets=assets, count=count, first=first, seeds=seeds, size=size, scenes=scenes, **named)


@dataclass(frozen=True, kw_only=True)
class PoseRow:
    """One solver on one clip."""

    case: str
    seed: int
    way: str
    dose: str
    solver: str
    score: PoseScore
    grade: str
    """Of the solver's own report; empty where it gives none, or nothing was found."""
    used: str
    """What the solver calls its answer, or why there is none."""
    reasons: tuple[str, ...]
    figures: dict[str, float]
    """Of the report: held-out pixels, inlier share, parallax, margins."""
    seconds: float
    """Of this process and its children on the processor."""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells the row from others."""
        return self.case, str(self.seed), self.way, self.dose, self.solver


def evaluate_poses(options: PoseOptions, *, known: Collection[tuple[str, ...]] = ()) -> Iterator[PoseRow]:
    """Rows of all solvers on all clips, seed by seed, but for those whose `key` is known."""
    for seed in range(options.first, options.first + options.seeds):
        for name in options.ways:
            for case, make, truth in _clips(options, WAYS[name], seed):
                told = _told(truth, WAYS[name], seed)
                wanted = [
                    (dose, solver)
                    for dose in options.doses
                    for solver in options.solvers
                    if (case, str(seed), name, dose, solver) not in known
                ]
                clip = make() if wanted else None
                for dose, solver in wanted:
                    assert clip is not None
                    spoilt = degraded(clip, DOSES[dose], seed=1000 * seed + 7)
                    # Solvers see what comes out of a generator: pictures.
                    row = _row(solver, Frames(rgb=spoilt.rgb, times=spoilt.times), truth, told)
                    yield replace(row, case=case, seed=seed, way=name, dose=dose)
    if options.scenes is not None:
        yield from _photo_rows(options.scenes, options.solvers, known)


def _photo_rows(scenes: Path, solvers: Collection[str], known: Collection[tuple[str, ...]]) -> Iterator[PoseRow]:
    """Rows of posed photos, given without their order and cameras."""
    for folder in scene_folders(scenes):
        case = scene_name(folder, scenes)
        wanted = [solver for solver in solvers if (case, "0", *REAL, solver) not in known]
        if wanted:
            views = posed_photos(folder)
            photos = Frames(rgb=views.rgb, mask=views.mask, times=np.arange(len(views), dtype=float), ordered=False)
            for solver in wanted:
                yield replace(_row(solver, photos, views.cameras, None), case=case, way=REAL[0], dose=REAL[1])


def _row(solver: str, frames: Frames, truth: Cameras, told: Cameras | None) -> PoseRow:
    """One solver on one clip; a refusal places no frame."""
    start = _processor_seconds()
    trajectory = None if solver.endswith("path unknown") else told
    views, why = None, ""
    try:
        views = SOLVERS[solver].estimate(frames, trajectory)
    except (PoseError, RejectedError) as error:
        why = str(error)
    seconds = _processor_seconds() - start
    report = None if views is None else views.report
    figures = (
        {}
        if report is None
        else {
            "px": report.heldout_px,
            "inliers": report.inlier_share,
            "tracks": float(report.tracks),
            "parallax": report.parallax_deg,
            **report.margins,
        }
    )
    return PoseRow(
        case="",
        seed=0,
        way="",
        dose="",
        solver=solver,
        score=_score(views, truth),
        grade="" if report is None else report.grade,
        used=why if views is None else views.solver,
        reasons=() if report is None else report.reasons,
        figures={name: round(value, 4) for name, value in figures.items()},
        seconds=round(seconds, 2),
    )


def _score(views: Views | None, truth: Cameras) -> PoseScore:
    """How right the views' cameras are; all wrong where there are none."""
    if views is None:
        return score_poses(truth.select([]), truth, np.zeros(0, np.int64))
    placed = np.arange(len(views)) if views.report is None else np.array(views.report.frames)
    return score_poses(views.cameras, truth, placed)


def _processor_seconds() -> float:
    """Of this process and of children that have ended: the clock on the wall counts other programs, too."""
    return sum(os.times()[:4])


def _clips(options: PoseOptions, way: Way, seed: int) -> Iterator[tuple[str, Callable[[], Frames], Cameras]]:
    """Each object or room, what makes its perfect frames, and their cameras."""
    paths = None if options.assets is None else find_assets(options.assets)[: options.count]
    for i in range(options.count if way.is_room or paths is None else len(paths)):
        truth = _truth(way, options.size, seed=100 * i + seed)
        if way.is_room:
            room, number = SyntheticVideo(kind="room"), 100 * i + seed
            yield (
                f"room-{i:02d}",
                lambda room=room, truth=truth, number=number: room.generate(None, truth, seed=number),
                truth,
            )
            continue
        name = f"object-{i:02d}" if paths is None else paths[i].stem
        yield name, lambda i=i, truth=truth: _frames(_mesh(paths, i), truth, seed), truth


def _mesh(paths: list[Path] | None, i: int) -> TexturedMesh:
    """The object of a number."""
    return procedural_object(i) if paths is None else load_asset(paths[i])


def _frames(mesh: TexturedMesh, truth: Cameras, seed: int) -> Frames:
    """The object from all cameras, turned by the seed."""
    shown = render_asset(unit_mesh(mesh, OBJECT_RADIUS).moved(turned(2.1 * seed)), truth)
    return Frames(rgb=shown.rgb, alpha=shown.alpha, times=np.arange(len(truth)) / 8.0)


def _truth(way: Way, size: int, *, seed: int) -> Cameras:
    """Where the cameras are."""
    random = np.random.default_rng(seed)
    phase, count = np.arange(way.num_views) / way.num_views, way.num_views
    elevations = np.radians(random.uniform(3, 18) + way.wobble_deg * np.sin(2 * np.pi * (phase + random.random())))
    elevations += np.radians(way.jitter_deg) * random.normal(size=count)
    azimuths = _azimuths(way) + np.radians(way.jitter_deg) * random.normal(size=count)
    return _cameras(azimuths, elevations, np.radians(way.fov_deg), size)


def _told(truth: Cameras, way: Way, seed: int) -> Cameras:
    """What the generator was told: a plain path at the wrong height, with the wrong lens."""
    heights = -truth.centers_in_world[:, 1].astype(np.float64)
    # Told too high or too low in turns.
    elevation = float(np.arcsin(heights).mean()) + (ELEVATION_ERROR if seed % 2 == 0 else -ELEVATION_ERROR)
    factor = FOCAL_ERROR if seed % 2 == 0 else 1 / FOCAL_ERROR
    fov = 2 * np.arctan(np.tan(np.radians(way.fov_deg) / 2) / factor)
    return _cameras(_azimuths(way), np.full(way.num_views, elevation), fov, truth.width)


def _azimuths(way: Way) -> np.ndarray:
    """Even steps [V], from the input camera on; a room is seen to both sides of it."""
    if way.arc_deg >= 360:
        return np.arange(way.num_views) * (2 * np.pi / way.num_views)
    return np.radians(way.arc_deg) * np.linspace(-0.5, 0.5, way.num_views)


def _cameras(azimuths: np.ndarray, elevations: np.ndarray, fov: float, size: int) -> Cameras:
    """Cameras on the sphere."""
    return Cameras(
        world_from_cam=on_sphere(azimuths, elevations),
        intrinsics=np.repeat(intrinsics_from_fov(float(fov), size, size)[None], len(azimuths), 0),
        width=size,
        height=size,
    )
