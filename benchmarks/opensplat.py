"""Compare the splat stage with OpenSplat on the CPU: same photos, cameras, points and held-out views.

    python benchmarks/opensplat.py PHOTOS [--opensplat PROGRAM] [--seconds 120] [--threads 1 2] [--write]
    python benchmarks/opensplat.py PHOTOS PHOTOS … --seconds 600 [--opensplat PROGRAM] [--write]

PHOTOS is a folder of photos of one subject, or of views saved by `--keep-views`. One is compared in detail, several in
one table with both programs at their defaults. Each trainer is measured by its own
renders of the held-out views. benchmarks/README.md describes how to build OpenSplat.
"""

import argparse
import datetime
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from opensplat_process import HeldOutRenderer, train
from report import README, machine, write_section

from img2world.core.errors import Img2WorldError
from img2world.core.views import Views
from img2world.poses.colmap import ColmapPoses
from img2world.splat.metrics import evaluate
from img2world.splat.optimize import GaussianSplat
from img2world.video.file import FileVideo

LEVELS, TIMES = (20.0, 22.0, 24.0), (30.0, 60.0, 120.0)
"""Levels in dB and times in seconds for the table."""

MINUTES = (60.0, 180.0, 600.0)
"""Seconds for the table of several sets."""

BUDGETS = (0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
"""Seconds for img2world; each needs its own training, because its schedules depend on the number of steps."""

MODES = {"full size": (("--num-downscales", "0"), 10), "its defaults": ((), 50)}
"""Ways to run OpenSplat: options, and steps between its files. By default it starts with images of a quarter of the
size and doubles them after 3,000 steps."""

MAX_SNAPSHOTS = 16
ITERATION_SECONDS = 20.0
"""Duration of OpenSplat's run for the time of one iteration."""
ITERATION_STEPS = 300
"""Number of img2world's steps for the same."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Quality at one time of a training."""

    seconds: float
    psnr: float
    steps: int


Curve = list[Measurement]


def main() -> None:
    """Measure, print the table, and write it on request."""
    options = parse_options()
    program = shutil.which(options.opensplat)
    if program is None:
        sys.exit(f"there is no program {options.opensplat}; {README} describes how to build OpenSplat")
    try:
        # Saved views lie in the folder `views` of a run.
        names = [folder.parent.name if folder.name == "views" else folder.name for folder in options.photos]
        if len(set(names)) < len(names):
            sys.exit(f"two folders have the same name: {', '.join(names)}")
        views = (load_views(folder, options.size) for folder in options.photos)
        sets = dict(zip(names, views, strict=True))
    except Img2WorldError as error:
        sys.exit(f"{error}; {error.hint}")
    if options.keep_views:
        for name, views in sets.items():
            views.save(options.keep_views / name)
    splat = GaussianSplat(holdout_every=options.holdout_every)
    if len(sets) > 1:
        # As long as the recipes of captures train.
        splat = replace(splat, steps=0, max_gaussians=0)
        text = "\n".join(compare_sets(program, splat, sets, options.seconds, options.threads[-1]))
        section = "opensplat-sets"
    else:
        (views,) = sets.values()
        with tempfile.TemporaryDirectory(prefix="opensplat-") as scratch:
            text = "\n".join(compare(program, splat, views, Path(scratch), options.seconds, options.threads))
        section = "opensplat"
    print(text)
    if options.write:
        write_section(section, text)


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Compare the splat stage with OpenSplat on the CPU.")
    parser.add_argument("photos", type=Path, nargs="+", help="folders of photos, or of saved views")
    parser.add_argument("--opensplat", default="opensplat", help="the program (%(default)s)")
    parser.add_argument("--size", type=int, default=512, help="longest side of the images (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="of each training, at least, of several sets (%(default)s)"
    )
    parser.add_argument("--holdout-every", type=int, default=8, help="one of so many views is held out (%(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="the curves use the last (1 2)")
    parser.add_argument("--keep-views", type=Path, help="save the views below this folder for reuse")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    return parser.parse_args()


def load_views(photos: Path, size: int) -> Views:
    """Return views with cameras by COLMAP on images of twice the size, without alpha and depth like OpenSplat's."""
    if (photos / "views.safetensors").exists():
        return replace(Views.load(photos), alpha=None, depth=None)
    frames = FileVideo(path=photos, photo_size=2 * size).generate(None, None)
    views = ColmapPoses().estimate(frames, None)
    scale = size / max(views.cameras.width, views.cameras.height)
    return resized(views, round(views.cameras.width * scale), round(views.cameras.height * scale))


def resized(views: Views, width: int, height: int) -> Views:
    """Return the views with images of another size."""
    import cv2

    rgb = np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in views.rgb])
    return replace(views, rgb=rgb, cameras=views.cameras.resized(width, height), alpha=None, depth=None)


