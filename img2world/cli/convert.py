"""The command `convert`: splat files of any program, any format to any.

Heavy modules are imported inside the command, so that `--help` is fast.
"""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from img2world.cli.app import JsonOption, app
from img2world.cli.moments import at_moment, content_for, is_sequence, write_frames
from img2world.cli.output import exit_codes, say, say_json

if TYPE_CHECKING:
    from img2world.formats.actions import Action

ACTIONS = {
    "--rotate", "--translate", "--scale", "--crop-box", "--crop-sphere", "--opacity-min", "--sh", "--decimate",
    "--merge",
}  # fmt: skip
FLAGS = {"--drop-nan", "--drop-floaters"}


class OrderedCommand(TyperCommand):
    """A command that remembers the order in which its options were given, which click forgets."""

    context_class = typer.Context

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the options and their values in `ctx.meta`, in order."""
        ordered = []
        for i, word in enumerate(args):
            name, has_value, value = word.partition("=")
            if name in ACTIONS:
                ordered.append((name, value if has_value else args[i + 1] if i + 1 < len(args) else ""))
            elif word in FLAGS:
                ordered.append((word, ""))
        ctx.meta["actions"] = ordered
        return super().parse_args(ctx, args)


def _values(help_text: str, metavar: str) -> Any:
    """Return the type of an option that may be given several times."""
    return Annotated[list[str] | None, typer.Option(metavar=metavar, help=help_text)]


@app.command(cls=OrderedCommand)
def convert(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A splat file, a folder of them, or - for a PLY on stdin.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="The file to write, or - for a PLY on stdout; FOLDER/*.EXT for a folder, or all frames of what moves.",
        ),
    ],
    rotate: _values("Rotate by degrees about X, then Y, then Z.", "X,Y,Z") = None,
    translate: _values("Move.", "X,Y,Z") = None,
    scale: _values("Make larger by a factor.", "F") = None,
    crop_box: _values("Keep what is in a box.", "X,Y,Z,X,Y,Z") = None,
    crop_sphere: _values("Keep what is in a sphere.", "X,Y,Z,R") = None,
    opacity_min: _values("Drop what is more transparent.", "0..1") = None,
    sh: _values("Drop the spherical harmonics above a degree.", "0..3") = None,
    decimate: _values("Merge neighbors until so many Gaussians are left.", "N|N%") = None,
    merge: _values("Add another splat file.", "FILE") = None,
    drop_nan: Annotated[
        bool, typer.Option("--drop-nan", help="Drop Gaussians with values that are not finite.")
    ] = False,
    drop_floaters: Annotated[bool, typer.Option("--drop-floaters", help="Drop Gaussians that float alone.")] = False,
    lod: Annotated[
        int,
        typer.Option(
            help="Write so many levels of detail, OUT_lod0 to OUT_lodN, each a third of the last.", min=0, max=8
        ),
    ] = 0,
    up: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="The axis that is up in IN where that is wrong: x, y, z, -x, -y or -z."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Turn the output so that it stands upright in three (with Spark), playcanvas or babylon as it is.",
        ),
    ] = None,
    time: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="The moment of what moves.  [default: its first key]")
    ] = None,
    fps: Annotated[
        float,
        typer.Option(help="Frames a second of a sequence or USD file of what moves; 0 takes its keys.", min=0, max=240),
    ] = 0.0,
    spz_version: Annotated[int, typer.Option(help="Version of SPZ files: 3, which more programs open, or 4.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Convert splat files of any format to any other.

    \b
    .ply .compressed.ply .splat .ksplat .spz .sog meta.json .glb .usdc .usda .usdz; .gltf is read only;
    .i2w .brush.zip hold what moves

    Actions are applied in the order in which they are given, between --up and --engine. Their axes are +X right, +Y up,
    +Z to the viewer, whatever the format. Degrees turn counterclockwise.

    \b
    img2world convert scene.ply scene.spz
    img2world convert scene.ply small.sog --drop-floaters --decimate 50% --sh 1
    img2world convert scan.splat up.ply --rotate 180,0,0 --scale 2 --translate 0,1,0
    img2world convert scan.ply scan.spz --up z
    img2world convert scene.ply web.ply --engine three
    img2world convert room.ply both.glb --merge chair.ply
    img2world convert scans/ 'web/*.sog'
    img2world convert moving.i2w still.ply --time 0.5
    img2world convert moving.i2w 'frames/*.ply' --fps 24
    cat scene.ply | img2world convert - - --sh 0 > plain.ply
    """
    del rotate, translate, scale, crop_box, crop_sphere, opacity_min, sh, decimate, merge, drop_floaters
    with exit_codes(as_json):
        from img2world.core.errors import FormatError

        if spz_version not in (3, 4):
            raise FormatError(f"--spz-version is {spz_version}, needs 3 or 4", hint="leave it out for 3")
        actions = _actions(ctx.meta["actions"])
        for path, out in _pairs(source, target):
            turns, times = (up or "", engine or ""), (time, fps)
            _convert(
                path, out, actions, turns, times, drop_nan=drop_nan, lod=lod, spz_version=spz_version, as_json=as_json
            )


