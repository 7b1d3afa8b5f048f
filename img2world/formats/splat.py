"""The .splat format of antimatter15/splat: 32 bytes a Gaussian, without view-dependent colors.

Source: github.com/antimatter15/splat (README and convert.py). Position and scales are floats, color and opacity
bytes, and the wxyz quaternion bytes around 128. Axes as in PLY.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Integer

from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import dc_from_rgb, rgb_from_dc
from img2world.formats.precision import BYTE, Precision
from img2world.formats.splat_file import (
    SplatFile,
    assemble,
    check_not_empty,
    logit_from_bytes,
    parts,
    to_bytes,
    unit_quats,
)

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 4), ("quat", "u1", 4)])


def read(path: Path) -> SplatFile:
    """Read a .splat file. Raises FormatError when its size is no multiple of 32 bytes."""
    size = path.stat().st_size
    if size == 0 or size % ROW.itemsize:
        raise FormatError(
            f"the .splat file has {size} bytes, needs a multiple of {ROW.itemsize}: {path}",
            hint="it is truncated or of another format; copy or write it again",
        )
    rows = np.memmap(path, ROW, "r")
    return assemble(
        rows["mean"],
        (rows["quat"].astype(np.float32) - 128) / 128,
        np.log(rows["scale"]),
        logit_from_bytes(rows["color"][:, 3]),
        dc_from_rgb(rows["color"][:, None, :3].astype(np.float32) / 255),
    )


def write(gaussians: Gaussians, path: Path) -> None:
    """Write a .splat file, the most visible Gaussians first, as viewers show them while they load."""
    check_not_empty(gaussians)
    with path.open("wb") as file:
        for _, part in parts(gaussians, order(gaussians)):
            rows = np.empty(len(part), ROW)
            rows["mean"], rows["scale"] = part.means, part.scales
            rows["color"][:, :3] = to_bytes(255 * rgb_from_dc(part.sh[:, 0]))
            rows["color"][:, 3] = to_bytes(255 * part.opacities)
            rows["quat"] = to_bytes(128 * unit_quats(part.quats) + 128)
            file.write(rows.tobytes())


def order(gaussians: Gaussians) -> Integer[np.ndarray, "N"]:
    """Return the order in which Gaussians are written."""
    visible = gaussians.log_scales.sum(1, dtype=np.float64) + np.log(np.maximum(gaussians.opacities, 1e-10))
    return np.argsort(-visible, kind="stable")


def precision(gaussians: Gaussians) -> Precision:
    """Return the largest errors of the format."""
    del gaussians
    # Half a step of 1/128 in each component of a quaternion; 1 is stored as 127/128.
    rotation = 2 * (3 / 256**2 + 1 / 128**2) ** 0.5
    return Precision(rotation=rotation, scale=1e-6, opacity=BYTE, color=BYTE, max_degree=0, colors=(0.0, 1.0))
