"""Files that are either complete or absent: atomic writing, hashes, locks, and disk errors as one line."""

import errno
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from img2world.core.errors import RunFolderError

LOCK, PARTIAL = ".lock", ".partial-"
"""Name of the lock file of a folder, and prefix of names that are still being written."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ACCESS = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOENT,
    errno.EEXIST,
    errno.ELOOP,
)


def write_text(path: Path, text: str) -> None:
    """Write a small file atomically. Raises RunFolderError when it cannot be written."""
    beside = path.with_name(f"{PARTIAL}{path.name}")
    with clear_disk_errors(path.parent, also=NO_ACCESS):
        # The text may hold file names that are not UTF-8; their bytes are kept.
        with beside.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        flush(path.parent)


def quoted(path: Path) -> str:
    """Return a path as it is typed in a shell, where one that begins with a dash would be an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> dict[str, str]:
    """Flush everything in a folder to the disk and return the digest of each file by relative path."""
    digests = {}
    umask = os.umask(0)
    os.umask(umask)
    for path in sorted(folder.rglob("*")):
        flush(path)
        if path.is_file():
            # safetensors writes files that no other user, such as a web server, may read.
            path.chmod(0o666 & ~umask)
            digests[path.relative_to(folder).as_posix()] = file_digest(path)
    return digests


def remove(path: Path) -> None:
    """Remove a file or a folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_digest(path: Path, digest: str) -> bool:
    """Tell whether there is a file with this SHA-256 at a path."""
    return path.is_file() and file_digest(path) == digest


def path_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a folder.

    A path that does not exist has a digest of its own.
    """
    if not path.is_dir():
        return file_digest(path) if path.exists() else digest_of(None)
    files = sorted(item for item in path.rglob("*") if item.is_file())
    return digest_of({item.relative_to(path).as_posix(): file_digest(item) for item in files})


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, so that no other process writes it. Raises RunFolderError when another one holds it.

    The system releases the lock however the process ends.
    """
    from filelock import FileLock, Timeout

    def note_owner(descriptor: int) -> None:
        os.write(descriptor, f"{os.getpid()}\n".encode())

    path = folder / LOCK
    lock = FileLock(path, blocking=False, on_acquired=note_owner)
    with clear_disk_errors(folder, also=NO_ACCESS):
        try:
            lock.acquire()
        except Timeout as error:
            # The owner may have removed the file, and perhaps the folder, by now.
            owner = path.read_text(errors="replace").strip() if path.exists() else ""
            raise RunFolderError(
                f"the folder is in use by process {owner or 'unknown'}: {folder}", hint="wait until it ends, or stop it"
            ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def clear_disk_errors(folder: Path, *, also: tuple[int, ...] = (errno.EROFS,)) -> Iterator[None]:
    """Turn the errors of a full, read-only or inaccessible disk into a RunFolderError.

    `also` are the system's error numbers that count as such in addition to those of a full disk.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        # NumPy, Pillow and libraries written in C++ or Rust do not say why they failed to write.
        number = number or _disk_errno(folder)
        if number in NO_SPACE:
            raise _no_space(folder) from error
        if number in also:
            raise RunFolderError(
                f"the run folder cannot be written ({os.strerror(number)}): {folder}",
                hint="choose a folder that you may write with --out",
            ) from error
        raise


def _disk_errno(folder: Path) -> int:
    """Return the system's error number when a small file cannot be written now; 0 when it can."""
    probe = folder / f"{PARTIAL}probe"
    try:
        probe.write_bytes(bytes(1 << 20))
    except OSError as error:
        return error.errno or 0
    finally:
        probe.unlink(missing_ok=True)
    return 0


def _no_space(folder: Path) -> RunFolderError:
    """Return the error for an exhausted disk, quota or file size limit."""
    free = shutil.disk_usage(folder).free / 1e6 if folder.exists() else 0.0
    return RunFolderError(
        f"the disk is full ({free:.0f} MB free, a run needs about 300): {folder}",
        hint="free some space and run the same command again: finished stages are kept",
    )
