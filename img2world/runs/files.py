"""Files that are whole or not there: hashes, flushing, and the errors of a disk in one line."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from img2world.core.errors import RunFolderError

LOCK, PARTIAL = ".lock", ".partial-"
"""Name of a lock file, and how the names begin of what is being written."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ACCESS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.ELOOP)


def write_text(path: Path, text: str) -> None:
    """Write a small file at once or not at all. Raises RunFolderError when the disk does not take it."""
    beside = path.with_name(f"{PARTIAL}{path.name}")
    with clear_disk_errors(path.parent, also=NO_ACCESS):
        # A file name need not be UTF-8; what it is made of is kept.
        with beside.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        flush(path.parent)


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> dict[str, str]:
    """Have everything in a folder reach the disk; gives the digest of each file by its relative path."""
    digests = {}
    umask = os.umask(0)
    os.umask(umask)
    for path in sorted(folder.rglob("*")):
        flush(path)
        if path.is_file():
            # safetensors writes files that nobody else may read, not even a web server.
            path.chmod(0o666 & ~umask)
            digests[path.relative_to(folder).as_posix()] = file_digest(path)
    return digests


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def path_digest(path: Path) -> str:
    """SHA-256 of a file, of the names and contents of a folder's files, or of nothing where there is nothing."""
    if not path.is_dir():
        return file_digest(path) if path.exists() else digest_of(None)
    files = sorted(item for item in path.rglob("*") if item.is_file())
    return digest_of({item.relative_to(path).as_posix(): file_digest(item) for item in files})


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, so that no other process writes it. Raises RunFolderError when another one holds it.

    The system releases the lock however the process ends.
    """
    from filelock import FileLock, Timeout

    path = folder / LOCK
    lock = FileLock(path, blocking=False, on_acquired=lambda file: os.write(file, f"{os.getpid()}\n".encode()))
    with clear_disk_errors(folder, also=NO_ACCESS):
        try:
            lock.acquire()
        except Timeout as error:
            # The owner may have removed the file, and perhaps the folder, by now.
            owner = path.read_text(errors="replace").strip() if path.exists() else ""
            raise RunFolderError(
                f"the folder is in use by process {owner or 'unknown'}: {folder}", hint="wait for it to end, or stop it"
            ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def clear_disk_errors(folder: Path, *, also: tuple[int, ...] = (errno.EROFS,)) -> Iterator[None]:
    """Turn the errors of a full, read-only or forbidden disk into a RunFolderError."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        # NumPy, Pillow and libraries written in C++ or Rust fail to write without saying why.
        number = number or _disk_errno(folder)
        if number in NO_SPACE:
            raise _no_space(folder) from error
        if number in also:
            raise RunFolderError(
                f"the run folder cannot be written ({os.strerror(number)}): {folder}",
                hint="give a folder you may write with --out",
            ) from error
        raise


def _disk_errno(folder: Path) -> int:
    """The system's error number when a small file cannot be written now; 0 when it can."""
    probe = folder / f"{PARTIAL}probe"
    try:
        probe.write_bytes(bytes(1 << 20))
    except OSError as error:
        return error.errno or 0
    finally:
        probe.unlink(missing_ok=True)
    return 0


def _no_space(folder: Path) -> RunFolderError:
    """The error for a disk, quota or file size limit that is used up."""
    free = shutil.disk_usage(folder).free / 1e6 if folder.exists() else 0.0
    return RunFolderError(
        f"the disk is full ({free:.0f} MB free, a run needs about 300): {folder}",
        hint="free some space and call the same command again: what is done is kept",
    )
