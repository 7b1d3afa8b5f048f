"""How long the native rasterizer takes, forward and backward: `python benchmarks/rasterizer.py`.

Draws clouds of Gaussians in a ball, as many to a pixel whatever their number, and prints a Markdown table
of medians. The last table compares with the plain-torch rasterizer at a size that it can do.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import torch

from img2world.core.cameras import Cameras
from img2world.render import rasterize
from img2world.render.extension import native_module
from img2world.render.loss import Target, Weights, view_loss, view_loss_in_torch
from img2world.render.reference import project
from img2world.render.semantics import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from img2world.render.splats import Splats, camera_tensors

SIZES = ((20_000, 256), (20_000, 512), (100_000, 256), (100_000, 512))
"""Gaussians, and pixels on each side of the picture."""

REFERENCE_SIZE = (2_000, 64)

PER_PIXEL = 85
"""About how many Gaussians with alpha >= 1/255 lie along the ray of a pixel in the middle."""


@dataclass(frozen=True, kw_only=True)
class Stopwatch:
    """How to measure."""

    runs: int
    """Runs of which the median is taken, after one that is not counted."""
    clock: Callable[[], float]

    def median(self, *parts: Callable[[], object]) -> list[float]:
        """Median milliseconds of each of the parts, done one after the other."""
        rows = []
        for _ in range(self.runs + 1):
            times = [self.clock()]
            for part in parts:
                part()
                times.append(self.clock())
            rows.append(np.diff(times) * 1e3)
        return [statistics.median(column) for column in zip(*rows[1:], strict=True)]


def cloud(count: int, bases: int, seed: int = 0) -> Splats:
    """Gaussians of many shapes and opacities, evenly spread in a ball of radius 1.3 about the origin."""
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


def camera(side: int) -> Cameras:
    """A camera that sees the whole ball."""
    pose = np.eye(4, dtype=np.float32)
    pose[2, 3] = -3.2
    intrinsics = np.array([[1.1 * side, 0, side / 2], [0, 1.1 * side, side / 2], [0, 0, 1]], np.float32)
    return Cameras(world_from_cam=pose[None], intrinsics=intrinsics[None], width=side, height=side)


def time_rasterizer(stopwatch: Stopwatch, count: int, side: int, bases: int, backend: str) -> list[float]:
    """Median milliseconds of the forward and the backward pass."""
    splats, view = cloud(count, bases), camera(side)
    upstream = torch.tensor(np.random.default_rng(1).normal(size=(side, side, 3)), dtype=torch.float32)
    drawn: list[torch.Tensor] = []

    def forward() -> None:
        drawn[:] = [rasterize(splats, view, background=(1.0, 1.0, 1.0), backend=backend).rgb]

    def backward() -> None:
        torch.autograd.grad(drawn[0], splats.tensors(), upstream)

    return stopwatch.median(forward, backward)


FLOPS_PER_PAIR = 77
"""Forward and backward, for one Gaussian at one pixel where it counts."""


def pairs_of(count: int, side: int, samples: int = 512) -> float:
    """How many pairs of a pixel and a Gaussian count in a picture of the cloud, from some of its pixels."""
    with torch.no_grad():
        seen = project(cloud(count, 1), camera_tensors(camera(side)))
    order = torch.argsort(seen.depths)
    means, opacities = seen.means[order], seen.opacities[order]
    xx, xy, yy = (seen.covariances[order] / seen.determinants[order, None]).T
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
    """Floating-point operations a second of one thread, as the matrix product of torch reaches them."""
    a = torch.rand(1024, 1024)
    times = Stopwatch(runs=15, clock=time.perf_counter).median(lambda: a @ a)
    return 2 * 1024**3 / (times[0] / 1e3)


def time_loss(stopwatch: Stopwatch, side: int, loss: Callable[..., torch.Tensor]) -> float:
    """Median milliseconds of the image loss and its gradient."""
    rng = np.random.default_rng(2)
    image = torch.tensor(rng.uniform(size=(side, side, 3)), dtype=torch.float32, requires_grad=True)
    target = Target(rgb=torch.tensor(rng.integers(0, 256, (side, side, 3)), dtype=torch.uint8))
    return stopwatch.median(lambda: torch.autograd.grad(loss(image, None, None, target, Weights()), image))[0]


def processor() -> str:
    """Name the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def print_sizes(stopwatch: Stopwatch, levels: list[str], threads: list[int]) -> None:
    """One row for each instruction set, number of threads, SH degree and size."""
    peak, pairs = peak_flops(), {size: pairs_of(*size) for size in SIZES}
    print(
        f"\nOne thread reaches {peak / 1e9:.0f} GFLOP/s in the matrix product of torch. To it the last column refers:"
    )
    print(f"{FLOPS_PER_PAIR} operations for each pair of a pixel and a Gaussian that counts in it.")
    print("\n| SIMD | threads | SH degree | Gaussians | pixels | forward ms | backward ms | both ms | of the peak |")
    print("|---|---|---|---|---|---|---|---|---|")
    cases = [(levels[0], used, degree) for used in threads for degree in (0, 3)]
    cases += [(level, threads[0], 0) for level in levels[1:]]
    for level, used, degree in cases:
        os.environ["IMG2WORLD_SIMD"], os.environ["IMG2WORLD_THREADS"] = level, str(used)
        for count, side in SIZES:
            forward, backward = time_rasterizer(stopwatch, count, side, (degree + 1) ** 2, "native")
            row = (level, used, degree, f"{count:,}", f"{side}²", f"{forward:.1f}", f"{backward:.1f}")
            both = forward + backward
            share = FLOPS_PER_PAIR * pairs[count, side] / (both / 1e3) / (peak * used)
            print("|", " | ".join(map(str, row)), f"| {both:.1f} | {share:.1%} |")


def print_comparison(stopwatch: Stopwatch, level: str) -> None:
    """Native code against plain torch, one thread each."""
    os.environ["IMG2WORLD_SIMD"], os.environ["IMG2WORLD_THREADS"] = level, "1"
    count, side = REFERENCE_SIZE
    patient = replace(stopwatch, runs=min(stopwatch.runs, 3))
    native = sum(time_rasterizer(stopwatch, count, side, 1, "native"))
    reference = sum(time_rasterizer(patient, count, side, 1, "reference"))
    fast, slow = time_loss(stopwatch, 512, view_loss), time_loss(patient, 512, view_loss_in_torch)
    print("\n| one thread, forward and backward | native ms | plain torch ms | ratio |\n|---|---|---|---|")
    print(f"| {count:,} Gaussians, {side}² | {native:.2f} | {reference:.0f} | {reference / native:.0f} |")
    print(f"| L1 + D-SSIM, 512² | {fast:.1f} | {slow:.0f} | {slow / fast:.0f} |")


def main() -> None:
    """Measure everything and print it."""
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
