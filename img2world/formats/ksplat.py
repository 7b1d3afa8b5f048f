"""The .ksplat format of mkkellogg/GaussianSplats3D: sections of Gaussians, plain or quantized in buckets.

Source: github.com/mkkellogg/GaussianSplats3D, src/loaders/SplatBuffer.js (MIT), version 0.1. Axes as in PLY.
Compression level 0 has floats, level 1 halves and 16-bit positions, level 2 spherical harmonics as bytes. Level 0 or 1
is written, in one section; the format has no coefficients above degree 2, which are left out.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Integer

from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import dc_from_rgb, rgb_from_dc, sh_degree
from img2world.formats.precision import BYTE, Precision
from img2world.formats.splat_file import (
    MIN_LOG_SCALE,
    SplatFile,
    assemble,
    check_not_empty,
    join_files,
    logit_from_bytes,
    morton_order,
    parts,
    to_bytes,
    unit_quats,
    with_degree,
)

HEADER_SIZE, SECTION_SIZE = 4096, 1024
MAX_DEGREE = 2

HEADER = np.dtype(
    {
        "names": ["major", "minor", "max_sections", "sections", "max_count", "count", "level", "low", "high"],
        "formats": ["u1", "u1", "<u4", "<u4", "<u4", "<u4", "<u2", "<f4", "<f4"],
        "offsets": [0, 1, 4, 8, 12, 16, 20, 36, 40],
        "itemsize": HEADER_SIZE,
    }
)
SECTION = np.dtype(
    {
        "names": [
            "count",
            "max_count",
            "capacity",
            "buckets",
            "block",
            "bucket_size",
            "range",
            "full",
            "partial",
            "degree",
        ],
        "formats": ["<u4", "<u4", "<u4", "<u4", "<f4", "<u2", "<u4", "<u4", "<u4", "<u2"],
        "offsets": [0, 4, 8, 12, 16, 20, 24, 32, 36, 40],
        "itemsize": SECTION_SIZE,
    }
)
SIZE_OFFSET = 28
"""Offset of the section's size in bytes, which some readers use."""

BUCKET, BLOCK, RANGE = 256, 5.0, 32767
"""Gaussians in a bucket, its largest extent in units, and steps of a position to each side of its center, as usual."""

HARMONICS_LIMIT = 1.5
"""Largest coefficient of level 2 in files that name none."""

HINT = "it is damaged or of another format; copy or write it again"


def read(path: Path) -> SplatFile:
    """Read a .ksplat file. Raises FormatError when it is damaged or of another version."""
    data = path.read_bytes()
    if len(data) < HEADER_SIZE:
        raise FormatError(f"the .ksplat file ends in its header: {path}", hint=HINT)
    header = np.frombuffer(data, HEADER, 1)[0]
    level, sections = int(header["level"]), int(header["max_sections"])
    if header["major"] != 0 or header["minor"] < 1 or level > 2 or sections > 10_000:
        raise FormatError(f"the .ksplat file has version {header['major']}.{header['minor']}, needs 0.1", hint=HINT)
    offset = HEADER_SIZE + sections * SECTION_SIZE
    if offset > len(data):
        raise FormatError(f"the .ksplat file ends in the headers of its {sections} sections", hint=HINT)
    low, high = float(header["low"]) or -HARMONICS_LIMIT, float(header["high"]) or HARMONICS_LIMIT
    parts = []
    for index in range(sections):
        section = np.frombuffer(data, SECTION, 1, HEADER_SIZE + index * SECTION_SIZE)[0]
        row = row_dtype(level, int(section["degree"]))
        buckets = 4 * int(section["partial"]) + int(section["bucket_size"]) * int(section["buckets"])
        start = offset + buckets
        offset = start + int(section["max_count"]) * row.itemsize
        count = int(section["count"])
        if count > int(section["max_count"]) or start + count * row.itemsize > len(data):
            raise FormatError(f"the .ksplat file ends in its section {index + 1} of {sections}", hint=HINT)
        if count:
            rows = np.frombuffer(data, row, count, start)
            means = rows["mean"] if level == 0 else _unquantized(data, section, start - buckets, rows["mean"])
            parts.append(_from_rows(rows, means, level, low, high))
    if not parts:
        raise FormatError(f"the .ksplat file holds no Gaussians: {path}", hint=HINT)
    return join_files(parts)