def _actions(given: Sequence[tuple[str, str]]) -> "list[Action]":
    """Return the actions in the order in which they were given."""
    from functools import partial

    from img2world.formats.actions import drop_floaters, merge, parse_action
    from img2world.formats.files import read_whole

    actions: list[Action] = []
    for option, value in given:
        if option == "--drop-floaters":
            actions.append(drop_floaters)
        elif option == "--merge":
            actions.append(partial(merge, other=read_whole(Path(value), drop_nan="--drop-nan" in dict(given))))
        elif option != "--drop-nan":
            actions.append(parse_action(option, value))
    return actions


def _pairs(source: str, target: str) -> list[tuple[str, str]]:
    """Return the inputs and outputs: one of each, or those of a folder. Raises FormatError when they do not fit."""
    from img2world.core.errors import FormatError
    from img2world.formats import MODULES
    from img2world.formats.files import find_suffix

    folder = Path(source)
    if source == "-" or not folder.is_dir():
        return [(source, target)]
    place = Path(target)
    if not place.name.startswith("*."):
        raise FormatError(f"{source} is a folder and {target} is not a pattern", hint=f"give {target}/*.spz, in quotes")
    find_suffix(place)
    ends = tuple(MODULES)
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(ends))
    if not found:
        raise FormatError(f"the folder has no splat files: {folder}", hint=f"known are {', '.join(ends)}")
    place.parent.mkdir(parents=True, exist_ok=True)
    pairs = [(str(path), str(place.parent / (_stem(path) + place.name[1:]))) for path in found]
    if len({out for _, out in pairs}) < len(pairs):
        raise FormatError(f"several files of {folder} have the same name without its end", hint="rename one of them")
    return pairs


def _stem(path: Path) -> str:
    """Return a file's name without the end that tells its format."""
    from img2world.formats.files import find_suffix

    return path.name[: -len(find_suffix(path))].rstrip(".") or path.parent.name


def _convert(
    source: str,
    target: str,
    actions: "Sequence[Action]",
    turns: tuple[str, str],
    times: tuple[float | None, float],
    *,
    drop_nan: bool,
    lod: int,
    spz_version: int,
    as_json: bool,
) -> None:
    """Convert one file, and tell what was written.

    `turns` are the up axis of the source and the engine, or empty; `times` the moment of what moves and the frames a
    second.
    """
    import tempfile
    from contextlib import nullcontext

    from img2world.core.errors import FormatError
    from img2world.formats.actions import stand_up, turn_for_engine
    from img2world.formats.files import detect_suffix, find_suffix, read_whole, write_splats

    levels = [] if is_sequence(target) else _levels(target, lod)
    with tempfile.TemporaryDirectory() if "-" in (source, target) else nullcontext(".") as folder:
        if source == "-":
            path = Path(folder) / "stdin.ply"
            path.write_bytes(sys.stdin.buffer.read())
        else:
            path = Path(source)
        file = read_whole(path, drop_nan=drop_nan)
        if "left out" in file.details:
            warnings.warn(f"not read from {path.name}: {file.details['left out']}", stacklevel=2)
        up, engine = turns
        file = stand_up(file, up, detect_suffix(path)) if up else file
        file = at_moment(file, path, times[0])
        for action in actions:
            file = action(file)
        if len(file.gaussians) == 0:
            raise FormatError(
                "no Gaussians are left after the actions", hint="check their axes: `img2world inspect` tells the bounds"
            )
        if not levels:
            write_frames(file, target, engine, times[1], spz_version=spz_version, as_json=as_json)
            return
        for level, out in enumerate(levels):
            place = Path(folder) / "stdout.ply" if out == "-" else Path(out)
            suffix = find_suffix(place)
            file, options = content_for(file, suffix, lod=lod, fps=times[1], spz_version=spz_version)
            if level:
                from img2world.formats.actions import merge_neighbors

                file = merge_neighbors(file, lambda count: max(1, count // 3))
            turned = turn_for_engine(file, engine, suffix) if engine else file
            if "motion" in options:
                options["motion"] = turned.motion
            write_splats(turned.gaussians, place, options)
            if out == "-":
                sys.stdout.buffer.write(place.read_bytes())
            elif as_json:
                count = len(file.gaussians)
                say_json({"event": "written", "file": out, "gaussians": count, "bytes": place.stat().st_size})
            else:
                left_out = f", {file.broken:,} broken ones left out" if file.broken else ""
                say(
                    f"{out}  {len(file.gaussians):,} Gaussians, {place.stat().st_size / 1e6:.1f} MB{left_out}",
                    err=target == "-",
                )


def _levels(target: str, lod: int) -> list[str]:
    """Return the files to write: the target, or one for each level of detail. Raises FormatError for other names."""
    from img2world.core.errors import FormatError
    from img2world.formats.files import find_suffix

    if target == "-":
        return [target]
    suffix = find_suffix(Path(target))
    if lod == 0:
        return [target]
    if suffix == "meta.json":
        raise FormatError("the levels of detail of a meta.json would share its pictures", hint="write .sog files")
    return [f"{target[: -len(suffix)]}_lod{level}{suffix}" for level in range(lod)]
