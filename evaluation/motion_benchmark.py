"""Benchmark of reconstructions of what moves: made scenes seen by several cameras at several times.

Measured at times that were trained on and from cameras that were not, on all pixels and on those that show what moves.
"""

import tempfile
import time as clock
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.checks import check_names
from evaluation.markdown import markdown_table
from evaluation.moving_scenes import KINDS, MovingScene, MovingViews, make_scene, render_scene, ring_of_cameras
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

MAX_TRACKED = 2000
"""Vertices whose way is followed."""


@dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """Selection of scenes and methods. Raises RecipeError for unknown names."""

    kinds: tuple[str, ...] = tuple(KINDS)
    methods: tuple[str, ...] = ("dynamic", "static")
    first: int = 0
    seeds: int = 1
    size: int = 256
    cameras: int = 12
    times: int = 24
    test_every: int = 3
    """Every so many times are tested."""

    def __post_init__(self) -> None:
        check_names("scene", self.kinds, KINDS)
        check_names("method", self.methods, METHODS)


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
    seconds: float
    """CPU seconds."""
    megabytes: float


Render = Callable[[float], Gaussians]
"""The Gaussians at a time."""


def evaluate_motion(options: MotionOptions) -> Iterator[MotionRow]:
    """Yield the rows of all methods on all scenes."""
    for seed in range(options.first, options.first + options.seeds):
        for kind in options.kinds:
            scene = make_scene(kind, seed)
            views = training_views(scene, options)
            truth = _test_views(scene, options)
            for name in options.methods:
                start = clock.process_time()
                gaussians_at, background, num_bytes = METHODS[name](views)
                seconds = clock.process_time() - start
                everywhere, moving = _compare(gaussians_at, background, truth)
                yield MotionRow(
                    kind=kind,
                    seed=seed,
                    method=name,
                    psnr=everywhere,
                    psnr_moving=moving,
                    drift=_drift(scene, gaussians_at, views) if name == "dynamic" else float("inf"),
                    seconds=seconds,
                    megabytes=num_bytes / 1e6,
                )


def training_views(scene: MovingScene, options: MotionOptions) -> Views:
    """Return what each camera sees at each time, with points of the visual hull at the first."""
    times = np.linspace(0, 1, options.times)
    cameras = ring_of_cameras(options.cameras, options.size).select(np.repeat(np.arange(options.cameras), len(times)))
    seen = render_scene(scene, cameras, np.tile(times, options.cameras))
    first = np.flatnonzero(seen.times == 0)
    points = carve_hull(seen.views.alpha[first] > 127, cameras.select(first))
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


def _test_views(scene: MovingScene, options: MotionOptions) -> MovingViews:
    """Return renders from other cameras, at some of the times."""
    times = np.linspace(0, 1, options.times)[:: options.test_every]
    cameras = ring_of_cameras(TEST_CAMERAS, options.size, elevations=(0.3, 0.2), offset=0.37)
    index = np.repeat(np.arange(TEST_CAMERAS), len(times))
    return render_scene(scene, cameras.select(index), np.tile(times, TEST_CAMERAS))


def _compare(gaussians_at: Render, background: Color, truth: MovingViews) -> tuple[float, float]:
    """Return the mean PSNR of all pixels, and of those that show what moves."""
    everywhere, moving = [], []
    for i, time in enumerate(truth.times.tolist()):
        picture = next(render_each(gaussians_at(time), truth.views.cameras.select([i]), background=background))[0]
        expected, here = unit_rgb(truth.views.rgb[i]), truth.moving[i] > 0
        everywhere.append(psnr(picture, expected))
        if here.any():
            moving.append(psnr(picture[here][:, None], expected[here][:, None]))
    return float(np.mean(everywhere)), float(np.mean(moving))


def _drift(scene: MovingScene, gaussians_at: Render, views: Views) -> float:
    """Return how far Gaussians leave the moving vertices next to them at first, relative to the way of these."""
    from scipy.spatial import KDTree

    assert views.times is not None
    times = np.unique(views.times)
    moving = np.flatnonzero(scene.moving)
    chosen = moving[:: max(1, len(moving) // MAX_TRACKED)]
    start = scene.vertices_at(float(times[0]))[chosen]
    means = gaussians_at(float(times[0])).means
    nearest = KDTree(means).query(start)[1]
    offsets = start - means[nearest]
    errors, ways = [], []
    for time in times[1:].tolist():
        there = scene.vertices_at(time)[chosen]
        errors.append(np.linalg.norm(gaussians_at(time).means[nearest] + offsets - there, axis=1))
        ways.append(np.linalg.norm(there - start, axis=1))
    return float(np.median(errors) / np.median(ways))


def _dynamic(views: Views) -> tuple[Render, Color, int]:
    """Train Gaussians and bones."""
    scene = DynamicSplat(holdout_every=0).optimize(views)
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


def _static(views: Views) -> tuple[Render, Color, int]:
    """Train one scene on the views of all times, with as many steps."""
    options = DynamicSplat()
    splat = _static_splat(options.static_steps + options.steps, options)
    scene = splat.optimize(replace(views, times=None))
    return lambda time: scene.gaussians, scene.background, _spz_bytes(scene.gaussians)


def _per_time(views: Views) -> tuple[Render, Color, int]:
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


METHODS = {"dynamic": _dynamic, "static": _static, "per time": _per_time}
"""Methods by name: views in, the Gaussians at a time, the background and the number of bytes out."""


def table_lines(rows: list[MotionRow]) -> Iterator[str]:
    """Yield a Markdown table of all rows."""
    headings = ["scene", "seed", "method", "PSNR", "where it moves", "drift", "CPU s", "MB"]
    cells = [
        [
            row.kind,
            str(row.seed),
            row.method,
            f"{row.psnr:.1f}",
            f"{row.psnr_moving:.1f}",
            f"{row.drift:.1%}" if np.isfinite(row.drift) else "–",
            f"{row.seconds:.0f}",
            f"{row.megabytes:.2f}",
        ]
        for row in rows
    ]
    return markdown_table(headings, cells)
