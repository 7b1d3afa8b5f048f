"""Commands for splat files of any program: inspect and render; and what export and view do with them.

Heavy modules are imported inside the commands, so that `--help` is fast.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2world.cli.app import JsonOption, app
from img2world.cli.output import exit_codes, listening, say, say_json

if TYPE_CHECKING:
    from img2world.core.scene import Scene

SCENE = "scene/scene.safetensors"
"""The scene in a run folder."""


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Splat files of any format.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a splat file holds, and what is suspicious in it.

    \b
    img2world inspect scene.spz
    img2world inspect scans/*.ply --json
    """
    with exit_codes(as_json):
        from img2world.formats.inspection import inspect_file

        for path in files:
            _check_not_run(path)
            found = inspect_file(path)
            if as_json:
                say_json(found.as_json())
            else:
                for line in found.lines():
                    say(line)


def _check_not_run(path: Path) -> None:
    """Raise FormatError for a run folder, with the splat file in it that can be inspected."""
    from img2world.core.errors import FormatError
    from img2world.formats.files import is_splat_file
    from img2world.runs.files import quoted
    from img2world.runs.folder import MANIFEST

    if not (path / MANIFEST).is_file():
        return
    found = [file for file in sorted((path / "exports").glob("*")) if is_splat_file(file)]
    # A PLY of the whole world first, the file that most programs open.
    found.sort(key=lambda file: file.name != "scene.ply")
    hint = f"`img2world inspect {quoted(found[0])}`" if found else f"`img2world export {quoted(path)} ply` writes one"
    raise FormatError(f"this is a run folder, not a splat file: {path}", hint=hint)


@app.command()
def render(
    source: Annotated[Path, typer.Argument(metavar="FILE|RUN", help="A splat file of any format, or a run folder.")],
    out: Annotated[Path, typer.Option(help="A folder for PNG pictures, or an .mp4 file.")],
    camera: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Cameras: a transforms.json, or world_from_cam and intrinsics.")
    ] = None,
    orbit: Annotated[bool, typer.Option("--orbit", help="Once around, if no cameras are given.")] = False,
    views: Annotated[int, typer.Option(help="Number of pictures of an orbit.", min=2, max=2000)] = 96,
    size: Annotated[int, typer.Option(help="Longer side of the pictures of an orbit.", min=64, max=2048)] = 640,
    fps: Annotated[float, typer.Option(help="Frames per second of an .mp4 file.", min=1, max=240)] = 24.0,
) -> None:
    """Render a splat file or a run from given cameras, or once around.

    \b
    img2world render scan.spz --orbit --out turn.mp4
    img2world render runs/photo --camera runs/photo/trajectory.json --out frames/
    """
    with exit_codes():
        from img2world.core.camera_paths import load_trajectory
        from img2world.core.errors import CameraError
        from img2world.export.pictures import write_pictures
        from img2world.runs.folder import report_steps

        scene = _scene(source, views=views, size=size)
        if (camera is None) != orbit:
            raise CameraError("give cameras or an orbit", hint="--camera FILE, or --orbit")
        cameras = scene.cameras if camera is None else load_trajectory(camera)
        with listening(as_json=False) as listen:
            count = write_pictures(scene, cameras, out, fps=fps, progress=report_steps("render", listen))
        say(f"{out}  {count} pictures of {cameras.width}x{cameras.height}")


def _scene(source: Path, *, views: int, size: int) -> "Scene":
    """Return the scene of a run, or one with an orbit around the content of a splat file."""
    from img2world.core.scene import Scene
    from img2world.export.turntable import TurntableExport
    from img2world.formats.files import read_whole
    from img2world.formats.scene import scene_from_file
    from img2world.runs.folder import check_inside

    if not source.is_dir():
        return scene_from_file(read_whole(source), views=views, width=size, height=2 * round(3 * size / 8))
    check_inside(source, SCENE)
    scene = Scene.load(source / SCENE)
    return replace(scene, cameras=TurntableExport(size=size).path(scene, views))


def export_splats(path: Path, formats: list[str], changes: list[str], out: Path, as_json: bool) -> None:
    """Export the content of a splat file, and print what was written."""
    with exit_codes(as_json):
        from img2world.formats.files import read_whole
        from img2world.runs.splat_export import export_file, exporters_for_file

        exporters = exporters_for_file(formats, changes)
        file = read_whole(path)
        with listening(as_json) as listen:
            written = list(export_file(file, exporters, out, listen))
        if as_json:
            say_json({"event": "finished", "out": str(out), "files": list(map(str, written))})
            return
        for made in written:
            say(str(made))


def page_of_file(path: Path) -> "Path | str":
    """Return the page to serve for a file: itself, if it is one, or the text of one that shows a splat file."""
    from img2world.export.html import world_html
    from img2world.formats.files import is_splat_file, read_whole
    from img2world.formats.scene import scene_from_file, viewer_scene

    if not is_splat_file(path):
        return path
    return world_html(viewer_scene(scene_from_file(read_whole(path))), title=path.name)
