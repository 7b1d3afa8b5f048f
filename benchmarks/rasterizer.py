"""Benchmark the forward and backward pass of the native rasterizer: `python benchmarks/rasterizer.py`.

Renders clouds of Gaussians in a ball, with the same number per pixel whatever their total, and prints a Markdown table
of medians. The last table compares with the plain torch rasterizer at a size that it can handle.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import torch
from report import processor

from img2world.core.cameras import Cameras
from img2world.render import rasterize
from img2world.render.extension import native_module
from img2world.render.loss import LossWeights, Target, view_loss, view_loss_in_torch
from img2world.render.reference import project
from img2world.render.semantics import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from img2world.render.splats import Splats, camera_tensors

SIZES = ((20_000, 256), (20_000, 512), (100_000, 256), (100_000, 512))
"""Numbers of Gaussians, and pixels along each side."""

REFERENCE_SIZE = (2_000, 64)

PER_PIXEL = 85
"""Approximate number of Gaussians with alpha >= 1/255 on the ray of a central pixel."""


@dataclass(frozen=True, kw_only=True)
class Stopwatch:
    """Measures medians of repeated runs."""

    runs: int
    """Number of runs after a warm-up run."""
    clock: Callable[[], float]

    def median(self, *parts: Callable[[], object]) -> list[float]:
        """Return the median milliseconds of each part; the parts run in order."""
        rows = []
        for _ in range(self.runs + 1):
            times = [self.clock()]
            for part in parts:
                part()
                times.append(self.clock())
            rows.append(np.diff(times) * 1e3)
        return [statistics.median(column) for column in zip(*rows[1:], strict=True)]


def make_cloud(count: int, bases: int, seed: int = 0) -> Splats:
    """Return Gaussians of many shapes and opacities, uniformly distributed in a ball of radius 1.3."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    sh = np.zeros((count, bases, 3))
    sh[:, 0] = rng.normal(size=(count, 3)) * 0.8
    arrays = {
        "means": 1.3 * directions * rng.uniform(0, 1, (count, 1)) ** (1 / 3),
        "quats": rng.normal(size=(count, 4)),
        "log_scales": np.log(0.28 * np.sqrt(PER_PIXEL / count)) + rng.normal(size=(count, 3)) * 0.5,
        "logit_opacities": rng.normal(size=count) * 1.5 - 1.0,
        "sh": sh,
    }
    return Splats(**{name: torch.tensor(array, dtype=torch.float32).requires_grad_() for name, array in arrays.items()})


def make_camera(side: int) -> Cameras:
    """Return a camera that sees the whole ball."""
    pose = np.eye(4, dtype=np.float32)
    pose[2, 3] = -3.2
    intrinsics = np.array([[1.1 * side, 0, side / 2], [0, 1.1 * side, side / 2], [0, 0, 1]], np.float32)
    return Cameras(world_from_cam=pose[None], intrinsics=intrinsics[None], width=side, height=side)


def time_rasterizer(stopwatch: Stopwatch, count: int, side: int, bases: int, backend: str) -> list[float]:
    """Return the median milliseconds of the forward and the backward pass."""
    splats, view = make_cloud(count, bases), make_camera(side)
    upstream = torch.tensor(np.random.default_rng(1).normal(size=(side, side, 3)), dtype=torch.float32)
    rendered: list[torch.Tensor] = []

    def forward() -> None:
        rendered[:] = [rasterize(splats, view, background=(1.0, 1.0, 1.0), backend=backend).rgb]

    def backward() -> None:
        torch.autograd.grad(rendered[0], splats.tensors(), upstream)

    return stopwatch.median(forward, backward)


FLOPS_PER_PAIR = 77
"""Operations of the forward and backward pass, for one Gaussian at one pixel to which it contributes."""


def count_pairs(count: int, side: int, samples: int = 512) -> float:
    """Return the number of contributing pairs of pixel and Gaussian in an image of the cloud, estimated by sampling."""
    with torch.no_grad():
        projected = project(make_cloud(count, 1), camera_tensors(make_camera(side)))
    order = torch.argsort(projected.depths)
    means, opacities = projected.means[order], projected.opacities[order]
    xx, xy, yy = (projected.covariances[order] / projected.determinants[order, None]).T
    pixels = torch.from_numpy(np.random.default_rng(4).uniform(0, side, (samples, 2))).float()
    counted = 0
    for x, y in pixels.tolist():
        dx, dy = x - means[:, 0], y - means[:, 1]
        alpha = opacities * torch.exp(-0.5 * (yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy).clamp(min=0))
        alpha = torch.where(alpha >= MIN_ALPHA, alpha.clamp(max=MAX_ALPHA), 0)
        light = torch.cumprod(1 - alpha, 0)
        counted += int(((alpha > 0) & (torch.cat([torch.ones(1), light[:-1]]) >= MIN_TRANSMITTANCE)).sum())
    return counted / samples * side * side


