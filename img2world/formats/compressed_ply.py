"""Compressed PLY of PlayCanvas and SuperSplat: 16 bytes a Gaussian, quantized in chunks of 256.

Source: developer.playcanvas.com, "Compressed PLY", and the readers of PlayCanvas and splat-transform. Axes as in PLY.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer

from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.ply import HINT, Columns, read_elements, write_elements
from img2world.core.sh import dc_from_rgb, rgb_from_dc
from img2world.formats.precision import BYTE, Precision, rotation_of_three
from img2world.formats.splat_file import (
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    SplatFile,
    assemble,
    check_not_empty,
    logit_from_bytes,
    morton_order,
    parts,
    quats_from_smallest_three,
    smallest_three,
    to_bytes,
    unit_quats,
)

CHUNK = 256
"""Gaussians that share their bounds."""

SH_RANGE = 8.0
"""Extent of the spherical harmonics that a byte spans: from -4 to 4."""

POSITIONS, SCALES = ("x", "y", "z"), ("scale_x", "scale_y", "scale_z")
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")


def read(path: Path) -> SplatFile:
    """Read a compressed PLY. Raises FormatError when it is another kind of PLY, or damaged."""
    elements = read_elements(path)
    if not is_compressed(elements):
        raise FormatError(f"the PLY file is not a compressed one: {path}", hint="leave .compressed out of its name")
    return from_elements(elements)


def is_compressed(elements: dict[str, Columns]) -> bool:
    """Return whether the elements of a PLY are those of this format."""
    return "chunk" in elements and all(name in elements.get("vertex", {}) for name in PACKED)


def from_elements(elements: dict[str, Columns]) -> SplatFile:
    """Return the Gaussians of a compressed PLY. Raises FormatError when its elements do not fit together."""
    chunks, vertices, harmonics = elements["chunk"], elements["vertex"], elements.get("sh", {})
    count, rest = len(vertices[PACKED[0]]), len(harmonics)
    colors = ["r", "g", "b"] if "min_r" in chunks else []
    names = [*POSITIONS, *SCALES, *colors]
    bounds = [f"{side}_{name}" for name in names for side in ("min", "max")]
    if any(name not in chunks for name in bounds) or len(chunks["min_x"]) != -(-count // CHUNK):
        raise FormatError(f"the compressed PLY file has chunks that do not fit its {count} Gaussians", hint=HINT)
    columns = [harmonics.get(f"f_rest_{i}", np.empty(0)) for i in range(rest)]
    if rest not in (0, 9, 24, 45) or any(len(column) != count or column.dtype != np.uint8 for column in columns):
        raise FormatError(f"the compressed PLY file has damaged spherical harmonics: {rest} columns", hint=HINT)
    index = np.arange(count) // CHUNK

    def spread(unit: np.ndarray, *names: str) -> np.ndarray:
        low, high = (np.stack([chunks[f"{side}_{name}"] for name in names], -1)[index] for side in ("min", "max"))
        return low * (1 - unit) + high * unit

    packed = [np.asarray(vertices[name], np.uint32) for name in PACKED]
    rotation, color = packed[1], packed[3].astype(">u4").view(np.uint8).reshape(count, 4)
    rgb = color[:, :3] / np.float32(255)
    if colors:
        rgb = spread(rgb, *colors)
    three = np.stack([rotation >> 20, rotation >> 10, rotation], -1) & 1023
    sh = np.empty((count, rest // 3 + 1, 3), np.float32)
    sh[:, 0] = dc_from_rgb(rgb)
    table = ((np.arange(256) + 0.5) / 256 - 0.5) * SH_RANGE
    table[[0, 255]] = -SH_RANGE / 2, SH_RANGE / 2
    for i in range(rest):
        sh[:, i % (rest // 3) + 1, i // (rest // 3)] = table[columns[i]]
    return assemble(
        spread(_unpack_11_10_11(packed[0]), *POSITIONS),
        quats_from_smallest_three((rotation >> 30).astype(int), (three / 1023 - 0.5) * np.sqrt(2)),
        spread(_unpack_11_10_11(packed[2]), *SCALES),
        logit_from_bytes(color[:, 3]),
        sh,
        chunks=len(chunks["min_x"]),
    )


def write(gaussians: Gaussians, path: Path) -> None:
    """Write a compressed PLY, in an order in which neighbors share a chunk."""
    check_not_empty(gaussians)
    # A block has whole chunks.
    blocks = [_elements(part) for _, part in parts(gaussians, order(gaussians))]
    elements = {
        element: {name: np.concatenate([block[element][name] for block in blocks]) for name in columns}
        for element, columns in blocks[0].items()
    }
    write_elements(elements, path)


def _elements(gaussians: Gaussians) -> dict[str, Columns]:
    """Return the elements of the PLY for Gaussians in the order of the file."""
    count, bases = gaussians.sh.shape[:2]
    starts = np.arange(0, count, CHUNK)
    chunks: Columns = {}

    def normalize(values: np.ndarray, *names: str) -> np.ndarray:
        low, high = (reduce.reduceat(values, starts, axis=0) for reduce in (np.minimum, np.maximum))
        for side, bound in (("min", low), ("max", high)):
            chunks.update({f"{side}_{name}": bound[:, i].astype(np.float32) for i, name in enumerate(names)})
        index = np.arange(count) // CHUNK
        return (values - low[index]) / np.maximum(high - low, 1e-10)[index]

    scales = gaussians.log_scales.clip(MIN_LOG_SCALE, MAX_LOG_SCALE)
    positions = _pack_11_10_11(normalize(gaussians.means, *POSITIONS))
    packed_scales = _pack_11_10_11(normalize(scales, *SCALES))
    rgb = normalize(rgb_from_dc(gaussians.sh[:, 0]), "r", "g", "b")
    color = np.concatenate([to_bytes(255 * rgb), to_bytes(255 * gaussians.opacities)[:, None]], 1)
    largest, three = smallest_three(unit_quats(gaussians.quats))
    three = np.rint((three / np.sqrt(2) + 0.5) * 1023).clip(0, 1023).astype(np.uint32)
    rotations = (largest.astype(np.uint32) << 30) | (three[:, 0] << 20) | (three[:, 1] << 10) | three[:, 2]
    vertices = dict(
        zip(PACKED, [positions, rotations, packed_scales, color.view(">u4")[:, 0].astype("u4")], strict=True)
    )
    elements = {"chunk": chunks, "vertex": vertices}
    if bases > 1:
        quantized = np.floor((gaussians.sh[:, 1:] / SH_RANGE + 0.5) * 256).clip(0, 255).astype(np.uint8)
        rest = bases - 1
        elements["sh"] = {f"f_rest_{i}": quantized[:, i % rest, i // rest] for i in range(3 * rest)}
    return elements


def order(gaussians: Gaussians) -> Integer[np.ndarray, "N"]:
    """Return the order in which Gaussians are written."""
    return morton_order(gaussians.means)


def precision(gaussians: Gaussians) -> Precision:
    """Return the largest errors of Gaussians in the order of the file: half a step of their chunk."""
    starts = np.arange(0, len(gaussians), CHUNK)

    def half_steps(values: Float[np.ndarray, "N 3"], levels: tuple[int, int, int]) -> Float[np.ndarray, "N 3"]:
        low, high = (reduce.reduceat(values, starts, axis=0) for reduce in (np.minimum, np.maximum))
        steps = (high.astype(np.float64) - low) / levels / 2
        # Both bounds and the value between them are rounded to float32.
        return (steps + 4 * np.spacing(np.maximum(np.abs(low), np.abs(high))))[np.arange(len(values)) // CHUNK]

    return Precision(
        position=half_steps(gaussians.means, (2047, 1023, 2047)),
        rotation=rotation_of_three(2**0.5 / 1023),
        scale=half_steps(gaussians.log_scales.clip(MIN_LOG_SCALE, MAX_LOG_SCALE), (2047, 1023, 2047)),
        opacity=BYTE,
        color=half_steps(rgb_from_dc(gaussians.sh[:, 0]), (255, 255, 255)),
        # The outermost bytes stand for the ends of the range, others for the middle of their step.
        harmonics=SH_RANGE / 256,
        max_harmonic=SH_RANGE / 2,
    )


def _pack_11_10_11(unit: Float[np.ndarray, "N 3"]) -> Integer[np.ndarray, "N"]:
    """Pack three numbers from 0 to 1 into 32 bits."""
    x, y, z = np.rint(unit.clip(0, 1) * (2047, 1023, 2047)).astype(np.uint32).T
    return (x << 21) | (y << 11) | z


def _unpack_11_10_11(packed: Integer[np.ndarray, "N"]) -> Float[np.ndarray, "N 3"]:
    """Return the three numbers from 0 to 1 in 32 bits."""
    integers = np.stack([packed >> 21, (packed >> 11) & 1023, packed & 2047], -1)
    return (integers / np.array([2047, 1023, 2047])).astype(np.float32)
