import gzip
import tracemalloc
import zlib

import numpy as np
import pytest
import zstandard

from img2world.core.errors import FormatError
from img2world.formats.streams import (
    PIECE,
    compress_gzip,
    compress_zstd,
    decompress_gzip,
    decompress_zstd,
    gzip_start,
)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 5])
def test_pieces_are_one_gzip_file(size):
    data = (np.arange(size) % 251 + np.arange(size) // 1000).astype(np.uint8).tobytes()
    packed = compress_gzip(data, level=1)
    assert gzip.decompress(packed) == data
    assert decompress_gzip(packed, size) == data
    assert gzip_start(packed, 16) == data[:16]
    assert len(packed) < 1.02 * len(zlib.compress(data, 1, 31)) + 20


def test_frames_are_those_of_zstd():
    streams = [b"a" * 1000, bytes(range(256))]
    packed = compress_zstd(streams)
    assert [zstandard.ZstdDecompressor().decompress(frame) for frame in packed] == streams
    assert [decompress_zstd(frame, len(raw)) for frame, raw in zip(packed, streams, strict=True)] == streams


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\x1f\x8b", b"no gzip", gzip.compress(b"abc" * 99, mtime=0)[:-5]])
def test_damaged_gzip_is_one_error(data):
    with pytest.raises(FormatError, match="compressed data"):
        decompress_gzip(data, 1000)


@pytest.mark.parametrize("data", [b"", b"\x28\xb5", b"no zstd", zstandard.compress(b"abc" * 99)[:-5]])
def test_damaged_zstd_is_one_error(data):
    with pytest.raises(FormatError, match="compressed data"):
        decompress_zstd(data, 297)


def test_a_changed_byte_is_noticed():
    data = bytearray(gzip.compress(bytes(range(256)) * 9))
    data[-6] ^= 1
    with pytest.raises(FormatError, match="compressed data"):
        decompress_gzip(bytes(data), 10_000)


@pytest.mark.parametrize("unpack", [decompress_gzip, decompress_zstd])
def test_what_unpacks_to_more_than_it_should_does_not_fill_the_memory(unpack):
    content = bytes(1 << 26)
    data = gzip.compress(content, 1, mtime=0) if unpack is decompress_gzip else zstandard.compress(content)
    tracemalloc.start()
    with pytest.raises(FormatError, match="compressed data"):
        unpack(data, 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
