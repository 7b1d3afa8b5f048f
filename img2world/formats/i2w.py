""".i2w: Gaussians that move, as a zip of an SPZ or PLY file, a JSON header and one file of plain arrays.

docs/formats.md describes the format, such that others can read it.
"""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from img2world.core.checks import check_finite
from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.errors import FormatError, Img2WorldError
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.formats import ply, spz
from img2world.formats.archive import ERRORS, HINT, ROOM, read_member, write_archive
from img2world.formats.precision import Precision
from img2world.formats.splat_file import SplatFile, check_not_empty, reason

VERSION = 1
HEADER, ARRAYS = "motion.json", "motion.bin"
SPLATS = {"splats.spz": spz, "splats.ply": ply}
AXES = {"splats.spz": ["right", "up", "back"], "splats.ply": ["right", "down", "forward"]}
"""Where +X, +Y and +Z point in the file of Gaussians and in the arrays of bones."""

TYPES = {"uint8": "<u1", "uint16": "<u2", "float32": "<f4"}

SHAPES = {
    "bone_pivots": ("bones", 3),
    "bone_quats": ("bones", "keys", 4),
    "bone_translations": ("bones", "keys", 3),
    "bone_indices": ("gaussians", 4),
    "bone_weights": ("gaussians", 4),
    "windows": ("gaussians", 2),
}
"""The arrays and what their axes count; only `windows` may be missing."""

SMALL_TYPES = {"bone_indices": ("uint8", "uint16"), "bone_weights": ("uint8", "float32")}
"""Types of the arrays that may have another one than float32."""

WEIGHT_SUM = 255
"""Sum of the weights of a Gaussian that are stored as bytes."""

ROW = 64
"""Bytes that a Gaussian takes in the arrays at most."""


def write(
    gaussians: Gaussians,
    path: Path,
    *,
    motion: Motion | None = None,
    background: tuple[float, float, float] | None = None,
    is_object: bool | None = None,
    exact: bool = False,
) -> None:
    """Write Gaussians at rest and their motion; `exact` stores them as PLY and weights as floats.

    Raises FormatError when there is no motion.
    """
    check_not_empty(gaussians)
    if motion is None:
        raise FormatError("nothing moves in it, which is what .i2w files are for", hint="write an .spz file")
    name = "splats.ply" if exact else "splats.spz"
    arrays = _arrays(motion, exact=exact)
    header = {
        "format": "i2w",
        "version": VERSION,
        "generator": "img2world",
        "splats": name,
        "axes": AXES[name],
        "gaussians": len(gaussians),
        "bones": len(motion.bone_pivots),
        "keys": len(motion.key_times),
        "key_times": motion.key_times.tolist(),
        "background": None if background is None else list(background),
        "is_object": is_object,
        "arrays": _table(arrays),
    }
    with tempfile.TemporaryDirectory() as folder:
        splats = Path(folder) / name
        SPLATS[name].write(gaussians, splats)
        content = b"".join(array.tobytes() + bytes(-array.nbytes % 4) for array in arrays.values())
        files = {HEADER: json.dumps(header, separators=(",", ":")).encode(), ARRAYS: content, name: splats}
        write_archive(files, path, stored=("splats.spz",))


def read(path: Path) -> SplatFile:
    """Read an .i2w file. Raises FormatError when it is damaged or of a later version."""
    try:
        with zipfile.ZipFile(path) as archive:
            header = _read_header(archive)
            splats = _read_splats(archive, header["splats"])
            count = len(splats.gaussians)
            if splats.broken or header["gaussians"] != count:
                raise FormatError(
                    f"the .i2w file has motion for {header['gaussians']} Gaussians, and {count} that are whole",
                    hint=HINT,
                )
            content = read_member(archive, ARRAYS, ".i2w", room=ROOM + ROW * count)
    except ERRORS as error:
        raise FormatError(f"the .i2w file is not a zip archive that can be read: {error}", hint=HINT) from error
    try:
        motion = _motion(header, content)
    except (KeyError, TypeError, ValueError, OverflowError, Img2WorldError) as error:
        raise FormatError(f"the .i2w file has a motion that cannot be read: {reason(error)}", hint=HINT) from error
    background, is_object = header.get("background"), header.get("is_object")
    return SplatFile(
        gaussians=splats.gaussians,
        broken=0,
        details={"version": header["version"], "splats": header["splats"]},
        motion=motion.transformed(Y_UP_FROM_WORLD) if header["splats"] == "splats.spz" else motion,
        background=None if background is None else _color(background),
        is_object=is_object if isinstance(is_object, bool) else None,
    )


def precision(gaussians: Gaussians, *, exact: bool = False, **options: Any) -> Precision:
    """Return the largest errors of the Gaussians: those of the file that holds them."""
    del options
    return ply.precision(gaussians) if exact else spz.precision(gaussians)


def bytes_from_weights(weights: Float32[np.ndarray, "N 4"]) -> UInt8[np.ndarray, "N 4"]:
    """Return weights as bytes that sum to 255 for each Gaussian: what is missing goes to the largest remainders."""
    exact = WEIGHT_SUM * weights.astype(np.float64).clip(0) / weights.sum(1, keepdims=True, dtype=np.float64)
    whole = np.floor(exact)
    missing = np.rint(WEIGHT_SUM - whole.sum(1)).astype(int)
    order = np.argsort(whole - exact, axis=1, kind="stable")  # the largest remainder first
    rank = np.argsort(order, axis=1, kind="stable")
    return (whole + (rank < missing[:, None])).astype(np.uint8)


