"""Benchmark of reconstructions of what moves: made scenes seen by several cameras at several times.

Measured at times that were trained on and from cameras that were not, on all pixels and on those that show what moves.
"""

import tempfile
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from evaluation.checks import check_names
from evaluation.markdown import markdown_table
from evaluation.motion_metrics import FlowError, GaussiansAt, drift, flow_error
from evaluation.moving_characters import character_kinds, usual_kinds
from evaluation.moving_scenes import (
    KINDS,
    Kinds,
    MovingScene,
    MovingViews,
    make_scene,
    render_scene,
    ring_of_cameras,
    scattered_cameras,
)
from evaluation.true_bones import train_on_true_bones
from img2world.core.errors import RecipeError
from img2world.core.gaussians import Gaussians
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.formats import spz
from img2world.render import Color, render_each
from img2world.splat.dynamic import DynamicSplat
from img2world.splat.metrics import psnr, unit_rgb
from img2world.splat.optimize import GaussianSplat
from img2world.tracking.visual_hull import carve_hull

TEST_CAMERAS = 4
"""Cameras between those of the training, at other heights."""

TEST_TIMES = 8
"""Times that are tested, evenly over the motion."""

RIGS = {"ring": 24, "orbit": 72, "anywhere": 72}
"""Numbers of times by the kind of cameras: a ring of them, which all see each time, or one that goes around once while
things move, or jumps from one time to the next (Pumarola et al. 2021, "D-NeRF"): so each time is seen from one side."""

ORBIT_ELEVATION = 0.25
"""Height of the one camera, in radians."""

MOVING = ("dynamic", "true bones")
"""Methods whose Gaussians move."""

LASTING = (*MOVING, "static")
"""Methods whose Gaussians are the same at all times, wherever they are."""


@dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """Selection of scenes and methods. Raises RecipeError for unknown names."""

    kinds: tuple[str, ...] | None = None
    """Names of scenes; None for all, or the usual clips of the assets."""
    methods: tuple[str, ...] = ("dynamic", "static")
    assets: Path | None = None
    """Characters with clips, which add kinds of scenes."""
    first: int = 0
    seeds: int = 1
    size: int = 256
    rig: str = "ring"
    cameras: int = 12
    """Number of cameras in the ring."""
    times: int = 0
    """0 takes what is usual for the rig."""

    def __post_init__(self) -> None:
        check_names("scene", self.kinds or (), self.known_kinds())
        check_names("method", self.methods, METHODS)
        check_names("rig", [self.rig], RIGS)
        if self.rig != "ring" and "per time" in self.methods:
            raise RecipeError(
                "one camera shows each time from one side only, of which no scene can be made",
                hint="leave out --method 'per time', or take --rig ring",
            )

    def known_kinds(self) -> Kinds:
        """Return all kinds of scenes by name."""
        return KINDS if self.assets is None else KINDS | character_kinds(self.assets)

    @property
    def all_times(self) -> Float64[np.ndarray, "T"]:
        """Times that the cameras see."""
        return np.linspace(0, 1, self.times or RIGS[self.rig])


@dataclass(frozen=True, kw_only=True)
class MotionRow:
    """Result of one method on one scene."""

    kind: str
    seed: int
    method: str
    psnr: float
    """Mean over cameras and times, dB."""
    psnr_moving: float
    """The same of the pixels that show what moves."""
    drift: float
    """Median distance of moving vertices from where the Gaussian goes that is nearest to them at first, relative to the
    way that they are from there; infinite for methods that follow nothing."""
    flow: float
    """Mean error in pixels of the flow from each tested time to the next, where something moves; infinite where the
    Gaussians of one time say nothing of those of the next."""
    no_flow: float
    """The same if nothing moved."""
    seconds: float
    """CPU seconds."""
    megabytes: float