def row_dtype(level: int, degree: int) -> np.dtype:
    """Return the layout of a Gaussian. Raises FormatError for a degree that the format does not have."""
    if degree > 3:
        raise FormatError(f"the .ksplat file has spherical harmonics of degree {degree}", hint=HINT)
    real, whole = ("<f4", "<f4") if level == 0 else ("<f2", "<u2")
    names = [("mean", whole, 3), ("scale", real, 3), ("quat", real, 4), ("color", "u1", 4)]
    rest = 3 * ((degree + 1) ** 2 - 1)
    return np.dtype([*names, ("rest", "u1" if level == 2 else real, rest)] if rest else names)


def _unquantized(
    data: bytes, section: np.void, start: int, steps: Integer[np.ndarray, "N 3"]
) -> Float32[np.ndarray, "N 3"]:
    """Return positions from steps around the centers of their buckets."""
    full, partial, count = int(section["full"]), int(section["partial"]), len(steps)
    if (
        int(section["bucket_size"]) < 12
        or full + partial > int(section["buckets"])
        or full * int(section["capacity"]) > count
    ):
        raise FormatError("the .ksplat file has damaged buckets", hint=HINT)
    sizes = np.frombuffer(data, "<u4", partial, start)
    stride = int(section["bucket_size"])
    table = np.frombuffer(data, np.uint8, int(section["buckets"]) * stride, start + 4 * partial).reshape(-1, stride)
    centers = np.ascontiguousarray(table[:, :12]).view("<f4")
    # Checked as Python integers: damaged sizes may not wrap around.
    if int(sizes.sum(dtype=np.uint64)) + full * int(section["capacity"]) != count:
        raise FormatError("the .ksplat file has buckets that do not fit its Gaussians", hint=HINT)
    bucket = np.repeat(np.arange(full + partial), [*[int(section["capacity"])] * full, *sizes.tolist()])
    limit = int(section["range"]) or RANGE
    scale = float(section["block"]) / 2 / limit
    return ((steps.astype(np.float64) - limit) * scale + centers[bucket]).astype(np.float32)


def _from_rows(rows: np.ndarray, means: np.ndarray, level: int, low: float, high: float) -> SplatFile:
    """Return the Gaussians of a section."""
    dc = dc_from_rgb(rows["color"][:, None, :3].astype(np.float32) / 255)
    sh = dc
    if "rest" in (rows.dtype.names or ()):
        rest = rows["rest"].astype(np.float32)
        rest = low + rest / 255 * (high - low) if level == 2 else rest
        bands, start = [], 0
        # Each degree has all of red, all of green, all of blue.
        for width in (3, 5, 7):
            if start < rest.shape[1]:
                bands.append(rest[:, start : start + 3 * width].reshape(-1, 3, width).transpose(0, 2, 1))
                start += 3 * width
        sh = np.concatenate([dc, *bands], 1)
    return assemble(
        means,
        rows["quat"].astype(np.float32),
        np.log(rows["scale"].astype(np.float32)),
        logit_from_bytes(rows["color"][:, 3]),
        sh,
        compression=level,
    )


def write(gaussians: Gaussians, path: Path, *, level: int = 1) -> None:
    """Write a .ksplat file of compression level 0 or 1."""
    check_not_empty(gaussians)
    index = order(gaussians)
    count, degree = len(gaussians), min(sh_degree(gaussians.sh.shape[1]), MAX_DEGREE)
    rows = np.zeros(count, row_dtype(level, degree))
    section = np.zeros(1, SECTION)
    section["count"] = section["max_count"] = count
    section["degree"] = degree
    prefix = b""
    if level == 0:
        rows["mean"] = gaussians.means[index]
    else:
        prefix, rows["mean"] = _quantized(gaussians.means[index], section)
    for block, part in parts(gaussians, index):
        _fill(rows[block], part, degree)
    header = np.zeros(1, HEADER)
    header["minor"], header["level"] = 1, level
    header["max_sections"] = header["sections"] = 1
    header["max_count"] = header["count"] = count
    header["low"], header["high"] = -HARMONICS_LIMIT, HARMONICS_LIMIT
    head = bytearray(section.tobytes())
    head[SIZE_OFFSET : SIZE_OFFSET + 4] = (len(prefix) + rows.nbytes).to_bytes(4, "little")
    path.write_bytes(b"".join([header.tobytes(), bytes(head), prefix, rows.tobytes()]))


