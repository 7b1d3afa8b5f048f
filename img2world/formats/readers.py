"""Readers of splat files that were written by others: what they make of a file, beside our own reader."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from img2world.core.child_process import answer, run_child
from img2world.core.conventions import Y_UP_SIGNS
from img2world.core.errors import ExportError, FormatError, Img2WorldError
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress
from img2world.core.sh import sh_degree
from img2world.formats.files import detect_suffix, read_splats
from img2world.formats.splat_file import reason

TIME_LIMIT = 600.0
"""Seconds that all readers together may take."""

POSITION_TOLERANCE = 1e-4
"""Difference of bounds, relative to the largest coordinate, that rounding explains."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The findings of one reader about a splat file."""

    reader: str
    """Name and version."""
    gaussians: int = 0
    sh_degree: int | None = None
    """None where the reader ignores spherical harmonics."""
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    """Bounds of the centers with +Y up."""
    error: str = ""
    """Why the reader rejects the file; empty if it does not."""

    def line(self) -> str:
        """Return one line for people."""
        if self.error:
            return f"{self.reader:<20} rejects it: {self.error}"
        degree = "" if self.sh_degree is None else f", degree {self.sh_degree}"
        low, high = (", ".join(f"{value:.3g}" for value in bound) for bound in (self.low, self.high))
        return f"{self.reader:<20} {self.gaussians:,} Gaussians{degree}, ({low}) to ({high})"

    def agrees(self, other: "Reading") -> bool:
        """Return True if two readers have found the same number, degree and bounds."""
        if self.error or other.error:
            return False
        same_degree = None in (self.sh_degree, other.sh_degree) or self.sh_degree == other.sh_degree
        bounds, others = np.array([*self.low, *self.high]), np.array([*other.low, *other.high])
        tolerance = POSITION_TOLERANCE * max(float(np.abs(others).max(initial=0)), 1e-12)
        return self.gaussians == other.gaussians and same_degree and bool(np.abs(bounds - others).max() <= tolerance)


def check_with_other_reader(path: Path) -> str:
    """Compare what the first other reader that is installed makes of a file with what ours does.

    Returns the name and version of that reader, or our own where there is none for the format. Raises ExportError when
    they differ.
    """
    name = next(other_readers(path), None)
    if name is None:
        return _own_title(path)
    own, reading = read_ours(path), _read_with(name, path)
    if not reading.agrees(own):
        raise ExportError(
            f"{reading.line().strip()}; needs {own.line()}", hint=f"check the disk and write it again ({path})"
        )
    return reading.reader


def read_with_all(path: Path) -> list[Reading]:
    """Return what each reader that is installed makes of a splat file, ours first.

    They run in a child process, which a damaged file may crash; ours does not run there.
    """
    import tempfile

    readings = [read_ours(path)]
    for name in other_readers(path):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "reading.json"
            options = {"reader": name, "source": str(path.absolute()), "target": str(target)}
            try:
                run_child("img2world.formats.readers", options, time_limit=TIME_LIMIT, error=FormatError)
                found = json.loads(target.read_text())
                readings.append(Reading(**{**found, "low": tuple(found["low"]), "high": tuple(found["high"])}))
            except FormatError as error:
                readings.append(Reading(reader=name_with_version(name), error=str(error)))
    return readings


def read_ours(path: Path) -> Reading:
    """Return what our own reader makes of a file."""
    title = _own_title(path)
    try:
        file = read_splats(path)
    except Img2WorldError as error:
        return Reading(reader=title, error=str(error))
    gaussians = file.gaussians
    means = gaussians.means if len(gaussians) else np.zeros((1, 3), np.float32)
    # Where values are broken, other readers count them.
    count = len(gaussians) + file.broken
    return _reading(title, count, sh_degree(gaussians.sh.shape[1]), means * np.array(Y_UP_SIGNS, np.float32))


def _own_title(path: Path) -> str:
    """Return the name and version of our own reader of a file."""
    packages = ["img2world", *(["usd-core"] if format_of(path).startswith(".usd") else [])]
    return " with ".join(map(name_with_version, packages))


