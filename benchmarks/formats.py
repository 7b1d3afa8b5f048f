"""Size, time and precision of splat formats, beside splat-transform, gsply and gaussforge.

    python benchmarks/formats.py --count 50000

Prints Markdown tables. Scenes are random, which compresses worse than real ones. Times are medians; other programs
convert the same PLY, and their times are ratios to ours for the same conversion.
"""

import argparse
import importlib
import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median

import numpy as np

from img2world.core.gaussians import Gaussians
from img2world.formats.files import detect_suffix, format_module, read_splats, write_splats
from img2world.formats.precision import summarize, value_errors

SUFFIXES = (".ply", ".compressed.ply", ".splat", ".ksplat", ".spz", ".sog", ".glb", ".usdc")
GAUSSFORGE = (".compressed.ply", ".splat", ".ksplat", ".spz", ".sog")
GSPLY = (".compressed.ply", ".spz")
SPLAT_TRANSFORM = (".compressed.ply", ".spz", ".sog", ".glb")
"""Formats that each of these programs writes."""

ERRORS = tuple(f"{name}_error" for name in ("position", "rotation", "scale", "opacity", "color", "harmonics"))
ROUNDING = 5e-7
"""Errors, of rotations in radians, that are the rounding of float32 numbers: they are shown as 0."""


def random_scene(count: int, degree: int) -> Gaussians:
    """Return Gaussians of random values, a few units in size, with harmonics that decrease with their degree."""
    rng = np.random.default_rng(0)
    bands = np.concatenate([np.full(2 * band + 1, 0.3 / max(band, 1)) for band in range(degree + 1)])
    values = {
        "means": 2 * rng.standard_normal((count, 3)),
        "quats": rng.standard_normal((count, 4)),
        "log_scales": rng.standard_normal((count, 3)) - 4,
        "logit_opacities": 2 * rng.standard_normal(count),
        # Within what all formats can hold.
        "sh": (bands[:, None] * rng.standard_normal((count, len(bands), 3))).clip(-0.95, 0.95),
    }
    return Gaussians(**{name: value.astype(np.float32) for name, value in values.items()})