def compare_sets(program: str, splat: GaussianSplat, sets: dict[str, Views], seconds: float, threads: int) -> list[str]:
    """Return a table of both programs at their defaults: OpenSplat after 1, 3 and 10 minutes and 5 × our time."""
    use_threads(threads)
    lines = [
        f"{datetime.date.today()}, {machine()}. PSNR of held-out views in dB, after brightness and tint were matched.",
        "",
        "| set | views | steps | img2world s | dB | OpenSplat, same time | 5 × that | 1 min | 3 min | 10 min |",
        f"|{'---|' * 10}",
    ]
    for name, views in sets.items():
        held_out = splat.held_out(len(views))
        replace(splat, steps=10).optimize(views)  # Loads libraries.
        start = time.perf_counter()
        scene = splat.optimize(views)
        taken = time.perf_counter() - start
        ours = evaluate(scene, views, held_out)["heldout_psnr_matched"]
        with tempfile.TemporaryDirectory(prefix="opensplat-") as scratch:
            trained = views.select(np.flatnonzero(~held_out))
            trained.save(Path(scratch) / "trained")
            renderer = HeldOutRenderer(
                binary=program,
                views=views.select(np.flatnonzero(held_out)),
                points=trained,
                folder=Path(scratch),
                threads=threads,
            )
            options, save_every = MODES["its defaults"]
            training = train(
                program,
                Path(scratch) / "trained",
                Path(scratch) / "out",
                threads=threads,
                seconds=max(seconds, 5.2 * taken),
                save_every=save_every,
                options=options,
            )
            # At every hundredth step OpenSplat removes faint Gaussians, also while it renders.
            reached = {step: training.seconds(step) for step in training.snapshots if step % 100}
            theirs: list[float | None] = []
            for limit in (taken, 5 * taken, *MINUTES):
                steps = [step for step, at in reached.items() if at <= limit]
                known = steps and limit <= 1.05 * max(reached.values())
                theirs.append(renderer.matched_psnr(training.snapshots[max(steps)]) if known else None)
        steps = str(splat.with_budget(views).steps)
        cells = [name, str(len(views)), steps, f"{taken:.0f}", f"{ours:.2f}", *map(text, theirs)]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def compare(
    program: str, splat: GaussianSplat, views: Views, scratch: Path, seconds: float, threads: list[int]
) -> list[str]:
    """Return the lines of the report."""
    off_center = np.abs(views.cameras.intrinsics[:, :2, 2] - [views.cameras.width / 2, views.cameras.height / 2])
    held_out = splat.held_out(len(views))
    trained = views.select(np.flatnonzero(~held_out))
    trained.save(scratch / "trained")
    size = f"{views.cameras.width} × {views.cameras.height}"
    lines = [
        f"{datetime.date.today()}, {machine()}, load {os.getloadavg()[0]:.1f} at the start. {len(views)} photos "
        f"of {size}, {int(held_out.sum())} held out, {len(views.points):,} points. The principal point is "
        f"{off_center.max():.2f} px off the centre, where OpenSplat assumes it.",
        "",
    ]
    rates = [
        (count, time_opensplat_iteration(program, scratch, count), time_own_iteration(splat, views, count))
        for count in threads
    ]
    print("\n".join(table_of_rates(rates)), flush=True)
    renderer = HeldOutRenderer(
        binary=program,
        views=views.select(np.flatnonzero(held_out)),
        points=trained,
        folder=scratch,
        threads=threads[-1],
    )
    curves = {name: measure_opensplat(renderer, scratch, name, seconds) for name in MODES}
    curves["img2world"] = measure_own(splat, views, threads[-1], seconds)
    lines += [*table_of_rates(rates), "", *table_of_quality(curves, threads[-1]), "", *table_of_curves(curves)]
    return [*lines, "", f"Load at the end: {os.getloadavg()[0]:.1f}."]


def time_opensplat_iteration(program: str, scratch: Path, threads: int) -> float:
    """Return the median seconds of a step at full size, before Gaussians are added (from step 500 on)."""
    options, _ = MODES["full size"]
    out = scratch / f"iteration-{threads}"
    training = train(
        program,
        scratch / "trained",
        out,
        threads=threads,
        seconds=ITERATION_SECONDS,
        save_every=10**6,
        options=options,
    )
    return float(np.median(training.durations[5:500]))


def time_own_iteration(splat: GaussianSplat, views: Views, threads: int) -> float:
    """Return the same for img2world, without smaller images and added Gaussians."""
    use_threads(threads)
    marks: list[tuple[int, float]] = []
    same_work = replace(splat, steps=ITERATION_STEPS, coarse_fraction=0.0, densify_gradient=1e9)
    same_work.optimize(views, progress=lambda done, total, **quality: marks.append((done, time.perf_counter())))
    steps, seconds = np.diff(np.array(marks), axis=0).T
    return float(np.median(seconds / steps))


def use_threads(count: int) -> None:
    """Set the number of threads of img2world and torch."""
    os.environ["IMG2WORLD_THREADS"] = str(count)
    torch.set_num_threads(count)


