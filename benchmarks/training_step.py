"""Benchmark a training step of Gaussians: time, scaling and memory.

    python benchmarks/training_step.py [--runs 9] [--threads 1 2] [--write]

A step renders one view, computes the loss, backpropagates and updates the Gaussians. `--write` puts the tables into
benchmarks/README.md and the plot beside it.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rasterizer import Stopwatch, make_camera, make_cloud, time_rasterizer
from report import processor, write_section

from img2world.render import rasterize
from img2world.render.loss import LossWeights, Target, view_loss
from img2world.render.splats import gaussians_from_splats
from img2world.splat.parameters import Parameters

PLOT = Path(__file__).parent / "cost.svg"

STEPS = ((20_000, 512), (100_000, 512))
"""Numbers of Gaussians, and pixels along each side."""

LARGE = (500_000, 1440)
"""For the peak memory; as many pixels as 1920 × 1080."""

COUNTS, SIDES = (1_000, 4_000, 16_000, 64_000, 256_000), (128, 256, 512, 1024)
RATES = {"means": 1e-5, "quats": 1e-4, "log_scales": 1e-4, "logit_opacities": 1e-3, "dc": 1e-3, "rest": 1e-4}


def parts_of_step(count: int, side: int) -> dict[str, Callable[[], None]]:
    """Return the parts of a step, to be called in order."""
    parameters, view = Parameters(gaussians_from_splats(make_cloud(count, 4))), make_camera(side)
    rng = np.random.default_rng(3)
    target = Target(
        rgb=torch.from_numpy(rng.integers(0, 256, (side, side, 3), np.uint8)),
        depth=torch.from_numpy(rng.uniform(2, 4, (side, side)).astype(np.float32)),
    )
    weights, state = LossWeights(alpha=0.1, depth=0.1), {}

    def render() -> None:
        state["render"] = rasterize(parameters.splats(), view, background=(1.0, 1.0, 1.0), backend="native")

    def compute_loss() -> None:
        rendered = state["render"]
        state["loss"] = view_loss(rendered.rgb, rendered.alpha, rendered.depth, target, weights)

    def backward() -> None:
        state["loss"].backward()

    def update() -> None:
        parameters.step(RATES, state["render"].radii)

    return {"render": render, "loss": compute_loss, "backward": backward, "update": update}


def table_of_steps(runs: int, threads: list[int]) -> list[str]:
    """Return a table of the milliseconds of each part and of whole steps."""
    rows = ["| threads | Gaussians | pixels | render | loss | backward | update | whole step ms |", f"|{'---|' * 8}"]
    for used in threads:
        os.environ["IMG2WORLD_THREADS"] = str(used)
        for count, side in STEPS:
            times = Stopwatch(runs=runs, clock=time.perf_counter).median(*parts_of_step(count, side).values())
            cells = [f"{value:.1f}" for value in (*times, sum(times))]
            rows.append(f"| {used} | {count:,} | {side}² | {' | '.join(cells)} |")
    return rows


def peak_memory() -> list[str]:
    """Return the peak memory of a process that takes three steps of LARGE, and of one that only loads torch."""
    program = "import resource, sys; sys.path.insert(0, {folder!r}); import training_step\n{work}\n"
    work = "parts = training_step.parts_of_step(*training_step.LARGE).values()\n"
    work += "for _ in range(3):\n  for part in parts: part()"
    peaks = []
    for text in ("", work):
        source = program.format(folder=str(Path(__file__).parent), work=text)
        source += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        out = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
        peaks.append(int(out) / (1e6 if sys.platform != "darwin" else 1e9))
    count, side = LARGE
    return [
        f"Training {count:,} Gaussians at {side}² (as many pixels as 1920 × 1080) takes {peaks[1]:.2f} GB at its peak, "
        f"of which {peaks[0]:.2f} GB are Python and torch."
    ]


def measure_costs(runs: int) -> dict[str, list[tuple[int, float]]]:
    """Return milliseconds of forward and backward pass by the number of Gaussians, for each image size; all threads."""
    stopwatch = Stopwatch(runs=runs, clock=time.perf_counter)
    return {
        f"{side}²": [(count, sum(time_rasterizer(stopwatch, count, side, 1, "native"))) for count in COUNTS]
        for side in SIDES
    }


def plot(costs: dict[str, list[tuple[int, float]]]) -> str:
    """Return the costs as lines on logarithmic axes, in SVG."""
    width, height, left, bottom = 560, 360, 60, 40
    points = [point for line in costs.values() for point in line]
    (low_x, high_x), (low_y, high_y) = (
        (np.log10(min(values) * 0.9), np.log10(max(values) * 1.1)) for values in zip(*points, strict=True)
    )

    def position(x: float, y: float) -> tuple[float, float]:
        across = (np.log10(x) - low_x) / (high_x - low_x) * (width - left - 60)
        return left + across, height - bottom - (np.log10(y) - low_y) / (high_y - low_y) * (height - bottom - 20)

    view = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    marks = [f'<svg xmlns="http://www.w3.org/2000/svg" {view}>']
    marks.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if low_y <= np.log10(tick) <= high_y:
            _, y = position(COUNTS[0], tick)
            marks.append(f'<path d="M{left} {y:.0f}H{width - 60}" stroke="#ddd"/>')
            marks.append(f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{tick} ms</text>')
    for count in COUNTS:
        x, _ = position(count, costs[f"{SIDES[0]}²"][0][1])
        marks.append(f'<text x="{x:.0f}" y="{height - 18}" text-anchor="middle">{count:,}</text>')
    for color, (name, line) in zip(("#1b6", "#27c", "#b3b", "#d52"), costs.items(), strict=True):
        for before, after in pairwise(line):
            (x0, y0), (x1, y1) = position(*before), position(*after)
            marks.append(f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="{color}" stroke-width="2"/>')
        x, y = position(*line[-1])
        marks.append(f'<text x="{x + 6:.0f}" y="{y + 4:.0f}" fill="{color}">{name}</text>')
    marks.append(f'<text x="{left}" y="{height - 4}">Gaussians; forward and backward pass of an image</text></svg>')
    return "\n".join(marks) + "\n"


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=9, help="runs of which the median is taken (%(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument("--write", action="store_true", help="put the results into benchmarks/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    heading = f"{processor()}, {os.cpu_count()} cores, {date.today()}, median of {options.runs} runs."
    lines = [heading, "", *table_of_steps(options.runs, options.threads), "", *peak_memory()]
    costs = measure_costs(max(3, options.runs // 3))
    lines += ["", "![Cost against the number of Gaussians, for four image sizes](cost.svg)"]
    print("\n".join(lines))
    if options.write:
        PLOT.write_text(plot(costs))
        write_section("training_step", "\n".join(lines))


if __name__ == "__main__":
    main()
