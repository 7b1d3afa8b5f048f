"""The compact form of Gaussians inside a world page, specified here.

A JSON header lists the fields; static/splat_data.js reads that list and implements the two encodings below.
The payload holds, for each field, each component and each of its bytes (least significant first), one plane of N bytes:
similar bytes lie next to each other and deflate better than one record per Gaussian.

- linear: value = low + q / (2^bits - 1) * (high - low).
- signed_square: t = (q - 127) / 127, value = high * t * |t|: fine near zero, yet one large
  coefficient does not coarsen all the others.

The fields are means, log_scales, opacities (0 to 1), turns, sh_first (the constant coefficients) and, above degree 0,
sh_rest (basis-major, rgb together). Turns are rotations as modified Rodrigues parameters (x y z) / (1 + w) with w >= 0
(Marandi and Modi 1987, "A preferred coordinate system and the associated orientation representation in attitude
dynamics"): three smooth numbers between -1 and 1 of even precision, unlike three of the four quaternion components.

Further fields may follow, as those of packed_motion.py; one that is not of Gaussians tells its own count.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Float64, Integer

from img2world.core.gaussians import Gaussians
from img2world.core.sh import sh_degree

FORMAT = "img2world-splats"
VERSION = 1

SQUARE_LEVELS = 127

Field = tuple[dict, Integer[np.ndarray, "_ _"]]
"""The header entry of a field, without its offset, and its integers."""


def pack(gaussians: Gaussians, more: Sequence[Field] = ()) -> tuple[dict, bytes]:
    """Return the header, which holds JSON values only, and the payload, which ends with `more` fields."""
    count, bases = gaussians.sh.shape[:2]
    opacities = gaussians.opacities[:, None]
    fields = [
        # 24 bits keep a hundredth of a pixel even if a few Gaussians are a thousand units away.
        encode_linear("means", gaussians.means, 3),
        encode_linear("log_scales", gaussians.log_scales, 2),
        encode_linear("opacities", opacities, 1, low=np.zeros(1), high=np.ones(1)),
        encode_linear("turns", _rodrigues_from_quats(gaussians.quats), 2, low=-np.ones(3), high=np.ones(3)),
        encode_linear("sh_first", gaussians.sh[:, 0], 2),
    ]
    if bases > 1:
        fields.append(_encode_signed_square("sh_rest", gaussians.sh[:, 1:].reshape(count, 3 * (bases - 1))))
    table, planes, offset = [], [], 0
    for entry, integers in (*fields, *more):
        table.append({**entry, "offset": offset})
        planes.append(_planes(integers, entry["bytes"]))
        offset += len(planes[-1])
    header = {"format": FORMAT, "version": VERSION, "count": count, "sh_degree": sh_degree(bases)}
    return {**header, "bytes": offset, "fields": table}, b"".join(planes)


def unpack(header: dict, payload: bytes) -> Gaussians:
    """Return the Gaussians of a header and payload.

    Raises ValueError when the format or version is another one or the payload has the wrong length.
    """
    if (header["format"], header["version"]) != (FORMAT, VERSION) or len(payload) != header["bytes"]:
        raise ValueError(f"{header['format']} {header['version']} with {len(payload)} of {header['bytes']} bytes")
    values = unpack_fields(header, payload)
    opacities = values["opacities"][:, 0].astype(np.float64)
    first, rest = values["sh_first"], values.get("sh_rest", np.zeros((header["count"], 0)))
    # 0 and 1 have no finite logit, so the middle of the outermost step stands for them.
    inside = np.clip(opacities, 0.25 / 255, 1 - 0.25 / 255)
    return Gaussians(
        means=values["means"].astype(np.float32),
        quats=_quats_from_rodrigues(values["turns"]).astype(np.float32),
        log_scales=values["log_scales"].astype(np.float32),
        logit_opacities=np.log(inside / (1 - inside)).astype(np.float32),
        sh=np.concatenate([first, rest], 1)
        .reshape(header["count"], (header["sh_degree"] + 1) ** 2, 3)
        .astype(np.float32),
    )


def unpack_fields(header: dict, payload: bytes) -> dict[str, Float64[np.ndarray, "N C"]]:
    """Return the values of all fields by their names."""
    return {
        entry["name"]: DECODERS[entry["kind"]](_integers(payload, entry, entry.get("count", header["count"])), entry)
        for entry in header["fields"]
    }


def encode_linear(
    name: str,
    values: Float[np.ndarray, "N C"] | Integer[np.ndarray, "N C"],
    width: int,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
) -> Field:
    """Return a linear field of `width` bytes.

    The bounds of each component default to its minimum and maximum.
    """
    levels = 256**width - 1
    if low is None or high is None:
        # An empty array has no minimum; any bounds will do.
        zeros = np.zeros(values.shape[1])
        low, high = (values.min(0), values.max(0)) if len(values) else (zeros, zeros)
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    extent = np.where(high > low, high - low, 1.0)
    integers = np.rint((values.astype(np.float64) - low) / extent * levels).astype(np.uint32)
    entry = {"name": name, "kind": "linear", "components": values.shape[1], "bytes": width}
    return {**entry, "low": low.tolist(), "high": high.tolist()}, integers


def _decode_linear(integers: Integer[np.ndarray, "N C"], entry: dict) -> np.ndarray:
    """Decode a linear field."""
    low, high = np.array(entry["low"]), np.array(entry["high"])
    return low + integers / (256 ** entry["bytes"] - 1) * (high - low)


def _encode_signed_square(name: str, values: Float32[np.ndarray, "N C"]) -> Field:
    """Return a signed_square field."""
    high = np.abs(values).max(0, initial=0).astype(np.float64)
    ratio = values / np.where(high > 0, high, 1.0)
    integers = np.rint(np.sign(ratio) * np.sqrt(np.abs(ratio)) * SQUARE_LEVELS) + SQUARE_LEVELS
    entry = {"name": name, "kind": "signed_square", "components": values.shape[1], "bytes": 1}
    return {**entry, "high": high.tolist()}, integers.astype(np.uint32)


def _decode_signed_square(integers: Integer[np.ndarray, "N C"], entry: dict) -> np.ndarray:
    """Decode a signed_square field."""
    root = (integers.astype(np.float64) - SQUARE_LEVELS) / SQUARE_LEVELS
    return np.array(entry["high"]) * root * np.abs(root)


def _rodrigues_from_quats(quats: Float32[np.ndarray, "N 4"]) -> Float64[np.ndarray, "N 3"]:
    """Convert wxyz quaternions of any length to modified Rodrigues parameters."""
    unit = quats / np.linalg.norm(quats.astype(np.float64), axis=1, keepdims=True)
    # q and -q are the same rotation; the one with w >= 0 has parameters between -1 and 1.
    unit = np.where(unit[:, :1] < 0, -unit, unit)
    return unit[:, 1:] / (1 + unit[:, :1])


def _quats_from_rodrigues(parameters: Float64[np.ndarray, "N 3"]) -> Float64[np.ndarray, "N 4"]:
    """Convert modified Rodrigues parameters to unit wxyz quaternions."""
    square = (parameters**2).sum(1, keepdims=True)
    return np.concatenate([1 - square, 2 * parameters], 1) / (1 + square)


DECODERS = {"linear": _decode_linear, "signed_square": _decode_signed_square}


def _planes(integers: Integer[np.ndarray, "N C"], width: int) -> bytes:
    """Return the byte planes of each component, least significant first."""
    little = np.ascontiguousarray(integers.astype("<u4")).view(np.uint8).reshape(*integers.shape, 4)
    return np.ascontiguousarray(little[:, :, :width].transpose(1, 2, 0)).tobytes()


def _integers(payload: bytes, entry: dict, count: int) -> Integer[np.ndarray, "N C"]:
    """Return the integers of one field."""
    shape = (entry["components"], entry["bytes"], count)
    planes = np.frombuffer(payload, np.uint8, np.prod(shape, dtype=int), entry["offset"]).reshape(shape)
    shifts = 8 * np.arange(entry["bytes"], dtype=np.uint32)
    return (planes.astype(np.uint32) << shifts[:, None]).sum(1, dtype=np.uint32).T
