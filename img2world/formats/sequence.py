"""Sequences: a folder with one splat file for each moment of what moves, and a manifest.json that tells the times."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from img2world.core.errors import FormatError
from img2world.core.motion import Motion
from img2world.formats import TIMED
from img2world.formats.files import find_suffix, write_splats
from img2world.formats.splat_file import SplatFile

MANIFEST = "manifest.json"
FORMAT = "img2world-sequence"
VERSION = 1

MAX_FRAMES = 10_000
"""Frames that their names have digits for."""


def frame_times(motion: Motion, fps: float = 0.0) -> Float64[np.ndarray, "F"]:
    """Return the times of the frames in seconds: the keys, or `fps` a second from the first key to the last."""
    times = motion.key_times
    if fps <= 0:
        return times
    count = int((times[-1] - times[0]) * fps + 1e-6) + 1
    if count > MAX_FRAMES:
        raise FormatError(f"{count:,.6g} frames are more than {MAX_FRAMES:,}", hint="give fewer frames a second")
    return times[0] + np.arange(count) / fps


def frame_rate(times: Float64[np.ndarray, "F"]) -> float | None:
    """Return the frames in a second, None where times are not evenly spaced or there is only one."""
    steps = np.diff(times)
    if len(steps) == 0 or np.ptp(steps) > 1e-4 * steps.mean():
        return None
    return round(float(1 / steps.mean()), 6)


def write_sequence(
    file: SplatFile, folder: Path, suffix: str, *, fps: float = 0.0, options: dict[str, Any] | None = None
) -> Iterator[tuple[float, Path]]:
    """Write frame_0000 and so on and the manifest into a folder, and yield each frame's time and place.

    All frames have the same Gaussians in the same order. Raises FormatError when nothing moves, or the format holds a
    motion in one file.
    """
    if file.motion is None:
        raise FormatError("nothing moves in it, so there is no sequence of it", hint="write one file instead")
    if suffix in TIMED or suffix == "meta.json":
        raise FormatError(f"{suffix} files are not written as a sequence", hint="for example *.ply or *.spz")
    times = frame_times(file.motion, fps)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"frame_{i:04d}{suffix}" for i in range(len(times))]
    for time, path in zip(times, paths, strict=True):
        write_splats(file.at(float(time)), path, options)
        yield float(time), path
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "count": len(times),
        "gaussians": len(file.gaussians),
        "fps": frame_rate(times),
        "seconds": round(float(times[-1] - times[0]), 6),
        "times": [round(float(time), 6) for time in times],
        "frames": [path.name for path in paths],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8", newline="\n")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a sequence, None where a folder has none. Raises FormatError when it is damaged."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError) as error:
        raise FormatError(f"the manifest cannot be read: {path}", hint="write the sequence again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return None
    frames = manifest.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(name, str) for name in frames):
        raise FormatError(f"the manifest names no frames: {path}", hint="write the sequence again")
    find_suffix(Path(frames[0]))
    return manifest
