"""Text files that people and other programs write: in any encoding, and refused where they are no files."""

import codecs
import stat
from pathlib import Path

MAX_BYTES = 256 << 20
"""Size of the largest text file that is read."""

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks; that of UTF-32 begins like that of UTF-16."""


def read_text(path: Path) -> str:
    """Return the text of a file, with its line ends as they are.

    A byte order mark names the encoding (Notepad and PowerShell write UTF-8 and UTF-16 so). Without one it is UTF-16 if
    every other byte is zero, else UTF-8; bytes that are not valid become surrogates, as in names of files. Raises
    OSError when the file cannot be read, and ValueError when it is a device or a pipe, too large, or not text.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ValueError("it is a device or a pipe, not a file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"it has {status.st_size / 1e6:.0f} MB, needs at most {MAX_BYTES / 1e6:.0f}")
    data = path.read_bytes()
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    head = data[:64]
    if len(head) >= 4 and len(data) % 2 == 0 and 0 in head:
        for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            if not any(head[offset::2]) and all(head[1 - offset :: 2]):
                return data.decode(encoding)
    return data.decode("utf-8", "surrogateescape")


def expanded(path: Path) -> Path:
    """Return a path with ~ replaced by a home folder; as it is if there is no such user, since it may name a file."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path
