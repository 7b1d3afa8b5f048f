"""Scenes that move, in formats that hold the motion; and what formats show that hold none."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Range
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.formats.brush import read_frames
from img2world.formats.files import motion_options, read_splats, write_splats
from img2world.formats.precision import check_file
from img2world.formats.readers import check_with_other_reader
from img2world.formats.sequence import write_sequence
from img2world.formats.splat_file import SplatFile

Facts = dict[str, float | str]

FrameRate = Annotated[float, Range(0, 240)]


@runtime_checkable
class SequenceExporter(Protocol):
    """An exporter of a file for each frame."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    suffix: ClassVar[str]
    fps: float


def gaussians_to_show(scene: Scene) -> Gaussians:
    """Return the Gaussians at a scene's first key, for a format that holds no motion; a warning says it once."""
    if scene.motion is not None:
        # The same text from the same line: Python shows it once.
        warnings.warn(
            f"formats that hold no motion show the scene at its first key ({scene.start:g} s); i2w, ply-sequence, "
            "spz-sequence, brush, usd, html and mesh hold it",
            stacklevel=1,
        )
    return scene.at(scene.start)


def check_moves(exporters: Mapping[str, object], *, moves: bool) -> None:
    """Check that a scene moves, or is about to be made in motion, where a format needs that.

    Raises ExportError when it stands still.
    """
    named = [name for name, exporter in exporters.items() if getattr(exporter, "needs_motion", False)]
    if named and not moves:
        raise ExportError(
            f"the scene stands still, and {', '.join(named)} {'is' if len(named) == 1 else 'are'} for what moves",
            hint="export ply, spz or another format; --recipe moving makes scenes that move, of videos",
        )


def placed_content(scene: Scene) -> SplatFile:
    """Return the content of a moving scene in the frame of exported files. Raises ExportError when nothing moves."""
    if scene.motion is None:
        raise ExportError(
            "the scene stands still, and this format is for what moves", hint="export ply, spz or another format"
        )
    content = SplatFile(
        gaussians=scene.gaussians,
        broken=0,
        details={},
        motion=scene.motion,
        background=scene.background,
        is_object=scene.is_object,
    )
    return content.transformed(scene.asset_from_world)


def write_frames(
    self: SequenceExporter, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent
) -> Facts:
    """Write a folder of frames and their manifest, and read each frame back.

    Returns the numbers of frames, Gaussians and bytes, the largest errors, and the reader. Raises ExportError when the
    scene does not move or a frame differs by more than the precision of its format explains.
    """
    del views
    content = placed_content(scene)
    options = {name: value for name, value in asdict(self).items() if name != "fps"}
    errors: dict[str, float] = {}
    reader, frames, size = "", 0, 0
    for time, frame in write_sequence(content, path, self.suffix, fps=self.fps, options=options):
        found = check_file(content.at(time), frame, options)
        errors |= {name: max(value, errors.get(name, 0.0)) for name, value in found.items()}
        reader = reader or check_with_other_reader(frame)
        frames, size = frames + 1, size + frame.stat().st_size
        progress(frames, frames + 1)
    counts = {"frames": float(frames), "gaussians": float(len(content.gaussians)), "bytes": float(size)}
    return {**counts, **errors, "reader": reader}


@dataclass(frozen=True, kw_only=True)
class PlySequenceExport:
    """ply-sequence/: frame_0000.ply and so on of a scene that moves, with the times in manifest.json."""

    fps: FrameRate = 0.0
    """Frames a second; 0 takes the keys of the motion."""

    needs_motion: ClassVar[bool] = True
    filename: ClassVar[str] = "ply-sequence"
    suffix: ClassVar[str] = ".ply"
    write = write_frames


