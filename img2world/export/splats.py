"""Gaussians as splat files, one exporter for each format that `img2world.formats` writes.

The fields of an exporter are the options of its format's writer.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from img2world.core.errors import ExportError
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Range
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.formats.files import write_splats
from img2world.formats.precision import check_file
from img2world.formats.readers import check_with_other_reader


@runtime_checkable
class SplatExporter(Protocol):
    """An exporter of a splat format: a dataclass of the options of its writer."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def write_scene(
    self: SplatExporter, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent
) -> dict[str, float | str]:
    """Write the scene at time 0, where `Scene.asset_from_world` places it, and read it back.

    Returns the numbers of Gaussians and of bytes, the largest errors, and the reader. Raises ExportError when the scene
    is empty or the file differs by more than the precision of its format explains.
    """
    del views
    gaussians = scene.at(0.0).transformed(scene.asset_from_world.astype(np.float32))
    if len(gaussians) == 0:
        raise ExportError("the scene has no Gaussians", hint="make the scene again with `img2world splat RUN`")
    options = asdict(self)
    write_splats(gaussians, path, options)
    progress(1, 2)
    errors = check_file(gaussians, path, options)
    reader = check_with_other_reader(path)
    progress(2, 2)
    return {"gaussians": float(len(gaussians)), "bytes": float(path.stat().st_size), **errors, "reader": reader}


@dataclass(frozen=True, kw_only=True)
class PlyExport:
    """scene.ply: all parameters of all Gaussians, as 3DGS viewers and engines read them."""

    full_sh: bool = False
    """Pad f_rest to 45 columns with zeros, for engines that read only rows of 62 floats. Converters take the zeros for
    colours and spend minutes on them."""

    filename: ClassVar[str] = "scene.ply"
    write = write_scene


@dataclass(frozen=True, kw_only=True)
class CompressedPlyExport:
    """scene.compressed.ply: a quarter to a seventh of the PLY, for PlayCanvas and SuperSplat."""

    filename: ClassVar[str] = "scene.compressed.ply"
    write = write_scene


@dataclass(frozen=True, kw_only=True)
class SplatExport:
    """scene.splat: 32 bytes a Gaussian, without view-dependent colours, for simple viewers."""

    filename: ClassVar[str] = "scene.splat"
    write = write_scene


@dataclass(frozen=True, kw_only=True)
class KsplatExport:
    """scene.ksplat: for GaussianSplats3D."""

    level: Annotated[int, Range(0, 1)] = 1
    """Compression level: 0 has floats, 1 has halves and 16-bit positions."""

    filename: ClassVar[str] = "scene.ksplat"
    write = write_scene


@dataclass(frozen=True, kw_only=True)
class SpzExport:
    """scene.spz: about a tenth of the PLY; Spark, Scaniverse, Cesium and many others read it."""

    version: Annotated[int, Range(3, 4)] = 3
    """3, which more programs open, or 4."""

    filename: ClassVar[str] = "scene.spz"
    write = write_scene


@dataclass(frozen=True, kw_only=True)
class SogExport:
    """scene.sog: about a fifteenth of the PLY, for the web: PlayCanvas and SuperSplat."""

    filename: ClassVar[str] = "scene.sog"
    write = write_scene


@dataclass(frozen=True, kw_only=True)
class GltfExport:
    """scene.glb: glTF with KHR_gaussian_splatting, +Y up, lossless."""

    filename: ClassVar[str] = "scene.glb"
    write = write_scene


@dataclass(frozen=True, kw_only=True)
class UsdExport:
    """scene.usdz: OpenUSD ParticleField3DGaussianSplat, +Y up, lossless, for Omniverse and other USD programs."""

    filename: ClassVar[str] = "scene.usdz"
    write = write_scene

    def check_programs(self) -> None:
        """Check that usd-core is installed. Raises MissingPackageError if not."""
        from img2world.formats.usd import modules

        modules()