def peak_flops() -> float:
    """Return the floating-point operations per second that torch's matrix product reaches with one thread."""
    a = torch.rand(1024, 1024)
    times = Stopwatch(runs=15, clock=time.perf_counter).median(lambda: a @ a)
    return 2 * 1024**3 / (times[0] / 1e3)


def time_loss(stopwatch: Stopwatch, side: int, loss: Callable[..., torch.Tensor]) -> float:
    """Return the median milliseconds of the image loss and its gradient."""
    rng = np.random.default_rng(2)
    image = torch.tensor(rng.uniform(size=(side, side, 3)), dtype=torch.float32, requires_grad=True)
    target = Target(rgb=torch.tensor(rng.integers(0, 256, (side, side, 3)), dtype=torch.uint8))
    return stopwatch.median(lambda: torch.autograd.grad(loss(image, None, None, target, LossWeights()), image))[0]


def print_sizes(stopwatch: Stopwatch, levels: list[str], threads: list[int]) -> None:
    """Print a row for each instruction set, number of threads, SH degree and size."""
    peak, pairs = peak_flops(), {size: count_pairs(*size) for size in SIZES}
    print(f"\nThe last column is relative to torch's matrix product ({peak / 1e9:.0f} GFLOP/s with one thread),")
    print(f"with {FLOPS_PER_PAIR} operations for each contributing pair of pixel and Gaussian.")
    print("\n| SIMD | threads | SH degree | Gaussians | pixels | forward ms | backward ms | both ms | of the peak |")
    print("|---|---|---|---|---|---|---|---|---|")
    settings = [(levels[0], used, degree) for used in threads for degree in (0, 3)]
    settings += [(level, threads[0], 0) for level in levels[1:]]
    for level, used, degree in settings:
        os.environ["IMG2WORLD_SIMD"], os.environ["IMG2WORLD_THREADS"] = level, str(used)
        for count, side in SIZES:
            forward, backward = time_rasterizer(stopwatch, count, side, (degree + 1) ** 2, "native")
            row = (level, used, degree, f"{count:,}", f"{side}²", f"{forward:.1f}", f"{backward:.1f}")
            both = forward + backward
            fraction = FLOPS_PER_PAIR * pairs[count, side] / (both / 1e3) / (peak * used)
            print("|", " | ".join(map(str, row)), f"| {both:.1f} | {fraction:.1%} |")


def print_comparison(stopwatch: Stopwatch, level: str) -> None:
    """Print a comparison of native code with plain torch, one thread each."""
    os.environ["IMG2WORLD_SIMD"], os.environ["IMG2WORLD_THREADS"] = level, "1"
    count, side = REFERENCE_SIZE
    few_runs = replace(stopwatch, runs=min(stopwatch.runs, 3))
    native = sum(time_rasterizer(stopwatch, count, side, 1, "native"))
    reference = sum(time_rasterizer(few_runs, count, side, 1, "reference"))
    fast, slow = time_loss(stopwatch, 512, view_loss), time_loss(few_runs, 512, view_loss_in_torch)
    print("\n| one thread, forward and backward | native ms | plain torch ms | ratio |\n|---|---|---|---|")
    print(f"| {count:,} Gaussians, {side}² | {native:.2f} | {reference:.0f} | {reference / native:.0f} |")
    print(f"| L1 + D-SSIM, 512² | {fast:.1f} | {slow:.0f} | {slow / fast:.0f} |")


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=9, help="runs of which the median is taken (%(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument("--cpu-time", action="store_true", help="processor time of one thread, for a busy machine")
    options = parser.parse_args()
    torch.set_num_threads(1)
    stopwatch = Stopwatch(runs=options.runs, clock=time.process_time if options.cpu_time else time.perf_counter)
    levels = native_module().simd_levels()
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{processor()}, {os.cpu_count()} cores{load}, {date.today()}.")
    print(f"Median of {options.runs} runs, {'processor' if options.cpu_time else 'wall'} time.")
    print_sizes(stopwatch, levels, [1] if options.cpu_time else options.threads)
    print_comparison(stopwatch, levels[0])


if __name__ == "__main__":
    main()