def measure(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the medians of the wall seconds and of the CPU seconds, those of child processes included."""
    times = []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), _cpu_seconds()
        work()
        times.append((time.perf_counter() - start, _cpu_seconds() - cpu))
    walls, cpus = zip(*times, strict=True)
    return median(walls), median(cpus)


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)))


def errors(gaussians: Gaussians, path: Path) -> dict[str, float]:
    """Return the largest errors of a file of ours, among the values that its format can hold."""
    module = format_module(detect_suffix(path) if path.suffix != ".ply" else f".{path.name.partition('.')[2]}")
    ordered = gaussians.select(module.order(gaussians)) if hasattr(module, "order") else gaussians
    return summarize(value_errors(ordered, read_splats(path).gaussians))


def convert_elsewhere(program: str, source: Path, target: Path, splat_transform: list[str], limit: float) -> object:
    """Convert a PLY by another program. Raises TimeoutExpired, or CalledProcessError where it fails."""
    if program == "gaussforge":
        # A fork of this process, which can be stopped.
        process = get_context("fork").Process(target=convert_by_gaussforge, args=(source, target))
        process.start()
        process.join(limit)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(program, limit)
        return process.exitcode
    if program == "gsply":
        gsply = importlib.import_module("gsply")
        data = gsply.plyread(source)
        return (
            gsply.write_spz(target, data) if target.suffix == ".spz" else gsply.plywrite(target, data, compressed=True)
        )
    # Without a GPU it fails, unless it is told so.
    words = [*splat_transform, "-w", *(["-g", "cpu"] if target.suffix == ".sog" else []), str(source), str(target)]
    return subprocess.run(words, check=True, capture_output=True, timeout=limit)


def convert_by_gaussforge(source: Path, target: Path) -> None:
    """Convert a PLY by gaussforge."""
    gaussforge = importlib.import_module("gaussforge")
    done = gaussforge.GaussForge().convert(source.read_bytes(), "ply", target.name.partition(".")[2])
    target.write_bytes(done["data"])


def convert_here(source: Path, target: Path) -> object:
    """Convert a PLY by a process of ours, as splat-transform is one, too."""
    words = [sys.executable, "-m", "img2world.cli", "convert", str(source), str(target)]
    return subprocess.run(words, check=True, capture_output=True)


def ratio(program: str, suffix: str, source: Path, ours: tuple[float, float], options: argparse.Namespace) -> str:
    """Return the wall and CPU seconds of another program relative to ours."""
    target = source.with_name(f"theirs{suffix}")
    command = options.splat_transform

    def work() -> object:
        return convert_elsewhere(program, source, target, command, options.limit)

    try:
        if program == "gsply":
            work()  # It compiles itself first.
        wall, cpu = measure(work, options.repeats)
    except subprocess.TimeoutExpired:
        return f"> {options.limit / ours[0]:.0f} (stopped)"
    except (subprocess.CalledProcessError, KeyError):
        return "fails"
    return f"{wall / ours[0]:.1f} ({cpu / ours[1]:.1f})"


def rows(gaussians: Gaussians, folder: Path, options: argparse.Namespace) -> list[list[str]]:
    """Return a row for each format."""
    source, table = folder / "source.ply", []
    write_splats(gaussians, source)
    installed = [name for name in ("gaussforge", "gsply") if importlib.util.find_spec(name)]
    for suffix in SUFFIXES:
        path = folder / f"ours{suffix}"
        write = measure(lambda path=path: write_splats(gaussians, path), options.repeats)
        read = measure(lambda path=path: read_splats(path), options.repeats)
        found = errors(gaussians, path)
        found["rotation_error"] = found.pop("rotation_error_deg", 0.0)
        cells = [
            suffix,
            f"{path.stat().st_size / 1e6:.2f}",
            *(f"{wall:.2f} ({cpu:.2f})" for wall, cpu in (write, read)),
        ]
        limits = {"rotation_error": np.degrees(ROUNDING)}
        cells += [
            f"{value:.2g}" if (value := found.get(name, 0.0)) > limits.get(name, ROUNDING) else "0" for name in ERRORS
        ]
        here = measure(lambda path=path: write_splats(read_splats(source).gaussians, path), options.repeats)
        for name, suffixes in (("gaussforge", GAUSSFORGE), ("gsply", GSPLY)):
            cells.append(
                ratio(name, suffix, source, here, options) if name in installed and suffix in suffixes else "–"
            )
        if options.splat_transform and suffix in SPLAT_TRANSFORM:
            process = measure(lambda path=path: convert_here(source, path), options.repeats)
            cells.append(ratio("splat-transform", suffix, source, process, options))
        else:
            cells.append("–")
        table.append(cells)
        print("|", " | ".join(cells), "|", flush=True)
    return table


def main() -> None:
    """Measure all formats and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, nargs="+", default=[50_000, 1_000_000], help="numbers of Gaussians")
    parser.add_argument("--degree", type=int, nargs="+", default=[0, 3], help="degrees of the harmonics")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds after which another program is stopped")
    parser.add_argument(
        "--splat-transform", type=shlex.split, help="its command line  [default: npx @playcanvas/splat-transform]"
    )
    options = parser.parse_args()
    if options.splat_transform is None:
        options.splat_transform = ["npx", "@playcanvas/splat-transform"] if shutil.which("npx") else []
    titles = ["format", "MB", "write, s (CPU)", "read, s (CPU)", "position", "rotation, °", "scale", "opacity", "color"]
    titles += ["harmonics", "gaussforge", "gsply", "splat-transform"]
    for count in options.count:
        for degree in options.degree:
            print(f"\n**{count:,} Gaussians, degree {degree}**\n")
            print("|", " | ".join(titles), "|\n|", "---|" * len(titles))
            with tempfile.TemporaryDirectory() as folder:
                rows(random_scene(count, degree), Path(folder), options)


if __name__ == "__main__":
    main()
