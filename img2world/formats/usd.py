"""Gaussian splats in OpenUSD: ParticleField3DGaussianSplat, since version 26.03.

Source: openusd.org, "ParticleField3DGaussianSplat" of UsdVol, and the rules of NVIDIA's requirement VG.035. Axes are +Y
up. Needs the package usd-core (`pip install 'img2world[usd]'`). The suffix is .usdc, .usda, .usd or .usdz.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from img2world.core.conventions import Y_UP_SIGNS
from img2world.core.errors import FormatError, MissingPackageError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import rgb_from_dc, sh_degree
from img2world.formats.splat_file import (
    SplatFile,
    assemble,
    check_not_empty,
    join_files,
    logit_from_floats,
    place,
    reason,
    unit_quats,
)

TYPE = "ParticleField3DGaussianSplat"
SH = "radiance:sphericalHarmonics"
SUFFIXES = (".usdc", ".usda", ".usd", ".usdz")
"""OpenUSD knows a file by its suffix."""

EXTENT_SIGMAS = 3.0
"""Standard deviations of a Gaussian that the bounds of all include."""

HINT = "the file is damaged or was made by a faulty program; write it again"


def write(gaussians: Gaussians, path: Path, *, metres_per_unit: float = 1.0) -> None:
    """Write a USD file. Raises MissingPackageError without usd-core."""
    _, usd, geometry, tools, arrays = _modules()
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


def read(path: Path) -> SplatFile:
    """Read the Gaussians of a USD file, with the transforms and the up axis of its stage.

    Raises MissingPackageError without usd-core, FormatError when there are none, or the file is damaged.
    """
    tf, usd, _, _, _ = _modules()
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise FormatError(f"the USD file has another name: {path}", hint=f"give it one that ends with {known}")
    try:
        parts = _parts(usd.Stage.Open(str(path)))
    except tf.ErrorException as error:
        # What it says is about code in C++, and not always text.
        raise FormatError(f"OpenUSD cannot read the file: {path}", hint=HINT) from error
    except (TypeError, ValueError) as error:
        raise FormatError(f"the USD file has a wrong value: {reason(error)}", hint=HINT) from error
    if not parts:
        raise FormatError(f"the USD file has no Gaussian splats: {path}", hint=f"needs a prim {TYPE}")
    return join_files(parts)


def _parts(stage: Any) -> list[SplatFile]:
    """Return the content of each prim of splats, in our axes."""
    _, usd, geometry, _, _ = _modules()
    cache = geometry.XformCache(usd.TimeCode.EarliestTime())
    # With +Z up, +Y points away from the viewer.
    is_z_up = geometry.GetStageUpAxis(stage) == geometry.Tokens.z
    y_up = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]]) if is_z_up else np.eye(4)
    parts = []
    for prim in stage.Traverse(usd.TraverseInstanceProxies()):
        if prim.GetTypeName() == TYPE:
            matrix = y_up @ np.array(cache.GetLocalToWorldTransform(prim)).T
            parts.append(place(_read_prim(prim, usd.TimeCode.EarliestTime()), matrix))
    return parts


def _read_prim(prim: Any, time: Any) -> SplatFile:
    """Return the Gaussians of a prim in its own axes. Raises FormatError when its arrays do not fit together."""

    def column(name: str, width: int, default: np.ndarray | None = None) -> Float32[np.ndarray, "N C"]:
        # In half precision, the name ends with h.
        values = [prim.GetAttribute(attribute).Get(time) for attribute in (name, f"{name}h")]
        value = next((value for value in values if value is not None and len(value)), None)
        if value is not None:
            return np.array(value, np.float32).reshape(-1, width)
        if default is None:
            raise FormatError(f"the splats of the USD file have no {name}", hint=HINT)
        return default

    means = column("positions", 3)
    count = len(means)
    # The real part comes last.
    quats = column("orientations", 4, np.tile(np.array([0, 0, 0, 1], np.float32), (count, 1)))[:, [3, 0, 1, 2]]
    scales = column("scales", 3, np.ones((count, 3), np.float32))
    opacities = column("opacities", 1, np.ones((count, 1), np.float32))
    degree = int(prim.GetAttribute(f"{SH}Degree").Get(time) or 0)
    harmonics = column(f"{SH}Coefficients", 3)
    bases = (degree + 1) ** 2
    if not 0 <= degree <= 3 or len(harmonics) != count * bases or {len(quats), len(scales), len(opacities)} != {count}:
        raise FormatError(f"the splats of the USD file have arrays of different lengths, degree {degree}", hint=HINT)
    return assemble(
        means,
        quats,
        np.log(scales),
        logit_from_floats(opacities[:, 0]),
        harmonics.reshape(count, bases, 3),
        prim=str(prim.GetPath()),
    )


def _modules() -> tuple[Any, Any, Any, Any, Any]:
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
