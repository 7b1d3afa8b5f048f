"""Gaussian splats in OpenUSD: ParticleField3DGaussianSplat, since version 26.03.

Source: openusd.org, "ParticleField3DGaussianSplat" of UsdVol, and the rules of NVIDIA's requirement VG.035. Axes are +Y
up. Needs the package usd-core (`pip install 'img2world[usd]'`). The suffix is .usdc, .usda, .usd or .usdz.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from img2world.core.child_process import run_child
from img2world.core.conventions import Y_UP_FROM_WORLD, Y_UP_SIGNS
from img2world.core.errors import FormatError, MissingPackageError
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.scene import gaussians_at
from img2world.core.sh import rgb_from_dc, sh_degree
from img2world.formats.archive import write_usd_package
from img2world.formats.precision import Precision
from img2world.formats.sequence import frame_rate, frame_times
from img2world.formats.splat_file import (
    SplatFile,
    check_not_empty,
    unit_quats,
)

TYPE = "ParticleField3DGaussianSplat"
SH = "radiance:sphericalHarmonics"
TIME_LIMIT = 3600.0
"""Seconds that reading a file may take."""

DEFAULT_RATE = 24.0
"""Time codes a second where samples are not evenly spaced."""

EXTENT_SIGMAS = 3.0
"""Standard deviations of a Gaussian that the bounds of all include."""


def write(
    gaussians: Gaussians, path: Path, *, metres_per_unit: float = 1.0, motion: Motion | None = None, fps: float = 0.0
) -> None:
    """Write a USD file; what moves gets time samples at the keys of its motion or, if given, `fps` a second.

    USD interpolates between samples linearly; programs that know no time see the first. Time codes are frames where
    those are evenly spaced, else 1/24 seconds. Raises MissingPackageError without usd-core.
    """
    _, usd, geometry, arrays = modules()
    check_not_empty(gaussians)
    turned = gaussians.flipped(Y_UP_SIGNS)
    turned_motion = None if motion is None else motion.transformed(Y_UP_FROM_WORLD)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # A package holds a file of another suffix.
        target = Path(folder) / "splats.usdc" if path.suffix.lower() == ".usdz" else path
        stage = usd.Stage.CreateNew(str(target))
        geometry.SetStageUpAxis(stage, geometry.Tokens.y)
        geometry.SetStageMetersPerUnit(stage, metres_per_unit)
        prim = stage.DefinePrim("/splats", TYPE)
        stage.SetDefaultPrim(prim)

        def put(name: str, value: Any) -> None:
            prim.GetAttribute(name).Set(value)

        vectors = arrays.Vec3fArray.FromNumpy
        scales = np.exp(turned.log_scales.astype(np.float64)).astype(np.float32)
        put("scales", vectors(scales))
        bases = turned.sh.shape[1]
        put(f"{SH}Degree", sh_degree(bases))
        put(f"{SH}Coefficients", vectors(np.ascontiguousarray(turned.sh.reshape(-1, 3))))
        put("primvars:displayColor", vectors(rgb_from_dc(turned.sh[:, 0]).clip(0, 1).astype(np.float32)))
        for name, size in ((f"{SH}Coefficients", bases), ("primvars:displayColor", 1)):
            # Without them, all Gaussians share one value.
            primvar = geometry.Primvar(prim.GetAttribute(name))
            primvar.SetInterpolation(geometry.Tokens.vertex)
            primvar.SetElementSize(size)
        put("projectionModeHint", "perspective")
        put("sortingModeHint", "cameraDistance")
        _put_poses(stage, prim, turned, turned_motion, fps)
        stage.GetRootLayer().Save()
        if target != path:
            write_usd_package({target.name: target.read_bytes()}, path)


def _put_poses(stage: Any, prim: Any, gaussians: Gaussians, motion: Motion | None, fps: float) -> None:
    """Set what a motion changes: for all times and, of what moves, as time samples."""
    _, usd, _, _ = modules()
    start = gaussians if motion is None else gaussians_at(gaussians, motion, float(motion.key_times[0]))
    quats = _put_pose(prim, start, usd.TimeCode.Default())
    if motion is None:
        return
    times = frame_times(motion, fps)
    rate = frame_rate(times) or DEFAULT_RATE
    stage.SetTimeCodesPerSecond(rate)
    stage.SetFramesPerSecond(rate)
    stage.SetStartTimeCode(float(times[0] * rate))
    stage.SetEndTimeCode(float(times[-1] * rate))
    for time in times:
        moved = gaussians_at(gaussians, motion, float(time))
        # Between a quaternion and the negative of its neighbor, interpolation would take the long way.
        aligned = unit_quats(moved.quats).astype(np.float32)
        aligned *= np.where((aligned * quats).sum(1, keepdims=True) < 0, np.float32(-1), np.float32(1))
        quats = _put_pose(
            prim, replace(moved, quats=aligned), usd.TimeCode(float(time * rate)), fades=motion.windows is not None
        )


def _put_pose(prim: Any, gaussians: Gaussians, code: Any, *, fades: bool = True) -> Float32[np.ndarray, "N 4"]:
    """Set positions, orientations and, if they fade, opacities at a time, and return the quaternions."""
    _, _, _, arrays = modules()
    vectors = arrays.Vec3fArray.FromNumpy
    prim.GetAttribute("positions").Set(vectors(gaussians.means), code)
    quats = unit_quats(gaussians.quats).astype(np.float32)
    # In memory, the real part of a quaternion comes last.
    last = np.ascontiguousarray(quats[:, [1, 2, 3, 0]])
    prim.GetAttribute("orientations").Set(arrays.QuatfArray.FromNumpy(last), code)
    if fades:
        opacities = (1 / (1 + np.exp(-gaussians.logit_opacities.astype(np.float64)))).astype(np.float32)
        prim.GetAttribute("opacities").Set(arrays.FloatArray.FromNumpy(opacities), code)
    reach = EXTENT_SIGMAS * gaussians.scales.max(1, keepdims=True)
    bounds = np.stack([(gaussians.means - reach).min(0), (gaussians.means + reach).max(0)]).astype(np.float32)
    prim.GetAttribute("extent").Set(vectors(bounds), code)
    return quats


def precision(gaussians: Gaussians, **options: Any) -> Precision:
    """Return the largest errors of the format: floats of the scales and opacities instead of logarithms and logits."""
    del gaussians, options
    return Precision(scale=2e-6, opacity=1e-6)


def read(path: Path) -> SplatFile:
    """Read the Gaussians of a USD file, with the transforms and the up axis of its stage.

    Raises MissingPackageError without usd-core, FormatError when there are none, or the file is damaged.
    """
    modules()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "splats.npz"
        options = {"source": str(path.absolute()), "target": str(target)}
        run_child("img2world.formats.usd_process", options, time_limit=TIME_LIMIT, error=FormatError)
        with np.load(target) as arrays:
            facts = json.loads(str(arrays["details"]))
            gaussians = Gaussians(**{field.name: arrays[field.name] for field in fields(Gaussians)})
    return SplatFile(gaussians=gaussians, broken=facts["broken"], details=facts["details"])


def read_positions(path: Path, times: Sequence[float]) -> list[Float32[np.ndarray, "N 3"]]:
    """Return the positions in a file that `write` wrote at times in seconds, in our axes."""
    _, usd, _, _ = modules()
    stage = usd.Stage.Open(str(path))
    positions, rate = stage.GetDefaultPrim().GetAttribute("positions"), stage.GetTimeCodesPerSecond()
    return [np.array(positions.Get(time * rate), np.float32) * np.array(Y_UP_SIGNS, np.float32) for time in times]


def modules() -> tuple[Any, Any, Any, Any]:
    """Return the modules of usd-core. Raises MissingPackageError when it is missing or too old."""
    try:
        from pxr import Tf, Usd, UsdGeom, UsdVol, Vt
    except ImportError as error:
        raise MissingPackageError("USD files need the package usd-core", hint="pip install 'img2world[usd]'") from error
    if not hasattr(UsdVol, TYPE):
        raise MissingPackageError(
            "USD files of splats need usd-core 26.3 or newer", hint="pip install --upgrade usd-core"
        )
    return Tf, Usd, UsdGeom, Vt
