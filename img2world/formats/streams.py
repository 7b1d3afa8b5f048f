"""Compressed streams: gzip on all cores, and zstd; neither fills the memory with what a damaged file claims."""

import os
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from img2world.core.errors import FormatError

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Without a name or a time, so that equal scenes give equal files."""

PIECE = 1 << 22
"""Bytes that one thread compresses at a time."""

WINDOW = 1 << 15
"""Bytes that deflate looks back."""

HINT = "it is damaged; copy or write it again"


def compress_gzip(data: bytes, level: int = 6) -> bytes:
    """Return a gzip file with one member, compressed in pieces on all cores.

    Each piece begins with the end of the one before as its dictionary, so that hardly anything is lost, as in pigz.
    """
    view = memoryview(data)
    starts = range(0, max(len(view), 1), PIECE)

    def compress(start: int) -> bytes:
        dictionary = bytes(view[max(0, start - WINDOW) : start])
        packer = zlib.compressobj(level, zlib.DEFLATED, -15, zdict=dictionary)
        is_last = start + PIECE >= len(view)
        return packer.compress(view[start : start + PIECE]) + packer.flush(
            zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pieces = list(pool.map(compress, starts))
    return b"".join([GZIP_HEADER, *pieces, struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)])


def decompress_gzip(data: bytes, limit: int) -> bytes:
    """Return the content of a gzip file. Raises FormatError when it is damaged or has more than `limit` bytes."""
    unpacker = zlib.decompressobj(31)
    try:
        content = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise FormatError(f"the compressed data cannot be read: {error}", hint=HINT) from error
    if len(content) > limit or not unpacker.eof:
        found = "is longer than its header says" if len(content) > limit else "ends too early"
        raise FormatError(f"the compressed data {found}", hint=HINT)
    return content


def gzip_start(data: bytes, size: int) -> bytes:
    """Return the first bytes of the content of a gzip file. Raises FormatError when it is not one."""
    try:
        return zlib.decompressobj(31).decompress(data[: 64 * size + 1024], size)
    except zlib.error as error:
        raise FormatError(f"the compressed data cannot be read: {error}", hint=HINT) from error


def compress_zstd(streams: Sequence[bytes], level: int = 12) -> list[bytes]:
    """Return each stream as a zstd frame, compressed on all cores."""
    import zstandard

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda stream: zstandard.ZstdCompressor(level=level).compress(stream), streams))


def decompress_zstd(data: bytes, size: int) -> bytes:
    """Return the content of a zstd frame that has `size` bytes. Raises FormatError when it is damaged."""
    import zstandard

    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            content = reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise FormatError(f"the compressed data cannot be read: {error}", hint=HINT) from error
    if len(content) != size:
        raise FormatError(f"the compressed data has {len(content)} bytes instead of {size}", hint=HINT)
    return content
