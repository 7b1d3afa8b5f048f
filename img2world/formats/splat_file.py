"""The content of a splat file, and the steps that all readers and writers share."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Integer, Shaped

from img2world.core.conventions import Y_UP_SIGNS
from img2world.core.errors import FormatError, Img2WorldError
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.scene import gaussians_at
from img2world.core.sh import sh_degree

BLOCK = 1 << 16
"""Gaussians that are converted at once, so that memory stays close to the size of the file."""

MIN_LOG_SCALE, MAX_LOG_SCALE = -20.0, 20.0
"""Logarithms of scales in files are sometimes infinite; these are as good as a point and as everything."""

HALF_STEP = 0.25 / 255
"""Opacities 0 and 1 have no finite logit: the middle of the outermost half step of a byte stands for them."""

MIN_OPACITY = 1e-8
"""The same for opacities that are stored as floating-point numbers."""

MAX_UNEVENNESS = 0.005
"""Ratio of a node's scales minus 1 that rounding to three digits explains."""

MAX_LOGIT = math.log(1 - MIN_OPACITY) - math.log(MIN_OPACITY)


@dataclass(frozen=True, kw_only=True)
class SplatFile:
    """The content of a splat file."""

    gaussians: Gaussians
    """In the axes of our world, without broken ones."""
    broken: int
    """Number of Gaussians that were left out, because a value is not finite or they have no orientation."""
    details: dict[str, object]
    """Further facts that the file states, for example its version."""
    motion: Motion | None = None
    """How the Gaussians move, if they do."""
    background: tuple[float, float, float] | None = None
    """The sRGB colour behind the Gaussians, 0 to 1, if the file states it."""
    is_object: bool | None = None
    """Whether it is an object to look at from around, if the file states it."""

    @property
    def start(self) -> float:
        """Seconds of the first key, 0 where nothing moves."""
        return 0.0 if self.motion is None else float(self.motion.key_times[0])

    def at(self, time: float) -> Gaussians:
        """Return the Gaussians at a time in seconds."""
        return gaussians_at(self.gaussians, self.motion, time)

    def still(self, time: float) -> "SplatFile":
        """Return the content as it is at a time in seconds, without motion."""
        return replace(self, gaussians=self.at(time), motion=None)

    def select(self, index: np.ndarray | slice) -> "SplatFile":
        """Return some of the Gaussians with their motion, by index or mask."""
        motion = None if self.motion is None else self.motion.select(index)
        return replace(self, gaussians=self.gaussians.select(index), motion=motion)

    def transformed(self, target_from_source: Float[np.ndarray, "4 4"]) -> "SplatFile":
        """Return the content in another frame, which a similarity leads to."""
        matrix = target_from_source.astype(np.float32)
        return self._moved(target_from_source, self.gaussians.transformed(matrix))

    def flipped(self, signs: Sequence[int]) -> "SplatFile":
        """Return the content after half a turn, whose axes point the other way where a sign is -1; exact."""
        return self._moved(np.diag([*signs, 1.0]), self.gaussians.flipped(signs))

    def _moved(self, matrix: Float[np.ndarray, "4 4"], gaussians: Gaussians) -> "SplatFile":
        """Return these Gaussians, which a similarity has moved, with their motion moved likewise."""
        motion = None if self.motion is None else self.motion.transformed(matrix)
        return replace(self, gaussians=gaussians, motion=motion)


def assemble(
    means: Shaped[np.ndarray, "N 3"],
    quats: Shaped[np.ndarray, "N 4"],
    log_scales: Shaped[np.ndarray, "N 3"],
    logit_opacities: Shaped[np.ndarray, "N"],
    sh: Shaped[np.ndarray, "N K 3"],
    **details: object,
) -> SplatFile:
    """Return the Gaussians with these values, in the axes of our world, without broken ones.

    Infinite opacities and scales are replaced by the largest and smallest that make sense.
    """
    arrays = {
        "means": np.ascontiguousarray(means, np.float32),
        "quats": np.ascontiguousarray(quats, np.float32),
        "log_scales": np.clip(log_scales, MIN_LOG_SCALE, MAX_LOG_SCALE, dtype=np.float32),
        "logit_opacities": np.clip(logit_opacities, -MAX_LOGIT, MAX_LOGIT, dtype=np.float32),
        "sh": np.ascontiguousarray(sh, np.float32),
    }
    lengths = np.square(arrays["quats"]).sum(1)
    whole = np.isfinite(lengths) & (lengths > 1e-20)
    for array in arrays.values():
        whole &= np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    broken = len(whole) - int(whole.sum())
    if broken:
        arrays = {name: array[whole] for name, array in arrays.items()}
    return SplatFile(gaussians=Gaussians(**arrays), broken=broken, details=details)


def reason(error: Exception) -> str:
    """Return what an exception says, in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def place(file: SplatFile, y_up_from_node: Float64[np.ndarray, "4 4"]) -> SplatFile:
    """Return the Gaussians of a node in a world with +Y up in the axes of our world.

    Raises FormatError when the transform is anything else than a rotation, one positive scale and a translation.
    """
    gaussians = file.gaussians
    if not np.allclose(y_up_from_node, np.eye(4), rtol=0, atol=1e-12):
        try:
            gaussians = gaussians.transformed(_evened(y_up_from_node).astype(np.float32))
        except (ValueError, Img2WorldError) as error:
            raise FormatError(
                f"the transform of a node cannot be applied: {error}", hint="apply it in a 3D program"
            ) from error
    return replace(file, gaussians=gaussians.flipped(Y_UP_SIGNS))


def _evened(matrix: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Return a transform with one scale where its scales along three axes differ by no more than rounding."""
    left, scales, right = np.linalg.svd(matrix[:3, :3])
    evened = matrix.copy()
    if scales[0] <= scales[2] * (1 + MAX_UNEVENNESS):
        evened[:3, :3] = np.cbrt(scales.prod()) * left @ right
    return evened


