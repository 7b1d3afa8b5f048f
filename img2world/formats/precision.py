"""Precision of splat formats, and the comparison of a file with what was written into it.

Each format module has a function `precision(gaussians, **options)`, which states the largest errors that its
quantization explains, and, where it sorts, a function `order(gaussians)`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from img2world.core.conventions import SH_C0
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import rgb_from_dc, sh_degree
from img2world.formats.files import find_suffix, format_module, read_splats
from img2world.formats.splat_file import MAX_LOG_SCALE, MIN_LOG_SCALE, unit_quats, with_degree

BYTE = 0.5 / 255 + 1e-6
"""Half a step of a value from 0 to 1 in a byte."""

Limit = float | Float[np.ndarray, "N"] | Float[np.ndarray, "N C"]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Largest errors of the values of a format: numbers, or arrays with one for each Gaussian."""

    position: Limit = 0.0
    """In units."""
    rotation: Limit = 2e-6
    """In radians. No format keeps the length of quaternions."""
    scale: Limit = 0.0
    """Of the natural logarithms."""
    opacity: Limit = 0.0
    color: Limit = 0.0
    """Of the constant color, 0 to 1."""
    harmonics: Limit = 0.0
    """Of the coefficients above degree 0."""
    max_degree: int = 3
    log_scales: tuple[float, float] = (MIN_LOG_SCALE, MAX_LOG_SCALE)
    """Range that can be stored; values outside of it become its ends."""
    colors: tuple[float, float] = (-np.inf, np.inf)
    max_harmonic: float = np.inf
    statistical: frozenset[str] = frozenset()
    """Values whose limit holds for the root mean square of the errors: those with levels that fit the distribution."""


def rotation_of_three(step: float) -> float:
    """Return the largest error in radians of quaternions without their largest component, by the step of the others.

    The missing one is at least 1/2, so that it at most doubles the error of the others; an angle is twice its half.
    """
    return 2 * 3**0.5 * step


def check_file(gaussians: Gaussians, path: Path, options: dict[str, Any]) -> dict[str, float]:
    """Read a file again and compare it with the Gaussians that were written with these options.

    Returns the largest errors that are not 0: position in units, rotation in degrees, scale as a ratio minus 1, opacity
    and color from 0 to 1, harmonics. Raises ExportError when one is larger than the precision of the format explains.
    """
    module = format_module(find_suffix(path))
    if hasattr(module, "order"):
        gaussians = gaussians.select(module.order(gaussians))
    precision = module.precision(gaussians, **options)
    found, hint = read_splats(path), f"check the disk and write it again ({path})"
    degree = min(sh_degree(gaussians.sh.shape[1]), precision.max_degree)
    own = sh_degree(found.gaussians.sh.shape[1])
    if len(found.gaussians) != len(gaussians) or own < degree:
        raise ExportError(
            f"the file reads back as {len(found.gaussians)} Gaussians of degree {own}, "
            f"written were {len(gaussians)} of degree {degree}",
            hint=hint,
        )
    # A degree above that of the scene was padded with zeros.
    errors = value_errors(_storable(gaussians, precision, own), found.gaussians)
    wrong = [name for name, error in errors.items() if not _is_within(name, error, precision)]
    if wrong:
        raise ExportError(f"the file reads back with another {', '.join(wrong)} than was written", hint=hint)
    return summarize(errors)


def value_errors(expected: Gaussians, found: Gaussians) -> dict[str, Float64[np.ndarray, "N ..."]]:
    """Return the absolute errors of each Gaussian in the quantities of `Precision`; both have the same order."""
    a, b = (unit_quats(gaussians.quats) for gaussians in (expected, found))
    chord = np.minimum(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    bases = min(expected.sh.shape[1], found.sh.shape[1])
    return {
        "position": np.abs(expected.means.astype(np.float64) - found.means),
        "rotation": 4 * np.arcsin(np.minimum(chord / 2, 1)),
        "scale": np.abs(expected.log_scales.astype(np.float64) - found.log_scales),
        "opacity": np.abs(expected.opacities.astype(np.float64) - found.opacities),
        "color": SH_C0 * np.abs(expected.sh[:, 0].astype(np.float64) - found.sh[:, 0]),
        "harmonics": np.abs(expected.sh[:, 1:bases].astype(np.float64) - found.sh[:, 1:bases]),
    }


def summarize(errors: dict[str, Float64[np.ndarray, "N ..."]]) -> dict[str, float]:
    """Return the largest of the errors of each quantity that are not 0, rotations in degrees, scales as ratios."""
    largest = {name: float(error.max(initial=0)) for name, error in errors.items()}
    # The difference of logarithms is a ratio.
    largest |= {"rotation": float(np.degrees(largest["rotation"])), "scale": float(np.expm1(largest["scale"]))}
    units = {"rotation": "rotation_error_deg"}
    return {units.get(name, f"{name}_error"): value for name, value in largest.items() if value > 0}


def _storable(gaussians: Gaussians, precision: Precision, degree: int) -> Gaussians:
    """Return the Gaussians with their values brought into the range of the format, at this degree."""
    sh = with_degree(gaussians.sh, degree).copy()
    low, high = precision.colors
    rgb = rgb_from_dc(sh[:, 0])
    sh[:, 0] += (rgb.clip(low, high) - rgb) / np.float32(SH_C0)
    sh[:, 1:] = sh[:, 1:].clip(-precision.max_harmonic, precision.max_harmonic)
    return replace(gaussians, log_scales=gaussians.log_scales.clip(*precision.log_scales), sh=sh)


def _is_within(name: str, error: Float64[np.ndarray, "N ..."], precision: Precision) -> bool:
    """Return True if an error is what the format's precision explains."""
    limit = np.asarray(getattr(precision, name), np.float64)
    if name in precision.statistical:
        return error.size == 0 or float(np.sqrt(np.square(error).mean())) <= float(limit)
    # Rounding to float32 is no error of the format.
    limit = limit.reshape(limit.shape + (1,) * (error.ndim - limit.ndim)) if limit.ndim else limit
    return bool((error <= limit * (1 + 1e-5)).all())
