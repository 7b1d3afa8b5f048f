"""Gaussian splats in OpenUSD: ParticleField3DGaussianSplat, since version 26.03.

Source: openusd.org, "ParticleField3DGaussianSplat" of UsdVol, and the rules of NVIDIA's requirement VG.035. Axes are +Y
up. Needs the package usd-core (`pip install 'img2world[usd]'`). The suffix is .usdc, .usda, .usd or .usdz.
"""

import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from img2world.core.child_process import run_child
from img2world.core.conventions import Y_UP_SIGNS
from img2world.core.errors import FormatError, MissingPackageError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import rgb_from_dc, sh_degree
from img2world.formats.precision import Precision
from img2world.formats.splat_file import (
    SplatFile,
    check_not_empty,
    unit_quats,
)

TYPE = "ParticleField3DGaussianSplat"
SH = "radiance:sphericalHarmonics"
TIME_LIMIT = 3600.0
"""Seconds that reading a file may take."""

EXTENT_SIGMAS = 3.0
"""Standard deviations of a Gaussian that the bounds of all include."""


def write(gaussians: Gaussians, path: Path, *, metres_per_unit: float = 1.0) -> None:
    """Write a USD file. Raises MissingPackageError without usd-core."""
    _, usd, geometry, tools, arrays = modules()
    check_not_empty(gaussians)
    turned = gaussians.flipped(Y_UP_SIGNS)
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
        put("positions", vectors(turned.means))
        quats = unit_quats(turned.quats).astype(np.float32)
        # In memory, the real part of a quaternion comes last.
        put("orientations", arrays.QuatfArray.FromNumpy(np.ascontiguousarray(quats[:, [1, 2, 3, 0]])))
        scales = np.exp(turned.log_scales.astype(np.float64)).astype(np.float32)
        put("scales", vectors(scales))
        opacities = (1 / (1 + np.exp(-turned.logit_opacities.astype(np.float64)))).astype(np.float32)
        put("opacities", arrays.FloatArray.FromNumpy(opacities))
        bases = turned.sh.shape[1]
        put(f"{SH}Degree", sh_degree(bases))
        put(f"{SH}Coefficients", vectors(np.ascontiguousarray(turned.sh.reshape(-1, 3))))
        put("primvars:displayColor", vectors(rgb_from_dc(turned.sh[:, 0]).clip(0, 1).astype(np.float32)))
        for name, size in ((f"{SH}Coefficients", bases), ("primvars:displayColor", 1)):
            # Without them, all Gaussians share one value.
            primvar = geometry.Primvar(prim.GetAttribute(name))
            primvar.SetInterpolation(geometry.Tokens.vertex)
            primvar.SetElementSize(size)
        reach = EXTENT_SIGMAS * scales.max(1, keepdims=True)
        bounds = np.stack([(turned.means - reach).min(0), (turned.means + reach).max(0)]).astype(np.float32)
        put("extent", vectors(bounds))
        put("projectionModeHint", "perspective")
        put("sortingModeHint", "cameraDistance")
        stage.GetRootLayer().Save()
        if path.suffix.lower() == ".usdz" and not tools.CreateNewUsdzPackage(str(target), str(path)):
            raise FormatError(f"the USDZ package cannot be written: {path}", hint="check the disk")


def precision(gaussians: Gaussians) -> Precision:
    """Return the largest errors of the format: floats of the scales and opacities instead of logarithms and logits."""
    del gaussians
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


def modules() -> tuple[Any, Any, Any, Any, Any]:
    """Return the modules of usd-core. Raises MissingPackageError when it is missing or too old."""
    try:
        from pxr import Tf, Usd, UsdGeom, UsdUtils, UsdVol, Vt
    except ImportError as error:
        raise MissingPackageError("USD files need the package usd-core", hint="pip install 'img2world[usd]'") from error
    if not hasattr(UsdVol, TYPE):
        raise MissingPackageError(
            "USD files of splats need usd-core 26.3 or newer", hint="pip install --upgrade usd-core"
        )
    return Tf, Usd, UsdGeom, UsdUtils, Vt
