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
from img2world.core.metric import gaussians_in_metres
from img2world.core.ply import read_ply, write_ply
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.formats.ply import columns_from_gaussians

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
        if len(gaussians) == 0:
            raise ExportError("the scene has no Gaussians", hint="make the scene again with `img2world splat RUN`")
        columns = columns_from_gaussians(gaussians, bases=FULL_BASES if self.full_sh else None)
        write_ply(columns, path)
        progress(1, 2)
        check_columns(columns, path)
        progress(2, 2)
        return {"gaussians": float(len(scene.gaussians)), "bytes": float(path.stat().st_size)}


def check_columns(columns: dict[str, np.ndarray], path: Path) -> None:
    """Compare a PLY file with the columns, bit for bit. Raises ExportError when they differ."""
    found = read_ply(path)
    wrong = [name for name in columns if name not in found or not np.array_equal(found[name], columns[name])]
    if wrong or list(found) != list(columns):
        raise ExportError(
            f"the PLY file reads back wrong in {len(wrong)} of {len(columns)} columns: {', '.join(wrong[:5])}",
            hint=f"check the disk and write it again ({path})",
        )