def evaluate_motion(options: MotionOptions) -> Iterator[MotionRow]:
    """Yield the rows of all methods on all scenes."""
    known = options.known_kinds()
    usual = KINDS if options.assets is None else usual_kinds(kind for kind in known if kind not in KINDS)
    for seed in range(options.first, options.first + options.seeds):
        for kind in options.kinds or usual:
            scene = make_scene(kind, seed, known)
            views, truth = training_views(scene, options), views_to_test(scene, options)
            for name in options.methods:
                start = clock.process_time()
                gaussians_at, background, num_bytes = METHODS[name](views, scene)
                seconds = clock.process_time() - start
                everywhere, moving = _compare(gaussians_at, background, truth)
                flow = _mean_flow(scene, gaussians_at if name in LASTING else None, truth)
                yield MotionRow(
                    kind=kind,
                    seed=seed,
                    method=name,
                    psnr=everywhere,
                    psnr_moving=moving,
                    drift=drift(scene, gaussians_at, options.all_times) if name in MOVING else float("inf"),
                    flow=flow.error,
                    no_flow=flow.of_none,
                    seconds=seconds,
                    megabytes=num_bytes / 1e6,
                )


def training_views(scene: MovingScene, options: MotionOptions) -> Views:
    """Return what the cameras see, with points of a visual hull: of the ring at first, of one camera all in all."""
    times = options.all_times
    if options.rig != "ring":
        if options.rig == "orbit":
            cameras = ring_of_cameras(len(times), options.size, elevations=(ORBIT_ELEVATION, ORBIT_ELEVATION))
        else:
            cameras = scattered_cameras(len(times), options.size)
        seen = render_scene(scene, cameras, times)
        whole = np.arange(len(times))
    else:
        ring = ring_of_cameras(options.cameras, options.size)
        cameras = ring.select(np.repeat(np.arange(options.cameras), len(times)))
        seen = render_scene(scene, cameras, np.tile(times, options.cameras))
        whole = np.flatnonzero(seen.times == 0)
    points = carve_hull(seen.views.alpha[whole] > 127, cameras.select(whole))
    return Views(
        rgb=seen.views.rgb,
        alpha=seen.views.alpha,
        cameras=cameras,
        times=seen.times,
        confidence=np.ones(len(cameras), np.float32),
        points=points.astype(np.float32),
        point_colors=np.full((len(points), 3), 128, np.uint8),
        solver="true",
    )