def join(*parts: Gaussians) -> Gaussians:
    """Return the Gaussians of all parts, at the highest degree of them."""
    degree = max(sh_degree(part.sh.shape[1]) for part in parts)
    every = [replace(part, sh=with_degree(part.sh, degree)) for part in parts]
    return Gaussians(
        **{field.name: np.concatenate([getattr(one, field.name) for one in every]) for field in fields(Gaussians)}
    )


def join_files(parts: Sequence[SplatFile]) -> SplatFile:
    """Return the content of several parts of a file as one."""
    if len(parts) == 1:
        return parts[0]
    details = {name: value for part in parts for name, value in part.details.items()}
    gaussians = join(*(part.gaussians for part in parts))
    return SplatFile(gaussians=gaussians, broken=sum(part.broken for part in parts), details=details)


def blocks(count: int) -> Iterator[slice]:
    """Yield slices of at most BLOCK that cover `count` Gaussians."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def parts(gaussians: Gaussians, order: Integer[np.ndarray, "N"] | None = None) -> Iterator[tuple[slice, Gaussians]]:
    """Yield blocks of the Gaussians, in this order, each with its place among the rows of the file."""
    for block in blocks(len(gaussians)):
        yield block, gaussians.select(block if order is None else order[block])


def check_not_empty(gaussians: Gaussians) -> None:
    """Raise FormatError when there are no Gaussians: most programs cannot open such a file."""
    if len(gaussians) == 0:
        raise FormatError("there are no Gaussians to write", hint="check the actions: they removed everything")


def unit_quats(quats: Float32[np.ndarray, "N 4"]) -> Float64[np.ndarray, "N 4"]:
    """Return quaternions of unit length."""
    wide = quats.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def smallest_three(
    quats: Float[np.ndarray, "N 4"],
) -> tuple[Integer[np.ndarray, "N"], Float64[np.ndarray, "N 3"]]:
    """Return which component of unit quaternions is the largest, and the others, in order, where that is positive.

    The three are between -1/√2 and 1/√2.
    """
    largest = np.abs(quats).argmax(1)
    rows = np.arange(len(quats))
    signed = quats * np.where(quats[rows, largest] < 0, -1, 1)[:, None]
    others = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    return largest, np.take_along_axis(signed, others, 1).astype(np.float64)


def quats_from_smallest_three(
    largest: Integer[np.ndarray, "N"], three: Float[np.ndarray, "N 3"]
) -> Float32[np.ndarray, "N 4"]:
    """Return unit quaternions whose largest component, positive, is left out of `three`."""
    quats = np.empty((len(three), 4), np.float32)
    others = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    np.put_along_axis(quats, others, three.astype(np.float32), 1)
    rest = np.sqrt(np.maximum(0, 1 - (three * three).sum(1)))
    quats[np.arange(len(quats)), largest] = rest
    return quats


def logit(opacities: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B"]:
    """Return the logits of opacities between 0 and 1."""
    return np.log(opacities) - np.log1p(-opacities)


def logit_from_bytes(opacities: Integer[np.ndarray, "N"]) -> Float32[np.ndarray, "N"]:
    """Return the logits of opacities that are stored as bytes."""
    table = logit(np.clip(np.arange(256) / 255, HALF_STEP, 1 - HALF_STEP)).astype(np.float32)
    return table[opacities]


def logit_from_floats(opacities: Float[np.ndarray, "N"]) -> Float32[np.ndarray, "N"]:
    """Return the logits of opacities that are stored as floating-point numbers."""
    return logit(np.clip(opacities.astype(np.float64), MIN_OPACITY, 1 - MIN_OPACITY)).astype(np.float32)


def to_bytes(values: Float[np.ndarray, "*B"]) -> Integer[np.ndarray, "*B"]:
    """Return the nearest bytes to values."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def with_degree(sh: Float32[np.ndarray, "N K 3"], degree: int) -> Float32[np.ndarray, "N L 3"]:
    """Return spherical harmonics of another degree, without higher bands or padded with zeros."""
    bases = (degree + 1) ** 2
    if bases <= sh.shape[1]:
        return sh[:, :bases]
    return np.pad(sh, ((0, 0), (0, bases - sh.shape[1]), (0, 0)))


def used_degree(sh: Float32[np.ndarray, "N K 3"]) -> int:
    """Return the highest degree whose coefficients are not all zero."""
    degree = sh_degree(sh.shape[1])
    while degree > 0 and not sh[:, degree**2 :].any():
        degree -= 1
    return degree


def morton_order(means: Float32[np.ndarray, "N 3"]) -> Integer[np.ndarray, "N"]:
    """Return the order of Gaussians along a space-filling curve, in which neighbors are alike and compress well.

    Source: G. M. Morton 1966, "A computer oriented geodetic data base and a new technique in file sequencing".
    """
    low, high = means.min(0), means.max(0)
    # Outliers would put all others into one cell.
    low, high = (
        (np.percentile(means[:: max(1, len(means) // 100_000)], q, axis=0) for q in (0.5, 99.5))
        if len(means) > 1000
        else (low, high)
    )
    extent = np.where(high > low, high - low, 1)
    cells = (((means - low) / extent).clip(0, 1) * 1023).astype(np.uint32)
    code = np.zeros(len(means), np.uint32)
    for axis in range(3):
        bits = cells[:, axis]
        for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
            bits = (bits | (bits << np.uint32(shift))) & np.uint32(mask)
        code |= bits << np.uint32(axis)
    return np.argsort(code, kind="stable")
