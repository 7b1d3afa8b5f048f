"""SOG of PlayCanvas: Gaussians as lossless WebP pictures and a meta.json, in one zip file or beside each other.

Source: developer.playcanvas.com, "The SOG Format", version 2, and the reader of splat-transform for version 1.
Positions have 16 bits on a logarithmic scale, rotations 8 bits a component, scales and colors 256 levels, and spherical
harmonics a palette. Axes as in PLY.
"""

import io
import json
import math
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8

from img2world.core.conventions import SH_C0
from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import sh_degree
from img2world.formats.archive import ERRORS, HINT, read_member, write_archive
from img2world.formats.codebook import BINS, find_levels, find_palette, nearest_level
from img2world.formats.precision import BYTE, Precision, rotation_of_three
from img2world.formats.splat_file import (
    SplatFile,
    assemble,
    check_not_empty,
    logit_from_bytes,
    morton_order,
    quats_from_smallest_three,
    reason,
    smallest_three,
    to_bytes,
    unit_quats,
)

META = "meta.json"
PALETTE_ROW = 64
"""Palette entries in a row of the picture of the palette."""

MAX_PALETTE = 1 << 16
TAG = 252
"""Alpha of the picture of rotations where w is the largest component; x, y and z follow."""

Load = Callable[[str], bytes]


def read(path: Path) -> SplatFile:
    """Read a .sog file, or the meta.json of one whose pictures lie beside it. Raises FormatError when it is damaged."""
    if path.suffix.lower() == ".json":
        return _read(lambda name: _read_beside(path, name), path.name)
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name: name for name in archive.namelist()}
            return _read(lambda name: read_member(archive, names.get(name, name), "SOG"), META)
    except ERRORS as error:
        raise FormatError(f"the SOG file is not a zip archive that can be read: {error}", hint=HINT) from error


def write(gaussians: Gaussians, path: Path) -> None:
    """Write a .sog file, version 2; with the suffix .json the meta.json and, beside it, the pictures."""
    check_not_empty(gaussians)
    files = _files(gaussians, order(gaussians))
    if path.suffix.lower() == ".json":
        for name, data in files.items():
            (path if name == META else path.with_name(name)).write_bytes(data)
        return
    write_archive(files, path, stored=tuple(files))


def order(gaussians: Gaussians) -> Integer[np.ndarray, "N"]:
    """Return the order in which Gaussians are written."""
    return morton_order(gaussians.means)


def precision(gaussians: Gaussians) -> Precision:
    """Return the largest errors of positions, rotations and opacities, and the root mean squares of the others.

    Levels and palettes that fit the values are better than evenly spaced levels, or one mean for all.
    """
    logs = np.sign(gaussians.means) * np.log1p(np.abs(gaussians.means.astype(np.float64)))
    half_step = np.ptp(logs, axis=0) / 65535 / 2
    harmonics = gaussians.sh[:, 1:].astype(np.float64)
    # Levels are found on a histogram: values that are all the same vector are off by half a bin.
    half_bin = float(np.ptp(harmonics)) / BINS / 2 if harmonics.size else 0.0
    return Precision(
        # The derivative of the logarithmic scale.
        position=(1 + np.abs(gaussians.means)) * np.expm1(half_step) + 4 * np.spacing(np.abs(gaussians.means).max()),
        rotation=rotation_of_three(2**0.5 / 255),
        scale=float(np.ptp(gaussians.log_scales)) / 255 + 1e-6,
        opacity=BYTE,
        color=float(np.ptp(gaussians.sh[:, 0])) * SH_C0 / 255 + 1e-6,
        harmonics=float(np.sqrt(harmonics.var(0).mean())) + half_bin + 1e-6 if harmonics.size else 0.0,
        statistical=frozenset({"scale", "color", "harmonics"}),
    )


