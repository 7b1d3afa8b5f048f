"""Exports of a splat file of any program, which has neither photos nor cameras."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from img2world.core.errors import ExportError, RecipeError
from img2world.export.bundles import MANIFEST
from img2world.export.moving import check_moves
from img2world.export.pictures import rendered_views
from img2world.formats.files import writing_folder
from img2world.formats.scene import scene_from_file, viewer_scene
from img2world.formats.splat_file import SplatFile
from img2world.runs.files import clear_disk_errors
from img2world.runs.folder import Event, Listener, report_steps
from img2world.runs.recipe import Exporter, load_recipe
from img2world.runs.stages import check_programs

NEED_VIEWS = {"mesh", "dataset", "bundle"}
"""Formats that are made from pictures, too."""

FORMATS = ("mesh", "turntable", "html")
"""Formats that are exported if none is named."""


def exporters_for_file(formats: list[str], changes: list[str]) -> dict[str, Exporter]:
    """Return the exporters of these formats with their options.

    Raises RecipeError for options of other stages, MissingPackageError when an exporter needs a package.
    """
    if not formats and not any(change.startswith("export.formats") for change in changes):
        formats = [*FORMATS]
    foreign = [change for change in changes if not change.startswith("export.")]
    if foreign:
        raise RecipeError(
            f"{foreign[0]} means nothing to a splat file",
            hint="options of formats begin with export., as export.mesh.max_faces",
        )
    added = [f"export.formats={','.join(formats)}"] if formats else []
    exporters = load_recipe("auto", [*changes, *added]).exports
    check_programs(*exporters.values())
    return exporters


def export_file(file: SplatFile, exporters: dict[str, Exporter], out: Path, listen: Listener) -> Iterator[Path]:
    """Write the content of a splat file with each exporter into a folder, and yield what was written.

    Cameras are set around what most of its Gaussians are part of, since no others are known, and what they see takes
    the place of photos; the web page is in units of its own, other files in those of the splat file. Raises an
    Img2WorldError when an exporter does, and at once where one is for what moves and nothing does.
    """
    scene = scene_from_file(file)
    check_moves(exporters, moves=scene.motion is not None)
    views = rendered_views(scene) if NEED_VIEWS & set(exporters) else None
    with clear_disk_errors(out):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(
                f"no folder can be made here: {error.strerror}: {out}", hint="give another one to --out"
            ) from error
        try:
            for stage, exporter in exporters.items():
                start = time.perf_counter()
                listen(Event(kind="start", stage=stage))
                with writing_folder(out) as folder:
                    shown = viewer_scene(scene) if stage == "html" else scene
                    target = folder / exporter.filename
                    facts = exporter.write(shown, views, target, progress=report_steps(stage, listen))
                    # A mesh may have levels of detail and the like beside it.
                    written = [_put_in_place(path, out) for path in sorted(folder.iterdir())]
                figures = {fact: value for fact, value in facts.items() if not isinstance(value, str)}
                listen(Event(kind="done", stage=stage, seconds=time.perf_counter() - start, quality=figures))
                yield from written
        finally:
            # A failure must not leave an empty folder.
            with suppress(OSError):
                out.rmdir()


def _put_in_place(made: Path, out: Path) -> Path:
    """Move a file or folder from a hidden folder to another, where a bundle of an earlier export is replaced.

    Raises ExportError when there is another folder that is not empty.
    """
    target = out / made.name
    if target.is_dir() and (target / MANIFEST).is_file():
        os.replace(target, made.with_name(f".old-{made.name}"))
    if target.is_dir() and any(target.iterdir()):
        raise ExportError(f"the folder is not empty: {target}", hint="empty or move it, or give another one to --out")
    os.replace(made, target)
    return target
