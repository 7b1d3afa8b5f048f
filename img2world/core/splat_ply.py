"""Gaussians from the PLY files of 3D Gaussian splatting.

Source of the layout: Kerbl et al. 2023, github.com/graphdeco-inria/gaussian-splatting, `GaussianModel.save_ply`.
"""

from pathlib import Path

import numpy as np

from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.ply import read_ply

REST_COUNTS = (0, 9, 24, 45)
"""Numbers of f_rest columns for degrees 0 to 3."""


def gaussians_from_columns(columns: dict[str, np.ndarray]) -> Gaussians:
    """Return the Gaussians in the columns of a PLY, which may be in any order and among others, such as normals.

    Raises ExportError when columns are missing, Img2WorldError when a number is not finite.
    """
    needed = ["x", "y", "z", *(f"f_dc_{i}" for i in range(3)), "opacity"]
    needed += [*(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    rest = sum(name.startswith("f_rest_") for name in columns)
    missing = [name for name in needed + [f"f_rest_{i}" for i in range(rest)] if name not in columns]
    if missing or rest not in REST_COUNTS:
        found = f"lacks {', '.join(missing)}" if missing else f"has {rest} f_rest columns, needs 0, 9, 24 or 45"
        raise ExportError(f"the PLY file {found}", hint="needs the splat PLY layout of 3D Gaussian splatting")

    def stack(*names: str) -> np.ndarray:
        return np.stack([columns[name].astype(np.float32) for name in names], -1)

    dc = stack(*(f"f_dc_{i}" for i in range(3)))[:, None]
    higher = [stack(*(f"f_rest_{i}" for i in range(rest))).reshape(len(dc), 3, -1).transpose(0, 2, 1)] if rest else []
    return Gaussians(
        means=stack("x", "y", "z"),
        quats=stack(*(f"rot_{i}" for i in range(4))),
        log_scales=stack(*(f"scale_{i}" for i in range(3))),
        logit_opacities=columns["opacity"].astype(np.float32),
        sh=np.ascontiguousarray(np.concatenate([dc, *higher], 1)),
    )


def read_gaussians(path: Path) -> Gaussians:
    """Read a splat PLY in one of its common dialects. Raises ExportError when it is not one."""
    return gaussians_from_columns(read_ply(path))
