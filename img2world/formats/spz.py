"""SPZ of Niantic, versions 1 to 3 (gzip) and 4 (zstd): about a tenth of a PLY.

Source: github.com/nianticlabs/spz, README and src/cc/load-spz.cc (MIT). Its axes are +X right, +Y up, +Z back, unless
the extension SPZ_ADOBE_coordinate_system names others. Version 3, which more programs open, or 4 is written.
"""

import struct
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from img2world.core.conventions import SH_C0, Y_UP_SIGNS, Z_UP_FROM_WORLD
from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import sh_degree
from img2world.formats.precision import BYTE, Precision, rotation_of_three
from img2world.formats.splat_file import (
    SplatFile,
    assemble,
    check_not_empty,
    logit_from_bytes,
    parts,
    quats_from_smallest_three,
    smallest_three,
    to_bytes,
    unit_quats,
)
from img2world.formats.streams import compress_gzip, compress_zstd, decompress_gzip, decompress_zstd, gzip_start

MAGIC = 0x5053474E
HEADER = struct.Struct("<IIIBBBx")
HEADER_4 = struct.Struct("<IIIBBBBI12x")
STREAM = struct.Struct("<QQ")
EXTENSION = struct.Struct("<II")

COLOR_SCALE = 0.15
"""Colors are stored as 0.5 + COLOR_SCALE times the constant coefficient, which leaves room below 0 and above 1."""

SH_STEPS = (8, 16, 16)
"""Steps of degree 1 to 3, in units of 1/128: finer ones would hardly be seen and not compress."""

MAX_FIXED = 2**23 - 1
"""Largest integer of a position's 24 bits."""

MAX_FRACTION_BITS = 20
"""Bits behind the binary point of positions, where the scene is not too large for them."""

MIN_STEPS = 1000
"""Steps of a position in the extent of most Gaussians below which rounding shows."""

ANTIALIASED, HAS_EXTENSIONS = 1, 2
"""Flags of the header."""

COORDINATE_SYSTEM = 0xADBE0003
"""Type of the extension SPZ_ADOBE_coordinate_system."""

AXES = ["LDB", "RDB", "LUB", "RUB", "LDF", "RDF", "LUF", "RUF", "LFD", "RFD", "LFU", "RFU", "LBD", "RBD", "LBU", "RBU"]
"""Its values, from 1: where +X, +Y and +Z point (Left, Right, Up, Down, Front, Back)."""

ROTATION_STEPS = 511
"""Steps of a quaternion's component between 0 and 1/√2."""