def format_of(path: Path) -> str:
    """Return the suffix of a file's format; a compressed PLY is recognized whatever its name is."""
    suffix = detect_suffix(path)
    if suffix != ".ply":
        return suffix
    with path.open("rb") as file:
        return ".compressed.ply" if b"\nelement chunk" in file.read(4096) else ".ply"


def other_readers(path: Path) -> Iterator[str]:
    """Yield the names of installed readers of the format of a file that was written by others."""
    suffix = format_of(path)
    return (name for name, (module, suffixes, _) in READERS.items() if suffix in suffixes and find_spec(module))


def _read_with(name: str, path: Path) -> Reading:
    """Return what a reader makes of a file."""
    suffix = format_of(path)
    try:
        count, degree, points = READERS[name][2](path, suffix)
    # Other programs raise whatever they like; that is what is to be found out.
    except Exception as error:
        return Reading(reader=name_with_version(name), error=reason(error))
    # Those that keep the axes of the file.
    signs = (1, 1, 1) if suffix in (".spz", ".glb") else Y_UP_SIGNS
    return _reading(name_with_version(name), count, degree, points * np.array(signs))


def _reading(title: str, count: int, degree: int | None, points: Float[np.ndarray, "N 3"]) -> Reading:
    """Return a reading with the bounds of these points."""
    low, high = (tuple(map(float, bound)) for bound in (points.min(0), points.max(0)))
    return Reading(reader=title, gaussians=count, sh_degree=degree, low=low, high=high)


def _gaussforge(path: Path, suffix: str) -> tuple[int, int | None, np.ndarray]:
    """Return number, degree and corners of the bounds that gaussforge finds."""
    import gaussforge

    with _no_output():
        found = gaussforge.GaussForge().get_model_info(path.read_bytes(), suffix[1:])
    if "error" in found:
        raise FormatError(str(found["error"]), hint="")
    info = found["data"]
    corners = np.array([info["bounds"][axis] for axis in "xyz"]).T
    return int(info["basic"]["numPoints"]), int(info["rendering"]["shDegree"]), corners


@contextmanager
def _no_output() -> Iterator[None]:
    """Discard what native code prints to standard output, which may be a pipe of JSON or of a file."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _gsply(path: Path, suffix: str) -> tuple[int, int | None, np.ndarray]:
    """Return number, degree and centers that gsply finds."""
    import gsply

    data: Any = gsply.read_spz(path) if suffix == ".spz" else gsply.plyread(path)
    bases = 1 if data.shN is None else 1 + np.asarray(data.shN).reshape(len(data.means), -1, 3).shape[1]
    return len(data.means), sh_degree(bases), np.asarray(data.means)


def _trimesh(path: Path, suffix: str) -> tuple[int, int | None, np.ndarray]:
    """Return number and centers that trimesh finds, which ignores spherical harmonics."""
    import trimesh

    with path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type=suffix[1:], process=False)
    points = np.concatenate([np.asarray(cloud.vertices) for cloud in scene.geometry.values()])
    return len(points), None, points


READERS: dict[str, tuple[str, tuple[str, ...], Callable[[Path, str], tuple[int, int | None, np.ndarray]]]] = {
    # Its reader of quantized .ksplat is wrong: the format's own program and splat-transform agree with ours.
    "gaussforge": ("gaussforge", (".ply", ".compressed.ply", ".splat", ".spz", ".sog"), _gaussforge),
    "gsply": ("gsply", (".ply", ".compressed.ply", ".spz"), _gsply),
    "trimesh": ("trimesh", (".ply", ".glb"), _trimesh),
}
"""Module, formats and function of each reader that was written by others, the best first."""


def _answer(options: dict, progress: Progress) -> None:
    """Write what a reader makes of a file as JSON. Options: reader, source, target."""
    del progress
    reading = _read_with(options["reader"], Path(options["source"]))
    Path(options["target"]).write_text(json.dumps(asdict(reading)))


if __name__ == "__main__":
    answer(_answer)