def views_to_test(scene: MovingScene, options: MotionOptions) -> MovingViews:
    """Return renders from other cameras, at some of the times."""
    times = options.all_times
    times = times[:: max(1, len(times) // TEST_TIMES)]
    cameras = ring_of_cameras(TEST_CAMERAS, options.size, elevations=(0.3, 0.2), offset=0.37)
    index = np.repeat(np.arange(TEST_CAMERAS), len(times))
    return render_scene(scene, cameras.select(index), np.tile(times, TEST_CAMERAS))


def _compare(gaussians_at: GaussiansAt, background: Color, truth: MovingViews) -> tuple[float, float]:
    """Return the mean PSNR of all pixels, and of those that show what moves."""
    everywhere, moving = [], []
    for i, time in enumerate(truth.times.tolist()):
        picture = next(render_each(gaussians_at(time), truth.views.cameras.select([i]), background=background))[0]
        expected, here = unit_rgb(truth.views.rgb[i]), truth.moving[i] > 0
        everywhere.append(psnr(picture, expected))
        if here.any():
            moving.append(psnr(picture[here][:, None], expected[here][:, None]))
    return float(np.mean(everywhere)), float(np.mean(moving))


def _mean_flow(scene: MovingScene, gaussians_at: GaussiansAt | None, truth: MovingViews) -> FlowError:
    """Return the mean errors of the flow from each tested time to the next; infinite without Gaussians."""
    times = np.unique(truth.times)
    errors = []
    for i, time in enumerate(truth.times.tolist()):
        later = times[times > time]
        if len(later):
            pair, camera = (time, float(later[0])), truth.views.cameras.select([i])
            errors.append(flow_error(scene, gaussians_at, camera, pair, truth.moving[i] > 0))
    known = [(each.error, each.of_none) for each in errors if each is not None]
    error, of_none = np.mean(known, axis=0).tolist()
    return FlowError(error=error, of_none=of_none)


def _dynamic(views: Views, scene: MovingScene) -> tuple[GaussiansAt, Color, int]:
    """Train Gaussians and bones."""
    return _moving_result(DynamicSplat(holdout_every=0).optimize(views))


def _true_bones(views: Views, scene: MovingScene) -> tuple[GaussiansAt, Color, int]:
    """Train Gaussians that move as the scene truly does, with as many steps."""
    options = DynamicSplat(holdout_every=0)
    return _moving_result(
        train_on_true_bones(scene, views, replace(options, steps=options.static_steps + options.steps))
    )


def _moving_result(scene: Scene) -> tuple[GaussiansAt, Color, int]:
    """Return what a scene with bones comes to."""
    return scene.at, scene.background, _spz_bytes(scene.gaussians) + _motion_bytes(scene)


def _spz_bytes(gaussians: Gaussians) -> int:
    """Return the size of Gaussians as an SPZ file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.spz"
        spz.write(gaussians, path)
        return path.stat().st_size


def _motion_bytes(scene: Scene) -> int:
    """Return the bytes of a motion that is stored in half precision, weights in bytes."""
    motion = scene.motion
    assert motion is not None
    return 2 * (motion.bone_quats.size + motion.bone_translations.size) + 2 * motion.bone_indices.size


def _static(views: Views, scene: MovingScene) -> tuple[GaussiansAt, Color, int]:
    """Train one scene on the views of all times, with as many steps."""
    options = DynamicSplat()
    splat = _static_splat(options.static_steps + options.steps, options)
    result = splat.optimize(replace(views, times=None))
    return lambda time: result.gaussians, result.background, _spz_bytes(result.gaussians)


def _per_time(views: Views, scene: MovingScene) -> tuple[GaussiansAt, Color, int]:
    """Train a scene for each time, on its views alone."""
    assert views.times is not None
    options = DynamicSplat()
    scenes = {}
    for time in np.unique(views.times).tolist():
        here = views.select(np.flatnonzero(views.times == time))
        assert here.alpha is not None
        points = carve_hull(here.alpha > 127, here.cameras).astype(np.float32)
        colors = np.full((len(points), 3), 128, np.uint8)
        here = replace(here, times=None, points=points, point_colors=colors)
        scenes[time] = _static_splat(PER_TIME_STEPS, options).optimize(here)
    size = sum(_spz_bytes(scene.gaussians) for scene in scenes.values())
    return lambda time: scenes[time].gaussians, next(iter(scenes.values())).background, size


PER_TIME_STEPS = 600
"""Steps of each scene of one time: more gain nothing on a dozen views."""


def _static_splat(steps: int, options: DynamicSplat) -> GaussianSplat:
    """Return the training of a scene in which nothing moves."""
    return GaussianSplat(steps=steps, max_gaussians=options.max_gaussians, holdout_every=0, stereo=False, sh_degree=0)


METHODS = {"dynamic": _dynamic, "static": _static, "per time": _per_time, "true bones": _true_bones}
"""Methods by name: views and the truth in, the Gaussians at a time, the background and the number of bytes out."""


def table_lines(rows: list[MotionRow]) -> Iterator[str]:
    """Yield a Markdown table of all rows."""
    headings = ["scene", "seed", "method", "PSNR", "where it moves", "drift", "flow error", "of none", "CPU s", "MB"]
    cells = [
        [
            row.kind,
            str(row.seed),
            row.method,
            f"{row.psnr:.1f}",
            f"{row.psnr_moving:.1f}",
            f"{row.drift:.1%}" if np.isfinite(row.drift) else "–",
            f"{row.flow:.2f}" if np.isfinite(row.flow) else "–",
            f"{row.no_flow:.2f}",
            f"{row.seconds:.0f}",
            f"{row.megabytes:.2f}",
        ]
        for row in rows
    ]
    return markdown_table(headings, cells)