HINT = "it is damaged or of another format; copy or write it again"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The content of an SPZ file before it is unpacked."""

    version: int
    degree: int
    fraction_bits: int
    flags: int
    axes: str
    positions: UInt8[np.ndarray, "N _"]
    alphas: UInt8[np.ndarray, "N"]
    colors: UInt8[np.ndarray, "N 3"]
    scales: UInt8[np.ndarray, "N 3"]
    rotations: UInt8[np.ndarray, "N _"]
    harmonics: UInt8[np.ndarray, "N K 3"]


def read(path: Path) -> SplatFile:
    """Read an SPZ file of version 1 to 4. Raises FormatError when it is damaged or of a later version."""
    return unpack(path.read_bytes())


def unpack(data: bytes, *, turn: bool = True) -> SplatFile:
    """Return the Gaussians of the bytes of an SPZ file, in our axes or, without `turn`, in those of the file."""
    # Before version 4, the content of a gzip file begins with the same letters; some programs leave it unpacked.
    is_zstd = data.startswith(b"NGSP") and data[4:8] > b"\3\0\0\0"
    packed = _read_zstd(data) if is_zstd else _read_gzip(data)
    bases = min(packed.harmonics.shape[1], 15) + 1
    sh = np.empty((len(packed.alphas), bases, 3), np.float32)
    sh[:, 0] = (packed.colors / np.float32(255) - 0.5) / COLOR_SCALE
    sh[:, 1:] = (packed.harmonics[:, : bases - 1].astype(np.float32) - 128) / 128
    details: dict[str, object] = {
        "version": packed.version,
        "fraction bits": packed.fraction_bits,
        "axes": packed.axes,
    }
    details |= {"antialiased": True} if packed.flags & ANTIALIASED else {}
    details |= {"left out": "spherical harmonics of degree 4"} if packed.degree == 4 else {}
    file = assemble(
        _unpack_positions(packed),
        _unpack_rotations(packed.rotations),
        packed.scales / np.float32(16) - 10,
        logit_from_bytes(packed.alphas),
        sh,
        **details,
    )
    return replace(file, gaussians=_in_world(file.gaussians, packed.axes)) if turn else file


def write(gaussians: Gaussians, path: Path, *, version: int = 3) -> None:
    """Write an SPZ file of version 3 or 4. Raises FormatError when the scene is too large for its positions."""
    check_not_empty(gaussians)
    count, degree, bits = len(gaussians), sh_degree(gaussians.sh.shape[1]), fraction_bits(gaussians)
    warn_of_coarse_positions(gaussians, bits)
    blocks = [_pack(part.flipped(Y_UP_SIGNS), bits) for _, part in parts(gaussians)]
    # Each stream has the values of all Gaussians.
    payload = [data for stream in zip(*blocks, strict=True) if (data := b"".join(stream))]
    if version == 3:
        header = HEADER.pack(MAGIC, version, count, degree, bits, 0)
        path.write_bytes(compress_gzip(b"".join([header, *payload])))
        return
    header = HEADER_4.pack(MAGIC, version, count, degree, bits, 0, len(payload), HEADER_4.size)
    frames = compress_zstd(payload)
    table = [STREAM.pack(len(frame), len(raw)) for frame, raw in zip(frames, payload, strict=True)]
    path.write_bytes(b"".join([header, *table, *frames]))


def _pack(turned: Gaussians, bits: int) -> list[bytes]:
    """Return the streams of Gaussians in the axes of the file: position, opacity, color, scale, rotation, harmonics."""
    streams = [
        _pack_positions(turned.means, bits),
        to_bytes(255 * turned.opacities),
        to_bytes(255 * (COLOR_SCALE * turned.sh[:, 0] + 0.5)),
        to_bytes(16 * (turned.log_scales + 10)),
        _pack_rotations(turned.quats),
        _pack_harmonics(turned.sh),
    ]
    return [stream.tobytes() for stream in streams]


def fraction_bits(gaussians: Gaussians) -> int:
    """Return the bits behind the binary point of positions. Raises FormatError when the scene is too large for any."""
    extent = max(float(np.abs(gaussians.means).max()), 1e-6)
    if extent > MAX_FIXED:
        raise FormatError(
            f"the scene reaches {extent:,.0f} units from the origin, SPZ holds {MAX_FIXED:,}",
            hint="drop what is far with --crop-sphere, or make it smaller with --scale",
        )
    return min(int(np.log2(MAX_FIXED / extent)), MAX_FRACTION_BITS)


def warn_of_coarse_positions(gaussians: Gaussians, bits: int) -> None:
    """Warn where a few Gaussians far away leave too few bits for the positions of the others."""
    extent = float(np.ptp(np.percentile(gaussians.means, (5, 95), axis=0), axis=0).max())
    if len(gaussians) > 1 and 0.5**bits > extent / MIN_STEPS:
        reach = float(np.abs(gaussians.means).max())
        warnings.warn(
            f"positions are rounded to {0.5**bits:.2g} of {extent:.2g} units, since the farthest Gaussian is "
            f"{reach:,.0f} units away; `img2world convert IN OUT.spz --drop-floaters` makes them finer",
            stacklevel=3,
        )


def precision(gaussians: Gaussians, *, version: int = 3) -> Precision:
    """Return the largest errors of the format: half a step."""
    del version
    return Precision(
        position=0.5 / 2 ** fraction_bits(gaussians) + float(np.spacing(np.abs(gaussians.means).max())),
        rotation=rotation_of_three(0.5**0.5 / ROTATION_STEPS),
        scale=1 / 32 + 1e-6,
        opacity=BYTE,
        color=BYTE * SH_C0 / COLOR_SCALE,
        harmonics=max(SH_STEPS) / 256 + 1e-6,
        log_scales=(-10.0, 255 / 16 - 10),
        colors=(0.5 - 0.5 * SH_C0 / COLOR_SCALE, 0.5 + 0.5 * SH_C0 / COLOR_SCALE),
        max_harmonic=127 / 128,
    )


def _read_gzip(data: bytes) -> Packed:
    """Return the content of a file of version 1 to 3, which may already be unpacked."""
    is_unpacked = data.startswith(b"NGSP")
    if not is_unpacked and not data.startswith(b"\x1f\x8b"):
        raise FormatError("the file is not an SPZ file", hint="needs the format of github.com/nianticlabs/spz")
    start = data[: HEADER.size] if is_unpacked else gzip_start(data, HEADER.size)
    if len(start) < HEADER.size:
        raise FormatError("the SPZ file ends in its header", hint=HINT)
    magic, version, count, degree, bits, flags = HEADER.unpack(start)
    if magic != MAGIC or not 1 <= version <= 3:
        raise FormatError(f"the SPZ file has version {version} and mark {magic:#x}, needs 1 to 3", hint=HINT)
    sizes = _sizes(version, count, degree, bits, len(data))
    # Extensions follow the streams.
    body = data if is_unpacked else decompress_gzip(data, HEADER.size + sum(sizes) + (1 << 20))
    ends = np.cumsum([HEADER.size, *sizes])
    if len(body) < ends[-1]:
        raise FormatError(f"the SPZ file has {len(body)} of {ends[-1]} bytes", hint=HINT)
    streams = [body[start:end] for start, end in pairwise(ends)]
    extensions = body[ends[-1] :] if flags & HAS_EXTENSIONS else b""
    return _packed(streams, version, count, degree, bits, flags, extensions)


def _read_zstd(data: bytes) -> Packed:
    """Return the content of a file of version 4."""
    if len(data) < HEADER_4.size:
        raise FormatError("the SPZ file ends in its header", hint=HINT)
    _, version, count, degree, bits, flags, streams, table = HEADER_4.unpack_from(data)
    if version != 4:
        raise FormatError(f"the SPZ file has version {version}, needs 1 to 4", hint="update this program")
    sizes = _sizes(version, count, degree, bits, len(data))
    offset = table + streams * STREAM.size
    if table < HEADER_4.size or offset > len(data) or streams != sum(size > 0 for size in sizes):
        raise FormatError(f"the SPZ file has a damaged table of {streams} streams", hint=HINT)
    contents, position = [], 0
    for size in sizes:
        if size == 0:
            contents.append(b"")
            continue
        packed, raw = STREAM.unpack_from(data, table + position * STREAM.size)
        position += 1
        if raw != size or packed > len(data) - offset:
            raise FormatError(f"the SPZ file has a stream of {raw} bytes instead of {size}", hint=HINT)
        contents.append(decompress_zstd(data[offset : offset + packed], size))
        offset += packed
    extensions = data[HEADER_4.size : table] if flags & HAS_EXTENSIONS else b""
    return _packed(contents, version, count, degree, bits, flags, extensions)


def _sizes(version: int, count: int, degree: int, bits: int, length: int) -> list[int]:
    """Return the bytes of each stream. Raises FormatError when a file of this length cannot have them."""
    position, rotation = (6 if version == 1 else 9), (4 if version >= 3 else 3)
    sizes = [size * count for size in (position, 1, 3, 3, rotation, 3 * ((degree + 1) ** 2 - 1))]
    if degree > 4 or bits > 24 or count == 0 or sum(sizes) > 1024 * length:
        raise FormatError(
            f"the SPZ file says that it has {count} Gaussians of degree {degree}, which its size rules out", hint=HINT
        )
    return sizes


def _packed(
    streams: list[bytes], version: int, count: int, degree: int, bits: int, flags: int, extensions: bytes
) -> Packed:
    """Return the streams as tables of bytes."""
    positions, alphas, colors, scales, rotations, harmonics = (np.frombuffer(part, np.uint8) for part in streams)
    return Packed(
        version=version,
        degree=degree,
        fraction_bits=bits,
        flags=flags,
        axes=_axes(extensions),
        positions=positions.reshape(count, -1),
        alphas=alphas,
        colors=colors.reshape(count, 3),
        scales=scales.reshape(count, 3),
        rotations=rotations.reshape(count, -1),
        harmonics=harmonics.reshape(count, (degree + 1) ** 2 - 1, 3),
    )


def _axes(extensions: bytes) -> str:
    """Return where the axes of a file with these extensions point. Raises FormatError when that is unknown."""
    offset = 0
    while offset + EXTENSION.size <= len(extensions):
        kind, size = EXTENSION.unpack_from(extensions, offset)
        offset += EXTENSION.size
        if kind == COORDINATE_SYSTEM and size == 4 and offset + 4 <= len(extensions):
            number = int.from_bytes(extensions[offset : offset + 4], "little")
            if number > len(AXES):
                raise FormatError(f"the SPZ file has the unknown coordinate system {number}", hint=HINT)
            return AXES[number - 1] if number else "RUB"
        offset += size
    return "RUB"


def _in_world(gaussians: Gaussians, axes: str) -> Gaussians:
    """Turn Gaussians from axes that point as the letters say to ours, RDF."""
    if axes[1] in "FB":
        # Y and Z are exchanged; RFU are the axes of nerfstudio and Blender.
        upright = gaussians.flipped([1 if letter in "RFU" else -1 for letter in axes])
        return upright.transformed(np.linalg.inv(Z_UP_FROM_WORLD).astype(np.float32))
    return gaussians.flipped([1 if letter in "RDF" else -1 for letter in axes])


def _pack_positions(means: Float32[np.ndarray, "N 3"], bits: int) -> UInt8[np.ndarray, "N 9"]:
    """Return positions as 24-bit integers with `bits` behind the binary point."""
    fixed = np.rint(means.astype(np.float64) * 2**bits).astype("<i4")
    return fixed.view(np.uint8).reshape(-1, 3, 4)[..., :3].reshape(-1, 9)


def _unpack_positions(packed: Packed) -> Float32[np.ndarray, "N 3"]:
    """Return the positions; those of version 1 are half-precision floats."""
    if packed.version == 1:
        return np.ascontiguousarray(packed.positions).view("<f2").astype(np.float32)
    wide = np.zeros((len(packed.positions), 3, 4), np.uint8)
    wide[..., 1:] = packed.positions.reshape(-1, 3, 3)
    # In the upper three bytes, the sign is where it has to be.
    return (wide.view("<i4")[..., 0] / 2.0 ** (8 + packed.fraction_bits)).astype(np.float32)


def _pack_rotations(quats: Float32[np.ndarray, "N 4"]) -> UInt8[np.ndarray, "N 4"]:
    """Return the three smallest components, as sign and 9 bits each, after the index of the largest."""
    largest, three = smallest_three(unit_quats(quats)[:, [1, 2, 3, 0]])
    steps = np.floor(np.abs(three) * (np.sqrt(2) * ROTATION_STEPS) + 0.5).astype(np.uint32)
    steps |= (three < 0).astype(np.uint32) << 9
    packed = (largest.astype(np.uint32) << 30) | (steps[:, 0] << 20) | (steps[:, 1] << 10) | steps[:, 2]
    return packed.astype("<u4").view(np.uint8).reshape(-1, 4)


def _unpack_rotations(rotations: UInt8[np.ndarray, "N _"]) -> Float64[np.ndarray, "N 4"]:
    """Return wxyz quaternions; in versions 1 and 2 there are three bytes, x y z, each."""
    if rotations.shape[1] == 3:
        xyz = rotations / 127.5 - 1
        w = np.sqrt(np.maximum(0, 1 - (xyz * xyz).sum(1, keepdims=True)))
        return np.concatenate([w, xyz], 1)
    packed = np.ascontiguousarray(rotations).view("<u4")[:, 0].astype(np.uint32)
    steps = np.stack([packed >> 20, packed >> 10, packed], -1)
    three = (steps & 511) / (np.sqrt(2) * ROTATION_STEPS) * np.where(steps & 512, -1, 1)
    quats = quats_from_smallest_three((packed >> 30).astype(int), three)
    return quats[:, [3, 0, 1, 2]].astype(np.float64)


def _pack_harmonics(sh: Float32[np.ndarray, "N K 3"]) -> UInt8[np.ndarray, "N L 3"]:
    """Return the coefficients above degree 0 as bytes around 128, each rounded to a multiple of its degree's step."""
    table = np.empty((len(sh), sh.shape[1] - 1, 3), np.uint8)
    for degree in range(1, sh_degree(sh.shape[1]) + 1):
        step = SH_STEPS[degree - 1]
        steps = np.rint(sh[:, degree**2 : (degree + 1) ** 2] * (128 / step)) * step + 128
        table[:, degree**2 - 1 : (degree + 1) ** 2 - 1] = steps.clip(0, 255)
    return table
