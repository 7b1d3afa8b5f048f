"""Gaussians as splat files, one exporter for each format that `img2world.formats` writes.

The fields of an exporter are the options of its format's writer.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Range
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.moving import gaussians_to_show, placed_content
from img2world.formats.files import motion_options, write_splats
from img2world.formats.precision import check_file
from img2world.formats.readers import check_with_other_reader
from img2world.formats.sequence import frame_times


@runtime_checkable
class SplatExporter(Protocol):
    """An exporter of a splat format: a dataclass of the options of its writer."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def write_scene(
    self: SplatExporter, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent
) -> dict[str, float | str]:
    """Write the scene at its first key, where `Scene.asset_from_world` places it, and read it back.

    Returns the numbers of Gaussians and of bytes, the largest errors, and the reader. Raises ExportError when the scene
    is empty or the file differs by more than the precision of its format explains.
    """
    del views
    gaussians = gaussians_to_show(scene).transformed(scene.asset_from_world.astype(np.float32))
    return write_checked(gaussians, gaussians, path, asdict(self), progress)


def write_checked(
    gaussians: Gaussians, shown: Gaussians, path: Path, options: dict[str, Any], progress: Progress
) -> dict[str, float | str]:
    """Write a file and compare what it shows at first with `shown`; returns and raises what `write_scene` does."""
    if len(gaussians) == 0:
        raise ExportError("the scene has no Gaussians", hint="make the scene again with `img2world splat RUN`")
    write_splats(gaussians, path, options)
    progress(1, 2)
    errors = check_file(shown, path, options)
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
    """scene.usdz: OpenUSD ParticleField3DGaussianSplat, +Y up, lossless, with time samples, for Omniverse."""

    fps: Annotated[float, Range(0, 240)] = 0.0
    """Time samples a second of what moves; 0 takes its keys. Programs interpolate between them linearly."""

    filename: ClassVar[str] = "scene.usdz"

    def write(
        self, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent
    ) -> dict[str, float | str]:
        """Write the scene as `write_scene` does, with its motion, and read back three of its time samples.

        Raises ExportError when the file differs.
        """
        if scene.motion is None:
            return write_scene(self, scene, views, path, progress=progress)
        from img2world.formats.usd import read_positions

        content = placed_content(scene)
        options = motion_options(content, path.suffix, self.fps)
        facts = write_checked(content.gaussians, content.at(content.start), path, options, progress)
        samples = frame_times(scene.motion, self.fps)
        times = [float(samples[i]) for i in (0, len(samples) // 2, -1)]
        for time, found in zip(times, read_positions(path, times), strict=True):
            if not np.array_equal(found, content.at(time).means):
                raise ExportError(
                    f"the positions at {time:g} s read back wrong", hint=f"check the disk and write it again ({path})"
                )
        return {**facts, "samples": float(len(samples))}

    def check_programs(self) -> None:
        """Check that usd-core is installed. Raises MissingPackageError if not."""
        from img2world.formats.usd import modules

        modules()
