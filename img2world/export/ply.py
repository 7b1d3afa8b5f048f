"""Gaussians as a PLY file in the layout of the 3D Gaussian splatting reference code.

The file keeps our world axes (+Y down), which are those of COLMAP and of the reference code; viewers of this format
turn it upright themselves. Source of the layout: Kerbl et al. 2023, github.com/graphdeco-inria/gaussian-splatting,
`GaussianModel.save_ply`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.metric import gaussians_in_metres
from img2world.core.ply import read_ply, write_ply
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.core.views import Views

FULL_BASES = 16


@dataclass(frozen=True, kw_only=True)
class PlyExport:
    """scene.ply: all parameters of all Gaussians, as 3DGS viewers and engines read them."""

    full_sh: bool = False
    """Pad f_rest to 45 columns with zeros, for engines that read only rows of 62 floats. Converters take the zeros for
    colours and spend minutes on them."""

    filename: ClassVar[str] = "scene.ply"

    def write(self, scene: Scene, views: Views, path: Path, *, progress: Progress = silent) -> dict[str, float]:
        """Write a PLY of the scene at time 0, in metres where its scale is known, and read it back.

        Returns the number of Gaussians and of bytes. Raises ExportError when the scene is empty or the file differs.
        """
        gaussians = gaussians_in_metres(scene.at(0.0), scene.metres_per_unit)
        columns = columns_from_gaussians(gaussians, bases=FULL_BASES if self.full_sh else None)
        write_ply(columns, path)
        progress(1, 2)
        check_columns(columns, path)
        progress(2, 2)
        return {"gaussians": float(len(scene.gaussians)), "bytes": float(path.stat().st_size)}


def columns_from_gaussians(gaussians: Gaussians, *, bases: int | None = None) -> dict[str, np.ndarray]:
    """Return the columns of the PLY in the order of the reference code, with SH zero-padded to `bases`.

    Raises ExportError when there are no Gaussians or a quaternion is zero.
    """
    count, own_bases = gaussians.sh.shape[:2]
    norms = np.linalg.norm(gaussians.quats, axis=1, keepdims=True)
    if count == 0 or norms.min() < 1e-12:
        raise ExportError(
            f"the scene has {count} Gaussians, {int((norms < 1e-12).sum())} of them without an orientation",
            hint="make the scene again with `img2world splat RUN`",
        )
    # Not every viewer normalizes quaternions.
    quats = gaussians.quats / norms
    rest = np.zeros((count, 3, max(own_bases, bases or 0) - 1), np.float32)
    rest[:, :, : own_bases - 1] = gaussians.sh[:, 1:].transpose(0, 2, 1)
    rest = rest.reshape(count, -1)  # channel-major: all of red, all of green, all of blue
    columns = {axis: gaussians.means[:, i] for i, axis in enumerate("xyz")}
    columns |= {axis: np.zeros(count, np.float32) for axis in ("nx", "ny", "nz")}
    columns |= {f"f_dc_{i}": gaussians.sh[:, 0, i] for i in range(3)}
    columns |= {f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])}
    columns |= {"opacity": gaussians.logit_opacities}
    columns |= {f"scale_{i}": gaussians.log_scales[:, i] for i in range(3)}
    columns |= {f"rot_{i}": quats[:, i] for i in range(4)}
    return columns


def check_columns(columns: dict[str, np.ndarray], path: Path) -> None:
    """Compare a PLY file with the columns, bit for bit. Raises ExportError when they differ."""
    found = read_ply(path)
    wrong = [name for name in columns if name not in found or not np.array_equal(found[name], columns[name])]
    if wrong or list(found) != list(columns):
        raise ExportError(
            f"the PLY file reads back wrong in {len(wrong)} of {len(columns)} columns: {', '.join(wrong[:5])}",
            hint=f"check the disk and write it again ({path})",
        )
