"""Splat PLY: the layout of the 3D Gaussian splatting reference code, in the dialects met in the wild.

Source: Kerbl et al. 2023, github.com/graphdeco-inria/gaussian-splatting, `GaussianModel.save_ply`. Its axes are
those of COLMAP, which are ours (+Y down). Files of any spherical-harmonics degree are read, also without normals, with
further properties, with scales of two axes (2D Gaussian splatting, Huang et al. 2024), with colors as bytes, and
compressed ones.
"""

from pathlib import Path

import numpy as np

from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.ply import Columns, read_elements, write_ply
from img2world.core.sh import dc_from_rgb
from img2world.formats import compressed_ply
from img2world.formats.precision import Precision
from img2world.formats.splat_file import MIN_LOG_SCALE, SplatFile, assemble, check_not_empty

FULL_BASES = 16

REST_COUNTS = (0, 9, 24, 45)
"""Numbers of f_rest columns for degrees 0 to 3."""

DC, BYTES = [f"f_dc_{i}" for i in range(3)], ["red", "green", "blue"]


def read(path: Path) -> SplatFile:
    """Read a splat PLY. Raises FormatError when it is another kind of PLY, or damaged."""
    elements = read_elements(path)
    if compressed_ply.is_compressed(elements):
        return compressed_ply.from_elements(elements)
    if "vertex" not in elements:
        raise FormatError(f"the PLY file has no vertices: {path}", hint="needs a PLY of Gaussian splats")
    return from_columns(elements["vertex"])


def write(gaussians: Gaussians, path: Path, *, full_sh: bool = False) -> None:
    """Write a splat PLY, with spherical harmonics of their own degree or, with `full_sh`, zero-padded to degree 3."""
    check_not_empty(gaussians)
    write_ply(columns_from_gaussians(gaussians, bases=FULL_BASES if full_sh else None), path)


def precision(gaussians: Gaussians, *, full_sh: bool = False) -> Precision:
    """Return the largest errors of the format: none."""
    del gaussians, full_sh
    return Precision()


def from_columns(columns: Columns) -> SplatFile:
    """Return the Gaussians in the columns of a PLY. Raises FormatError when columns are missing."""
    needed = ["x", "y", "z", "scale_0", "scale_1", *(f"rot_{i}" for i in range(4)), "opacity"]
    missing = [name for name in needed if name not in columns]
    if missing and not any(name.startswith(("scale_", "rot_")) for name in columns):
        raise FormatError(
            "the PLY file is a point cloud or a mesh: its vertices have no scales and rotations",
            hint="needs a PLY of Gaussian splats; `img2world run` makes one",
        )
    rest = sum(name.startswith("f_rest_") for name in columns)
    missing += [name for name in [f"f_rest_{i}" for i in range(rest)] if name not in columns]
    has_bytes = all(name in columns and columns[name].dtype == np.uint8 for name in BYTES)
    missing += [] if has_bytes else [name for name in DC if name not in columns]
    if missing or rest not in REST_COUNTS:
        found = f"lacks {', '.join(missing)}" if missing else f"has {rest} f_rest columns, needs 0, 9, 24 or 45"
        raise FormatError(f"the PLY file {found}", hint="needs the splat PLY layout of 3D Gaussian splatting")
    count, bases = len(columns["x"]), rest // 3 + 1
    sh = np.empty((count, bases, 3), np.float32)
    has_dc = all(name in columns for name in DC)
    sh[:, 0] = _stack(columns, *DC) if has_dc else dc_from_rgb(_stack(columns, *BYTES) / 255)
    for channel in range(3):
        for basis in range(1, bases):
            sh[:, basis, channel] = columns[f"f_rest_{channel * (bases - 1) + basis - 1}"]
    log_scales = np.full((count, 3), MIN_LOG_SCALE, np.float32)
    for axis in range(3):
        if f"scale_{axis}" in columns:
            log_scales[:, axis] = columns[f"scale_{axis}"]
    return assemble(
        _stack(columns, "x", "y", "z"),
        _stack(columns, *(f"rot_{i}" for i in range(4))),
        log_scales,
        np.asarray(columns["opacity"], np.float32),
        sh,
        **({} if "scale_2" in columns else {"flat": "2D Gaussians"}),
        **({} if has_dc else {"colors": "bytes"}),
    )


def columns_from_gaussians(gaussians: Gaussians, *, bases: int | None = None) -> Columns:
    """Return the columns in the order of the reference code, with spherical harmonics zero-padded to `bases`."""
    count, own_bases = gaussians.sh.shape[:2]
    # Not every program normalizes quaternions.
    norms = np.linalg.norm(gaussians.quats, axis=1)
    zeros = np.zeros(count, np.float32)
    columns = {axis: gaussians.means[:, i] for i, axis in enumerate("xyz")}
    columns |= dict.fromkeys(("nx", "ny", "nz"), zeros)
    columns |= {DC[i]: gaussians.sh[:, 0, i] for i in range(3)}
    rest = max(own_bases, bases or 0) - 1
    for i in range(3 * rest):
        channel, basis = i // rest, i % rest + 1  # channel-major: all of red, all of green, all of blue
        columns[f"f_rest_{i}"] = gaussians.sh[:, basis, channel] if basis < own_bases else zeros
    columns |= {"opacity": gaussians.logit_opacities}
    columns |= {f"scale_{i}": gaussians.log_scales[:, i] for i in range(3)}
    columns |= {f"rot_{i}": gaussians.quats[:, i] / norms for i in range(4)}
    return columns


def _stack(columns: Columns, *names: str) -> np.ndarray:
    """Return columns side by side."""
    table = np.empty((len(columns[names[0]]), len(names)), np.float32)
    for i, name in enumerate(names):
        table[:, i] = columns[name]
    return table