@dataclass(frozen=True, kw_only=True)
class SpzSequenceExport:
    """spz-sequence/: frame_0000.spz and so on of a scene that moves, with the times in manifest.json."""

    fps: FrameRate = 0.0
    """Frames a second; 0 takes the keys of the motion."""
    version: Annotated[int, Range(3, 4)] = 3
    """3, which more programs open, or 4."""

    needs_motion: ClassVar[bool] = True
    filename: ClassVar[str] = "spz-sequence"
    suffix: ClassVar[str] = ".spz"
    write = write_frames


@dataclass(frozen=True, kw_only=True)
class I2wExport:
    """scene.i2w: a scene that moves in one small file, Gaussians and their bones; docs/formats.md describes it."""

    exact: bool = False
    """Store the Gaussians as PLY instead of SPZ and weights as floats: no loss, two to five times the size."""

    needs_motion: ClassVar[bool] = True
    filename: ClassVar[str] = "scene.i2w"

    def write(self, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent) -> Facts:
        """Write the file and read it back.

        Returns the numbers of Gaussians, bones, keys and bytes, and the largest errors. Raises ExportError when the
        scene does not move or the file differs by more than the precision of the format explains.
        """
        del views
        content = placed_content(scene)
        options = {**motion_options(content, ".i2w"), **asdict(self)}
        write_splats(content.gaussians, path, options)
        progress(1, 2)
        errors = check_file(content.gaussians, path, options)
        motion, found = content.motion, read_splats(path).motion
        assert motion is not None
        error = np.inf if found is None else motion_error(motion, found)
        if not error <= (0 if self.exact else 1 / 255):
            raise ExportError(
                f"the file reads back with another motion, by {error:.1e}",
                hint=f"check the disk and write it again ({path})",
            )
        progress(2, 2)
        return {**_counts(content, motion, path), **errors, "reader": name_with_version("img2world")}


@dataclass(frozen=True, kw_only=True)
class BrushExport:
    """scene.brush.zip: a scene that moves for the viewer Brush, as PLY with delta frames or as a PLY for each frame."""

    deltas: bool = True
    """Delta frames, which Brush 0.3 reads; false writes a PLY for each frame, which later versions read as well."""

    needs_motion: ClassVar[bool] = True
    filename: ClassVar[str] = "scene.brush.zip"

    def write(self, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent) -> Facts:
        """Write the file and read its frames back.

        Returns the numbers of Gaussians, bones, keys and bytes, and the largest error of a position. Raises ExportError
        when the scene does not move or a frame reads back wrong.
        """
        del views
        content = placed_content(scene)
        motion = content.motion
        assert motion is not None
        write_splats(content.gaussians, path, {"motion": motion, **asdict(self)})
        progress(1, 2)
        largest, extent = 0.0, float(np.abs(content.gaussians.means).max())
        for time, means in read_frames(path, float(motion.key_times[0])):
            moved, _ = motion.move(content.gaussians.means, content.gaussians.quats, time)
            largest = max(largest, float(np.abs(means - moved).max()))
        if not largest < 1e-4 * max(extent, 1e-6):
            raise ExportError(
                f"the frames read back with positions that are off by {largest:.1e}",
                hint=f"check the disk and write it again ({path})",
            )
        progress(2, 2)
        counts = _counts(content, motion, path)
        return {**counts, "position_error": largest, "reader": name_with_version("img2world")}


def motion_error(expected: Motion, found: Motion) -> float:
    """Return the largest difference of the values of two motions; infinite when they have other shapes."""
    largest = 0.0
    for name in (field.name for field in fields(Motion)):
        a, b = getattr(expected, name), getattr(found, name)
        if a is None and b is None:
            continue
        if a is None or b is None or a.shape != b.shape:
            return np.inf
        largest = max(largest, float(np.abs(a.astype(np.float64) - b).max(initial=0)))
    return largest


def _counts(content: SplatFile, motion: Motion, path: Path) -> dict[str, float]:
    """Return what a file holds."""
    return {
        "gaussians": float(len(content.gaussians)),
        "bones": float(len(motion.bone_pivots)),
        "keys": float(len(motion.key_times)),
        "bytes": float(path.stat().st_size),
    }