def _arrays(motion: Motion, *, exact: bool) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name, in the axes of its Gaussians."""
    turned = motion if exact else motion.transformed(Y_UP_FROM_WORLD)
    small = len(motion.bone_pivots) <= 256
    arrays = {
        "bone_pivots": turned.bone_pivots.astype("<f4"),
        "bone_quats": turned.bone_quats.astype("<f4"),
        "bone_translations": turned.bone_translations.astype("<f4"),
        "bone_indices": motion.bone_indices.astype("<u1" if small else "<u2"),
        "bone_weights": motion.bone_weights.astype("<f4") if exact else bytes_from_weights(motion.bone_weights),
    }
    if motion.windows is not None:
        arrays["windows"] = motion.windows.astype("<f4")
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _table(arrays: dict[str, np.ndarray]) -> list[dict[str, object]]:
    """Return name, type, shape and place of each array; each begins at a multiple of four bytes."""
    names = {np.dtype(code): name for name, code in TYPES.items()}
    table, offset = [], 0
    for name, array in arrays.items():
        table.append({"name": name, "type": names[array.dtype], "shape": list(array.shape), "offset": offset})
        offset += array.nbytes + -array.nbytes % 4
    return table


def _read_header(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the header. Raises FormatError when it is not one of this version."""
    try:
        header = json.loads(read_member(archive, HEADER, ".i2w"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"the .i2w file has a header that is no JSON: {reason(error)}", hint=HINT) from error
    if not isinstance(header, dict) or header.get("format") != "i2w":
        raise FormatError("the zip archive is not an .i2w file", hint="needs the format of docs/formats.md")
    if header.get("version") != VERSION:
        raise FormatError(f"the .i2w file has version {header.get('version')!r:.20}", hint="update this program")
    if header.get("splats") not in list(SPLATS):
        known = " or ".join(SPLATS)
        raise FormatError(f"the .i2w file has its Gaussians in {header.get('splats')!r:.80}", hint=f"needs {known}")
    if not isinstance(header.get("gaussians"), int):
        raise FormatError("the .i2w file does not say how many Gaussians it has", hint=HINT)
    return header


def _read_splats(archive: zipfile.ZipFile, name: str) -> SplatFile:
    """Return the Gaussians at rest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(read_member(archive, name, ".i2w"))
        return SPLATS[name].read(path)


def _motion(header: dict[str, Any], content: bytes) -> Motion:
    """Return the motion in the axes of the file. Raises ValueError and the like for arrays that do not fit."""
    times = np.array(header["key_times"], np.float64)
    sizes: dict[str, int] = {"gaussians": header["gaussians"], "keys": len(times)}
    arrays: dict[str, np.ndarray] = {}
    for entry in header["arrays"]:
        name, shape, offset = entry["name"], entry["shape"], entry["offset"]
        if name not in SHAPES:
            continue
        for axis, size in zip(SHAPES[name], shape, strict=True):
            if size != (axis if isinstance(axis, int) else sizes.setdefault(axis, size)) or size < 0:
                raise ValueError(f"{name} has the shape {shape}")
        if entry["type"] not in SMALL_TYPES.get(name, ("float32",)):
            raise ValueError(f"{name} has the type {entry['type']!r:.20}")
        dtype = np.dtype(TYPES[entry["type"]])
        end = offset + dtype.itemsize * int(np.prod(shape, dtype=object))
        if offset < 0 or end > len(content):
            raise ValueError(f"{name} ends after {end} of {len(content)} bytes")
        arrays[name] = np.frombuffer(content[offset:end], dtype).reshape(shape)
    if not sizes["keys"] or not sizes.get("bones"):
        raise ValueError("there are no keys or no bones")
    indices = arrays["bone_indices"].astype(np.int32)
    if indices.size and int(indices.max()) >= sizes["bones"]:
        raise ValueError(f"bone {int(indices.max())} of {sizes['bones']}")
    quats = _floats(arrays["bone_quats"])
    if quats.size and not (np.abs(np.linalg.norm(quats, axis=-1) - 1) < 0.1).all():
        raise ValueError("bone_quats are not of unit length")
    return Motion(
        key_times=times,
        bone_pivots=_floats(arrays["bone_pivots"]),
        bone_quats=quats,
        bone_translations=_floats(arrays["bone_translations"]),
        bone_indices=indices,
        bone_weights=_weights(arrays["bone_weights"]),
        windows=_floats(arrays["windows"]) if "windows" in arrays else None,
    )


def _floats(array: Float[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Return an array of the file as floats of this machine."""
    return np.ascontiguousarray(array, np.float32)


def _weights(stored: np.ndarray) -> Float32[np.ndarray, "N 4"]:
    """Return weights that sum to one. Raises ValueError when they are not even near, or some are negative."""
    weights = stored.astype(np.float64) / (WEIGHT_SUM if stored.dtype.kind == "u" else 1)
    if stored.size and not (np.abs(weights.sum(1) - 1) < 0.01).all():
        raise ValueError("bone_weights do not sum to one")
    if (weights < 0).any():
        raise ValueError("some bone_weights are negative")
    return weights.astype(np.float32)


def _color(values: Any) -> tuple[float, float, float]:
    """Return a colour. Raises FormatError when it is none."""
    try:
        red, green, blue = (float(np.clip(value, 0, 1)) for value in values)
        check_finite(background=np.array([red, green, blue]))
    except (TypeError, ValueError, Img2WorldError) as error:
        raise FormatError(f"the .i2w file has the background {values!r:.60}", hint="needs three numbers") from error
    return red, green, blue
