""".brush.zip: Gaussians that move, for the viewer Brush: a zip with one PLY of delta frames, or with many PLYs.

Source: github.com/ArthurBrussee/brush, v0.3.0, crates/brush-serde/src/import.rs (`parse_delta_ply`) and
crates/brush-process/src/view_stream.rs. After its element `vertex`, a PLY of delta frames has for each frame the
elements meta_delta_min_NNNNN, meta_delta_max_NNNNN, delta_vertex_NNNNN with the columns x to rot_3: what a frame adds
to the means, logarithmic scales and quaternions of `vertex`, as a fraction of the range from min to max, of which 65534
is the end. Opacities and colours are those of `vertex`. Every file of the zip must be a .ply, or Brush takes it for
photos. Brush 0.3 plays 24 frames a second; since December 2025 (after 0.3.0) it reads no delta frames, only a PLY for
each frame, and plays 30.
"""

import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.ply import Columns, read_elements, read_header, write_elements
from img2world.core.scene import gaussians_at
from img2world.formats import ply
from img2world.formats.archive import ERRORS, HINT, read_member, write_archive
from img2world.formats.precision import Precision
from img2world.formats.sequence import frame_times
from img2world.formats.splat_file import SplatFile, check_not_empty, unit_quats

STEPS = 65534
"""Steps of 16 bits, as Brush counts them."""

COLUMNS = ("x", "y", "z", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")

FPS = {True: 24.0, False: 30.0}
"""Frames that Brush plays in a second: with delta frames (0.3.0) and without (since)."""

MIN_PRESENCE = 1e-5
"""Smallest factor of a Gaussian's size: one that is not there is a point, since opacities stay."""


def write(gaussians: Gaussians, path: Path, *, motion: Motion | None = None, deltas: bool = True) -> None:
    """Write the motion in frames as Brush plays them, as delta frames or, for Brush after 0.3.0, as a PLY for each.

    Raises FormatError when there is no motion.
    """
    check_not_empty(gaussians)
    if motion is None:
        raise FormatError("nothing moves in it, which is what .brush.zip files are for", hint="write a .ply file")
    times = frame_times(motion, FPS[deltas])
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, Path | bytes] = {}
        if deltas:
            files["scene.ply"] = Path(folder) / "scene.ply"
            write_elements(delta_elements(gaussians, motion, times), files["scene.ply"])
        else:
            for i, time in enumerate(times):
                files[f"frame_{i:04d}.ply"] = frame = Path(folder) / f"{i}.ply"
                ply.write(gaussians_at(gaussians, motion, time), frame)
        write_archive(files, path)


def read(path: Path) -> SplatFile:
    """Read the first frame of a .brush.zip file. Raises FormatError when it is damaged, or has no PLY file."""
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            names = sorted(name for name in archive.namelist() if name.lower().endswith(".ply"))
            if not names:
                raise FormatError(f"the zip archive has no PLY files: {path}", hint="needs a zip that Brush plays")
            first = Path(folder) / "first.ply"
            first.write_bytes(read_member(archive, names[0], ".brush.zip", room=1 << 30))
            elements = read_header(first).elements
            deltas = sum(element.name.startswith("delta_vertex_") for element in elements)
            file = ply.read(first)
    except ERRORS as error:
        raise FormatError(f"the .brush.zip file is not a zip archive that can be read: {error}", hint=HINT) from error
    frames, fps = deltas or len(names), FPS[deltas > 0]
    left_out = {"left out": f"{frames - 1} of {frames} frames"} if frames > 1 else {}
    return replace(
        file, details={**file.details, "frames": frames, "seconds": round((frames - 1) / fps, 3), **left_out}
    )


def read_frames(path: Path, start: float = 0.0) -> Iterator[tuple[float, Float64[np.ndarray, "N 3"]]]:
    """Yield the time of each frame, of which the first is at `start` seconds, and its positions."""
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        for i, name in enumerate(sorted(archive.namelist())):
            place = Path(archive.extract(name, folder))
            elements = read_elements(place)
            base = _stack(elements["vertex"])
            names = sorted(element for element in elements if element.startswith("delta_vertex_"))
            if not names:
                yield start + i / FPS[False], base
            for j, delta in enumerate(names):
                low, high = (
                    _stack(elements[delta.replace("delta_vertex", f"meta_delta_{end}")]) for end in ("min", "max")
                )
                yield start + j / FPS[True], base + low + (high - low) * _stack(elements[delta]) / STEPS
            place.unlink()


def precision(gaussians: Gaussians, **options: object) -> Precision:
    """Return the largest errors of the first frame: none."""
    del options
    return ply.precision(gaussians)


def delta_elements(gaussians: Gaussians, motion: Motion, times: Float64[np.ndarray, "T"]) -> dict[str, Columns]:
    """Return the elements of a PLY of delta frames; `vertex` is the first frame."""
    base = frame_at(gaussians, motion, float(times[0]))
    start = _columns(base)
    elements = {"vertex": ply.columns_from_gaussians(base)}
    for i, time in enumerate(times):
        columns = _columns(frame_at(gaussians, motion, float(time)))
        # A quaternion and its negative are the same rotation; the nearer one needs the smaller range.
        columns[:, 6:] *= np.where((columns[:, 6:] * start[:, 6:]).sum(1, keepdims=True) < 0, -1, 1)
        delta = columns - start
        low, high = delta.min(0).astype(np.float32), delta.max(0).astype(np.float32)
        width = np.where(high > low, high - low, 1).astype(np.float64)
        steps = np.rint((delta - low) / width * STEPS).clip(0, STEPS).astype(np.uint16)
        for name, table in (("meta_delta_min", low[None]), ("meta_delta_max", high[None]), ("delta_vertex", steps)):
            elements[f"{name}_{i:05d}"] = {column: table[:, j] for j, column in enumerate(COLUMNS)}
    return elements


def frame_at(gaussians: Gaussians, motion: Motion, time: float) -> Gaussians:
    """Return the Gaussians at a time, with opacities of rest: those that fade shrink."""
    moved = gaussians_at(gaussians, motion, time)
    shrunk = np.log(motion.presence(time).clip(MIN_PRESENCE, 1)).astype(np.float32)
    return replace(moved, logit_opacities=gaussians.logit_opacities, log_scales=gaussians.log_scales + shrunk[:, None])


def _columns(gaussians: Gaussians) -> Float64[np.ndarray, "N 10"]:
    """Return the values that change from frame to frame."""
    return np.concatenate([gaussians.means, gaussians.log_scales, unit_quats(gaussians.quats)], 1).astype(np.float64)


def _stack(columns: Columns) -> Float64[np.ndarray, "N 3"]:
    """Return the positions of an element."""
    return np.stack([columns[axis].astype(np.float64) for axis in "xyz"], 1)
