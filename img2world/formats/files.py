"""Read and write splat files of any format."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.formats import MODULES, MOVING, READ_ONLY
from img2world.formats.splat_file import SplatFile

MARKS = {b"ply": ".ply", b"NGSP": ".spz", b"\x1f\x8b": ".spz", b"glTF": ".glb", b"PXR-USDC": ".usdc", b"#usda": ".usda"}
"""First bytes of formats: files are often named wrongly."""

MESH_SUFFIXES = (".obj", ".stl", ".fbx", ".dae")
"""Ends of the names of meshes, which are no splats."""

WRITING = ".writing-"
"""Beginning of the names of hidden folders in which files are written."""

MIN_AGE = 10.0
"""Seconds after which a hidden folder that nobody has locked is left over: a new one is not locked for a moment."""


def read_splats(path: Path) -> SplatFile:
    """Read a splat file; its content decides on the format where it can, else its name.

    Raises FormatError when it is none that is known, or is damaged.
    """
    if path.is_dir():
        raise FormatError(f"this is a folder, not a splat file: {path}", hint="give one of the files in it")
    try:
        module = format_module(detect_suffix(path))
        # Values of odd files overflow; what is not finite is left out in the end.
        with np.errstate(all="ignore"):
            return module.read(path)
    except (OSError, MemoryError) as error:
        raise FormatError(f"the file cannot be read: {error}", hint="give a splat file") from error


def read_whole(path: Path, *, drop_nan: bool = False) -> SplatFile:
    """Read a splat file. Raises FormatError when some of its Gaussians are broken, unless they may be dropped."""
    file = read_splats(path)
    if file.broken and not drop_nan:
        total = file.broken + len(file.gaussians)
        raise FormatError(
            f"{file.broken:,} of {total:,} Gaussians have values that are not finite, or no orientation: {path}",
            hint="`img2world convert IN OUT --drop-nan` leaves them out",
        )
    return file


def write_splats(gaussians: Gaussians, path: Path, options: Mapping[str, Any] | None = None) -> None:
    """Write a splat file in the format that its name ends with; an existing file is replaced once the new one is whole.

    Raises FormatError when there is no such format.
    """
    suffix = find_suffix(path)
    if suffix in READ_ONLY:
        raise FormatError(f"{suffix} files are read and not written: {path}", hint="write a .glb, which holds the same")
    try:
        with writing_folder(path.parent) as folder:
            temporary = folder / path.name
            format_module(suffix).write(gaussians, temporary, **(options or {}))
            # SOG with the suffix .json has several files: its meta.json comes last.
            for made in sorted(folder.iterdir(), key=lambda made: made.name == path.name):
                os.replace(made, path.with_name(made.name))
    except OSError as error:
        raise FormatError(
            f"the file cannot be written: {error}", hint="check the folder and the space on the disk"
        ) from error


def motion_options(file: SplatFile, suffix: str, fps: float = 0.0) -> dict[str, Any]:
    """Return the options with which a format of TIMED is given the motion of a file."""
    if suffix == ".i2w":
        return {"motion": file.motion, "background": file.background, "is_object": file.is_object}
    return {"motion": file.motion, **({} if suffix in MOVING else {"fps": fps})}


@contextmanager
def writing_folder(parent: Path) -> Iterator[Path]:
    """Provide a hidden folder for files that are renamed once they are whole.

    Folders that are left over from processes that were killed are removed; those in use are locked.
    """
    for old in parent.glob(f"{WRITING}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > MIN_AGE and (lock := _lock(old)) is not None:
                shutil.rmtree(old, ignore_errors=True)
                os.close(lock)
    with tempfile.TemporaryDirectory(prefix=WRITING, dir=parent) as folder:
        lock = _lock(Path(folder))
        try:
            yield Path(folder)
        finally:
            if lock is not None:
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the descriptor that is returned is closed; return None if another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def find_suffix(path: Path) -> str:
    """Return the format's end of a file name. Raises FormatError when it is none that is known."""
    name = path.name.lower()
    found = [suffix for suffix in MODULES if name.endswith(suffix)]
    if not found:
        known = ", ".join(suffix for suffix in MODULES if suffix.startswith("."))
        mesh = "; `img2world export FILE mesh` makes a mesh of splats" if path.suffix.lower() in MESH_SUFFIXES else ""
        raise FormatError(f"no splat format has the file name {path.name}", hint=f"known are {known}{mesh}")
    return max(found, key=len)


def detect_suffix(path: Path) -> str:
    """Return the suffix of a file's format: by its content where that is certain, else by its name.

    Raises FormatError when it is none that is known, OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(16)
    found = next((suffix for mark, suffix in MARKS.items() if start.startswith(mark)), None)
    return found or find_suffix(path)


def is_splat_file(path: Path) -> bool:
    """Return whether a file's content or name is that of a splat format."""
    if not path.is_file():
        return False
    try:
        detect_suffix(path)
    except FormatError:
        return False
    return True


def format_module(suffix: str) -> ModuleType:
    """Return the module of a format."""
    return import_module(f"img2world.formats.{MODULES[suffix]}")