def _files(gaussians: Gaussians, index: Integer[np.ndarray, "N"]) -> dict[str, bytes]:
    """Return the files of a SOG by name, with the Gaussians in this order."""
    count, degree = len(gaussians), sh_degree(gaussians.sh.shape[1])
    logs = np.sign(gaussians.means) * np.log1p(np.abs(gaussians.means.astype(np.float64)))
    logs, log_scales, dc = logs[index], gaussians.log_scales[index], gaussians.sh[index, 0]
    low, high = logs.min(0), logs.max(0)
    steps = np.rint((logs - low) / np.where(high > low, high - low, 1) * 65535).astype(np.uint16)
    largest, three = smallest_three(unit_quats(gaussians.quats[index]))
    scale_levels, color_levels = find_levels(log_scales), find_levels(dc)
    pictures = {
        "means_l.webp": steps & 255,
        "means_u.webp": steps >> 8,
        "quats.webp": np.column_stack([to_bytes(255 * (three / np.sqrt(2) + 0.5)), largest + TAG]),
        "scales.webp": nearest_level(log_scales, scale_levels),
        "sh0.webp": np.column_stack([nearest_level(dc, color_levels), to_bytes(255 * gaussians.opacities[index])]),
    }
    meta: dict[str, Any] = {
        "version": 2,
        "asset": {"generator": "img2world"},
        "count": count,
        "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": scale_levels.tolist(), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": color_levels.tolist(), "files": ["sh0.webp"]},
    }
    sizes = dict.fromkeys(pictures, _size(count))
    if degree > 0:
        bases = gaussians.sh.shape[1] - 1
        room = min(MAX_PALETTE, 1024 * 2 ** max(0, math.floor(math.log2(max(count / 1024, 1)))))
        palette, labels = find_palette(gaussians.sh[index, 1:].reshape(count, 3 * bases), room)
        levels = find_levels(palette)
        rows = math.ceil(len(palette) / PALETTE_ROW)
        pictures["shN_centroids.webp"] = nearest_level(palette, levels).reshape(-1, 3)
        sizes["shN_centroids.webp"] = (PALETTE_ROW * bases, rows)
        pictures["shN_labels.webp"] = np.column_stack([labels & 255, labels >> 8, np.zeros_like(labels)])
        sizes["shN_labels.webp"] = _size(count)
        meta["shN"] = {"count": len(palette), "bands": degree, "codebook": levels.tolist()}
        meta["shN"]["files"] = ["shN_centroids.webp", "shN_labels.webp"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        encoded = pool.map(lambda name: _encode(pictures[name], *sizes[name]), pictures)
        return {META: json.dumps(meta).encode(), **dict(zip(pictures, encoded, strict=True))}


def _size(count: int) -> tuple[int, int]:
    """Return width and height of the pictures of `count` Gaussians."""
    width = 4 * math.ceil(math.sqrt(count) / 4)
    return width, 4 * math.ceil(count / width / 4)


def _encode(values: Integer[np.ndarray, "N C"], width: int, height: int) -> bytes:
    """Return a lossless WebP picture with a pixel for each row of values, opaque unless there are four of them."""
    from PIL import Image

    pixels = np.zeros((height * width, 4), np.uint8)
    pixels[:, 3] = 255
    pixels[: len(values), : values.shape[1]] = values
    target = io.BytesIO()
    # `exact` keeps the colors of transparent pixels.
    Image.fromarray(pixels.reshape(height, width, 4)).save(
        target, "WEBP", lossless=True, exact=True, quality=60, method=2
    )
    return target.getvalue()


def _read(load: Load, name: str) -> SplatFile:
    """Return the Gaussians of a meta file, whose pictures `load` returns."""
    try:
        meta = json.loads(load(name))
        if "lodLevels" in meta:
            raise FormatError(
                "the file lists the levels of detail of a streamed SOG, and has no Gaussians of its own",
                hint="give the meta.json of one of its folders, such as 0_0/meta.json",
            )
        if meta.get("version", 1) not in (1, 2):
            raise FormatError(
                f"the SOG file has version {meta['version']!r:.20}, needs 1 or 2", hint="update this program"
            )
        return _unpack(meta, load)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        raise FormatError(f"the SOG file has a damaged {name}: {reason(error)}", hint=HINT) from error


def _unpack(meta: dict[str, Any], load: Load) -> SplatFile:
    """Return the Gaussians of meta.json, version 1 or 2."""
    version = meta.get("version", 1)
    count = int(meta["count"] if version == 2 else meta["means"]["shape"][0])
    if count <= 0:
        raise FormatError(f"the SOG file says that it has {count} Gaussians", hint=HINT)

    def pixels(part: str, index: int = 0) -> UInt8[np.ndarray, "N 4"]:
        table = _decode(load(meta[part]["files"][index]), meta[part]["files"][index], count)
        return table.reshape(-1, 4)[:count]

    low, high = (np.array(meta["means"][side], np.float64) for side in ("mins", "maxs"))
    steps = pixels("means")[:, :3] + pixels("means", 1)[:, :3].astype(np.uint16) * np.uint16(256)
    logs = low + (high - low) * (steps / 65535)
    quats, colors = pixels("quats"), pixels("sh0")
    tags = quats[:, 3].astype(int) - TAG
    three = (quats[:, :3] / 255 - 0.5) * np.sqrt(2)
    rotations = quats_from_smallest_three(tags.clip(0, 3), three)
    rotations[tags < 0] = (1, 0, 0, 0)
    if version == 2:
        log_scales = np.array(meta["scales"]["codebook"], np.float32)[pixels("scales")[:, :3]]
        dc = np.array(meta["sh0"]["codebook"], np.float32)[colors[:, :3]]
        logit_opacities = logit_from_bytes(colors[:, 3])
    else:
        log_scales = _between(pixels("scales")[:, :3], meta["scales"])
        values = _between(colors, meta["sh0"])
        dc, logit_opacities = values[:, :3], values[:, 3]
    sh = dc[:, None]
    if meta.get("shN"):
        sh = np.concatenate([sh, _unpack_harmonics(meta["shN"], pixels("shN", 1), load)], 1)
    return assemble(np.sign(logs) * np.expm1(np.abs(logs)), rotations, log_scales, logit_opacities, sh, version=version)


def _between(bytes_: UInt8[np.ndarray, "N C"], part: dict[str, Any]) -> Float[np.ndarray, "N C"]:
    """Return the values between the bounds of version 1."""
    low, high = (np.array(part[side], np.float64) for side in ("mins", "maxs"))
    return low + (high - low) * (bytes_ / 255)


def _unpack_harmonics(part: dict[str, Any], labels: UInt8[np.ndarray, "N 4"], load: Load) -> Float[np.ndarray, "N K 3"]:
    """Return the coefficients above degree 0."""
    name = part["files"][0]
    picture = _decode(load(name), name, 0)[..., :3]
    bases = picture.shape[1] // PALETTE_ROW
    if bases not in (3, 8, 15) or picture.shape[1] % PALETTE_ROW:
        raise FormatError(f"the SOG file has a palette {picture.shape[1]} pixels wide: {name!r:.80}", hint=HINT)
    palette = picture.reshape(-1, bases, 3)
    index = labels[:, 0] + labels[:, 1].astype(int) * 256
    if int(index.max()) >= len(palette):
        raise FormatError(
            f"the SOG file has a palette of {len(palette)} entries and needs more: {name!r:.80}", hint=HINT
        )
    if "codebook" in part:
        values = np.array(part["codebook"], np.float32)[palette]
    else:
        values = part["mins"] + (part["maxs"] - part["mins"]) * (palette / np.float32(255))
    return values[index].astype(np.float32)


def _decode(data: bytes, name: str, count: int) -> UInt8[np.ndarray, "H W 4"]:
    """Return a picture with at least `count` pixels, unless that is 0. Raises FormatError when it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        picture = Image.open(io.BytesIO(data))
        width, height = picture.size
        limit = max(4 * count, 64 * MAX_PALETTE)
        if width * height < count or width * height > limit:
            raise FormatError(
                f"the SOG file has a picture of {width}x{height} for {count} Gaussians: {name!r:.80}", hint=HINT
            )
        return np.asarray(picture.convert("RGBA"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise FormatError(f"the SOG file has a picture that cannot be read: {name!r:.80}", hint=HINT) from error


def _read_beside(meta: Path, name: str) -> bytes:
    """Return a file that lies beside meta.json."""
    # Only beside it: a name may not lead to other folders.
    path = meta if name == meta.name else meta.with_name(Path(str(name)).name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise FormatError(
            f"the SOG file lacks {path.name!r:.80}: {meta}", hint="copy all files of the folder"
        ) from error
