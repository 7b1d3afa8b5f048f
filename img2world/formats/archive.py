"""Zip archives: written with equal bytes for equal content, read without filling the memory."""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from img2world.core.errors import FormatError

MAX_RATIO = 100
"""Ratio by which a file of the archive unpacks above which it is made to fill the memory."""

ROOM = 1 << 20
"""Bytes that every file of the archive may have."""

ERRORS = (zipfile.BadZipFile, RuntimeError, ValueError)
"""What the standard library raises for what is no archive, or one that it cannot read."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""A fixed time, so that equal scenes give equal files."""

ALIGNMENT = 64
LOCAL_HEADER = 30
"""Bytes before the name of a file in an archive."""

PADDING_FIELD = 0x1986
"""Identifier of an extra field that holds nothing, as OpenUSD uses it."""

HINT = "the file is damaged or was made by a faulty program; write it again"


def write_archive(files: Mapping[str, bytes | Path], path: Path, *, stored: tuple[str, ...] = ()) -> None:
    """Write files, given by their content or place, in this order; those in `stored` are not compressed again."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            if isinstance(content, Path):
                info.file_size = content.stat().st_size
                with content.open("rb") as source, archive.open(info, "w") as target:
                    while block := source.read(1 << 20):
                        target.write(block)
            else:
                archive.writestr(info, content)


def write_usd_package(files: Mapping[str, bytes], path: Path) -> None:
    """Write a package of uncompressed, aligned files, in this order; OpenUSD itself would put the time into it.

    Source: openusd.org, "Usdz File Format Specification" 1.3.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as package:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, EPOCH)
            # An extra field fills the space before the content; it has a header of its own.
            start = package.start_dir + LOCAL_HEADER + len(name) + 4
            padding = -start % ALIGNMENT
            info.extra = struct.pack("<HH", PADDING_FIELD, padding) + bytes(padding)
            package.writestr(info, content)


def read_member(archive: zipfile.ZipFile, name: str, title: str, *, room: int = ROOM) -> bytes:
    """Return a file of an archive of the format `title`.

    Raises FormatError when it is missing, damaged, or larger than `room` and 100 times what it is packed into.
    """
    try:
        info = archive.getinfo(name)
        is_bomb = info.file_size > MAX_RATIO * info.compress_size + room
        if is_bomb or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            found = f"{info.file_size} bytes from {info.compress_size}, by method {info.compress_type}"
            raise FormatError(f"the {title} file has a member of {found}: {name!r:.80}", hint=HINT)
        return archive.read(info)
    except KeyError as error:
        raise FormatError(
            f"the {title} file lacks {name!r:.80}",
            hint="it is of another format, or incomplete; copy or write it again",
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise FormatError(f"the {title} file has a damaged member: {name!r:.80}", hint=HINT) from error
