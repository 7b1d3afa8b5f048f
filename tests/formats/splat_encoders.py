"""SPZ files, byte by byte as load-spz.cc of nianticlabs/spz reads them, and splats in other axes."""

import gzip
import struct

import numpy as np
import zstandard
from known_scene import Splat, harmonics_at, rotation_matrix
from scipy.spatial.transform import Rotation

SYSTEMS = [
    *("LDB", "RDB", "LUB", "RUB", "LDF", "RDF", "LUF", "RUF"),
    *("LFD", "RFD", "LFU", "RFU", "LBD", "RBD", "LBU", "RBU"),
]
"""Numbers 1 to 16 of the enum CoordinateSystem."""

TOWARDS = {"R": (1, 0, 0), "L": (-1, 0, 0), "D": (0, 1, 0), "U": (0, -1, 0), "F": (0, 0, 1), "B": (0, 0, -1)}
"""Where the letters point in axes +X right, +Y down, +Z forward."""


def in_axes(splat: Splat, frame: np.ndarray) -> Splat:
    """Return a splat in other axes, which may be mirrored: its harmonics are fitted to the colors that it shows."""
    axes = frame @ rotation_matrix(*splat.quaternion)
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1
    x, y, z, w = Rotation.from_matrix(axes).as_quat()
    count = len(splat.harmonics)
    rays = np.random.default_rng(5).normal(size=(40, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    before = np.array([harmonics_at(*ray)[:count] for ray in rays.tolist()])
    after = np.array([harmonics_at(*ray)[:count] for ray in (rays @ frame.T).tolist()])
    harmonics = np.linalg.lstsq(after, before @ splat.harmonics, rcond=None)[0]
    return Splat(tuple(frame @ splat.center), (w, x, y, z), splat.radii, splat.opacity, harmonics)


def byte(value: float) -> int:
    return min(255, max(0, round(value)))


def rotation_bytes(quaternion: tuple[float, ...], version: int) -> bytes:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    if version < 3:
        sign = -1 if w < 0 else 1
        return bytes(byte(127.5 * sign * value + 127.5) for value in (x, y, z))
    parts = [x, y, z, w]
    largest = max(range(4), key=lambda i: abs(parts[i]))
    word = largest
    for i in range(4):
        if i != largest:
            negative = (parts[i] < 0) != (parts[largest] < 0)
            word = word << 10 | negative << 9 | int(511 * abs(parts[i]) * 2**0.5 + 0.5)
    return struct.pack("<I", word)


def spz_bytes(splats: list[Splat], version: int, *, bits: int = 14, flags: int = 0, extensions: bytes = b"") -> bytes:
    """Return an SPZ file."""
    streams = [b"", b"", b"", b"", b"", b""]
    for splat in splats:
        if version == 1:
            streams[0] += struct.pack("<3e", *splat.center)
        else:
            for value in splat.center:
                streams[0] += round(value * 2**bits).to_bytes(3, "little", signed=True)
        streams[1] += bytes([byte(255 * splat.opacity)])
        streams[2] += bytes(byte(255 * (0.5 + 0.15 * value)) for value in splat.harmonics[0])
        streams[3] += bytes(byte(16 * (np.log(value) + 10)) for value in splat.radii)
        streams[4] += rotation_bytes(splat.quaternion, version)
        streams[5] += bytes(byte(128 * value + 128) for row in splat.harmonics[1:] for value in row)
    degree = round(len(splats[0].harmonics) ** 0.5) - 1
    flags |= 2 if extensions else 0
    head = struct.pack("<4sIIBBB", b"NGSP", version, len(splats), degree, bits, flags)
    if version < 4:
        return gzip.compress(head + b"\0" + b"".join(streams) + extensions)
    filled = [stream for stream in streams if stream]
    frames = [zstandard.compress(stream) for stream in filled]
    head += struct.pack("<BI12x", len(filled), 32 + len(extensions))
    table = b"".join(struct.pack("<QQ", len(frame), len(raw)) for frame, raw in zip(frames, filled, strict=True))
    return head + extensions + table + b"".join(frames)


def system_extension(number: int) -> bytes:
    return struct.pack("<III", 0xADBE0003, 4, number)
