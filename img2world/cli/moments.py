"""What `convert` does with files in which something moves: one moment of it, all of it, or a file for each frame.

Heavy modules are imported inside the functions, so that `--help` is fast.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2world.cli.output import say, say_json

if TYPE_CHECKING:
    from img2world.formats.splat_file import SplatFile


def at_moment(file: "SplatFile", path: Path, time: float | None) -> "SplatFile":
    """Return the content of a file at a time, or all of it without one.

    Raises FormatError when nothing moves, or the time is not one of the motion.
    """
    from img2world.core.errors import FormatError

    if time is None:
        return file
    if file.motion is None:
        raise FormatError(f"--time chooses a moment, and nothing moves in the file: {path}", hint="leave it out")
    first, last = (float(key) for key in file.motion.key_times[[0, -1]])
    if not first <= time <= last:
        raise FormatError(
            f"--time is {time:g} s, the motion lasts from {first:g} to {last:g} s", hint="give one of these"
        )
    return file.still(time)


def content_for(
    file: "SplatFile", suffix: str, *, lod: int, fps: float, spz_version: int
) -> tuple["SplatFile", dict[str, Any]]:
    """Return what a format is to be given of a file, with the options of its writer.

    Of what moves, most formats hold one moment, which a warning says.
    """
    from img2world.core.errors import FormatError
    from img2world.formats import TIMED
    from img2world.formats.files import motion_options

    options: dict[str, Any] = {"version": spz_version} if suffix == ".spz" else {}
    if file.motion is None:
        return file, options
    if suffix in TIMED and lod == 0:
        return file, motion_options(file, suffix, fps)
    if suffix in TIMED:
        raise FormatError("levels of detail are made of one moment only", hint="choose it with --time")
    warnings.warn(
        f"{suffix} files hold one moment, here that of the first key ({file.start:g} s): --time chooses another, "
        f"FOLDER/*{suffix} writes all frames",
        stacklevel=2,
    )
    return file.still(file.start), options


def is_sequence(target: str) -> bool:
    """Return whether a target is a folder or a pattern of file names."""
    return target != "-" and (target.endswith("/") or Path(target).name.startswith("*.") or Path(target).is_dir())


def write_frames(file: "SplatFile", target: str, engine: str, fps: float, *, spz_version: int, as_json: bool) -> None:
    """Write a file for each frame of what moves, and tell what was written.

    Raises FormatError when the folder is not empty, or nothing moves.
    """
    from img2world.core.errors import FormatError
    from img2world.formats.actions import turn_for_engine
    from img2world.formats.files import find_suffix
    from img2world.formats.sequence import write_sequence

    if file.motion is None:
        raise FormatError(f"nothing moves in it, so there is one file to write: {target}", hint="give its name")
    pattern = Path(target) if Path(target).name.startswith("*.") else Path(target) / "*.ply"
    suffix, folder = find_suffix(pattern), pattern.parent
    if folder.is_dir() and any(folder.iterdir()):
        raise FormatError(f"there are files in the folder: {folder}", hint="give a new folder for the frames")
    turned = turn_for_engine(file, engine, suffix) if engine else file
    options = {"version": spz_version} if suffix == ".spz" else {}
    paths = [path for _, path in write_sequence(turned, folder, suffix, fps=fps, options=options)]
    size = sum(path.stat().st_size for path in paths)
    if as_json:
        facts = {"frames": len(paths), "gaussians": len(file.gaussians), "bytes": size}
        say_json({"event": "written", "file": str(folder), **facts})
    else:
        say(f"{folder}  {len(paths)} frames of {len(file.gaussians):,} Gaussians, {size / 1e6:.1f} MB")