def _fill(rows: np.ndarray, gaussians: Gaussians, degree: int) -> None:
    """Set all values of some rows of a section but the positions."""
    sh = with_degree(gaussians.sh, degree)
    rows["scale"] = np.minimum(gaussians.scales, np.finfo(rows.dtype["scale"].base).max)
    rows["quat"] = unit_quats(gaussians.quats)
    rows["color"][:, :3] = to_bytes(255 * rgb_from_dc(sh[:, 0]))
    rows["color"][:, 3] = to_bytes(255 * gaussians.opacities)
    if degree:
        bands = [
            sh[:, band**2 : (band + 1) ** 2].transpose(0, 2, 1).reshape(len(rows), -1) for band in range(1, degree + 1)
        ]
        rows["rest"] = np.concatenate(bands, 1)


def _quantized(means: Float32[np.ndarray, "N 3"], section: np.ndarray) -> tuple[bytes, Integer[np.ndarray, "N 3"]]:
    """Return sizes and centers of the buckets and the steps around the centers; complete the section's header.

    All buckets are partial ones, so that each holds neighbors: at most BUCKET Gaussians, none with a larger extent than
    the section's block, which is doubled until it is enough for the most scattered bucket.
    """
    starts = np.arange(0, len(means), BUCKET)
    low, high = (reduce.reduceat(means, starts, axis=0).astype(np.float64) for reduce in (np.minimum, np.maximum))
    centers = ((low + high) / 2).astype("<f4")
    block = max(BLOCK / 1024, float((high - low).max()) * (1 + 1e-6))
    sizes = np.diff(np.append(starts, len(means))).astype("<u4")
    section["capacity"], section["buckets"], section["block"] = BUCKET, len(starts), block
    section["bucket_size"], section["range"], section["partial"] = 12, RANGE, len(starts)
    scale = float(section["block"][0]) / 2 / RANGE
    offsets = means - np.repeat(centers, sizes, axis=0)
    return sizes.tobytes() + centers.tobytes(), np.rint(offsets / scale + RANGE).clip(0, 65535).astype(np.uint16)


def order(gaussians: Gaussians) -> Integer[np.ndarray, "N"]:
    """Return the order in which Gaussians are written."""
    return morton_order(gaussians.means)


def precision(gaussians: Gaussians, *, level: int = 1) -> Precision:
    """Return the largest errors of Gaussians in the order of the file: those of floats, or of halves and steps."""
    colors = {"opacity": BYTE, "color": BYTE, "colors": (0.0, 1.0), "max_degree": MAX_DEGREE}
    if level == 0:
        return Precision(scale=1e-6, **colors)
    section = np.zeros(1, SECTION)
    _quantized(gaussians.means, section)
    half = np.finfo(np.float16)
    spacing = float(np.spacing(np.abs(gaussians.means).max()))
    return Precision(
        position=float(section["block"][0]) / 4 / RANGE + 2 * spacing,
        rotation=4 * float(half.eps),
        # The smallest halves have fewer bits.
        scale=float(half.eps) / 2 + float(half.smallest_subnormal) / np.maximum(gaussians.scales, 1e-12),
        harmonics=float(half.eps) / 2 * float(np.abs(gaussians.sh[:, 1:]).max(initial=0))
        + float(half.smallest_subnormal),
        log_scales=(MIN_LOG_SCALE, float(np.log(float(half.max)))),
        **colors,
    )