def measure_opensplat(renderer: HeldOutRenderer, scratch: Path, mode: str, seconds: float) -> Curve:
    """Return held-out quality over time of one long training."""
    options, save_every = MODES[mode]
    training = train(
        renderer.binary,
        scratch / "trained",
        scratch / mode.replace(" ", "-"),
        threads=renderer.threads,
        seconds=seconds,
        save_every=save_every,
        options=options,
    )
    steps = sorted(training.snapshots)
    # Evenly spaced in the logarithm of time, including the last.
    indices = np.unique(np.geomspace(1, len(steps), min(MAX_SNAPSHOTS, len(steps))).round().astype(int)) - 1
    chosen = [steps[i] for i in indices]
    return [
        Measurement(seconds=training.seconds(step), psnr=renderer.psnr(training.snapshots[step]), steps=step)
        for step in chosen
    ]


def measure_own(splat: GaussianSplat, views: Views, threads: int, seconds: float) -> Curve:
    """Return held-out quality of trainings of increasing length, timed from the points on."""
    use_threads(threads)
    held_out, curve = splat.held_out(len(views)), []
    replace(splat, steps=10).optimize(views)  # Loads libraries.
    start = time.perf_counter()
    replace(splat, steps=50).optimize(views)
    per_step = (time.perf_counter() - start) / 50
    for budget in [budget for budget in BUDGETS if budget <= seconds]:
        steps = max(2, round(budget / per_step))
        start = time.perf_counter()
        scene = replace(splat, steps=steps).optimize(views)
        taken = time.perf_counter() - start
        per_step = taken / steps
        curve.append(Measurement(seconds=taken, psnr=evaluate(scene, views, held_out)["heldout_psnr"], steps=steps))
    # On a busy machine a training may take longer than the next one.
    return sorted(curve, key=lambda measurement: measurement.seconds)


def time_to(curve: Curve, level: float) -> float | None:
    """Return the seconds until a quality is reached, interpolated logarithmically; None if it is never reached."""
    for before, after in zip([None, *curve], curve, strict=False):
        if after.psnr >= level:
            if before is None:
                return after.seconds
            fraction = (level - before.psnr) / (after.psnr - before.psnr)
            return before.seconds * (after.seconds / before.seconds) ** fraction
    return None


def quality_at(curve: Curve, seconds: float) -> float | None:
    """Return the quality in dB at a time, interpolated logarithmically; None outside the measured range."""
    times = [measurement.seconds for measurement in curve]
    # A training with this budget may have taken a little less.
    if not times or not times[0] <= seconds <= 1.1 * times[-1]:
        return None
    return float(np.interp(np.log(seconds), np.log(times), [measurement.psnr for measurement in curve]))


def table_of_rates(rates: list[tuple[int, float, float]]) -> list[str]:
    """Return a table of seconds per iteration."""
    rows = ["| one iteration, full size, as many Gaussians as points | OpenSplat s | img2world s | ratio |"]
    rows += ["|---|---|---|---|"]
    return rows + [
        f"| {count} threads | {theirs:.3f} | {ours:.4f} | {theirs / ours:.0f} |" for count, theirs, ours in rates
    ]


def table_of_quality(curves: dict[str, Curve], threads: int) -> list[str]:
    """Return a table of seconds to levels of quality and quality at times; ratios are to the faster OpenSplat."""
    theirs, ours = [curves[name] for name in MODES], curves["img2world"]
    best = max(measurement.psnr for curve in theirs for measurement in curve)
    top = [max(measurement.psnr for measurement in curve) for curve in theirs]
    heading = ["", *(f"OpenSplat, {name}" for name in MODES), "img2world", "ratio"]
    heading[0] = f"quality of held-out views, {plural(threads)}"
    rows = [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    for level in sorted({*LEVELS, *(np.floor(10 * value) / 10 for value in [*top, best])}):
        times = [time_to(curve, level) for curve in theirs]
        known = [value for value in times if value is not None]
        mine = time_to(ours, level)
        ratio = f"{min(known) / mine:.0f}" if known and mine else "–"
        rows.append(f"| seconds to {level:.1f} dB | {' | '.join(map(text, [*times, mine]))} | {ratio} |")
    for seconds in TIMES:
        values = [quality_at(curve, seconds) for curve in [*theirs, ours]]
        rows.append(f"| dB after {seconds:.0f} s | {' | '.join(map(text, values))} | |")
    return rows


def table_of_curves(curves: dict[str, Curve]) -> list[str]:
    """Return a table of all measurements."""
    rows = ["| trainer | steps | seconds | held-out dB |", "|---|---|---|---|"]
    for name, curve in curves.items():
        label = name if name == "img2world" else f"OpenSplat, {name}"
        rows += [f"| {label} | {each.steps} | {each.seconds:.2f} | {each.psnr:.2f} |" for each in curve]
    return rows


def plural(threads: int) -> str:
    """Return "1 thread", "2 threads"."""
    return f"{threads} thread" if threads == 1 else f"{threads} threads"


def text(value: float | None) -> str:
    """Return the text of a cell."""
    return "–" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
