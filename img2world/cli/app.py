"""The Typer application, its main help text, and the options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from img2world.cli.output import say

app = typer.Typer(
    name="img2world",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.OPTION=VALUE",
        help="Change one option of the recipe; repeatable. `img2world models NAME` lists the options of a backend; "
        "seed, metric and size have no section.",
    ),
]
BundleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bundle",
        metavar="TARGET[,TARGET...]",
        help="Add a folder with all that an engine needs: unity, unreal, godot, blender, web or quicklook; repeatable.",
    ),
]
SizeOption = Annotated[
    float | None,
    typer.Option(
        metavar="LENGTH",
        help="Longest side of an object in exported files without metres; 0 keeps the world's units.  [default: 1]",
    ),
]
MetricOption = Annotated[
    float | None,
    typer.Option(metavar="HEIGHT", help="Height of the subject in metres; exported files are then in metres."),
]
ZipOption = Annotated[bool, typer.Option("--zip", help="Write the bundles that --bundle names as zip files.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Redo this stage even if it is up to date.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for other programs.")]
AnywayOption = Annotated[
    bool, typer.Option("--anyway", help="Continue even if the doctor rejects the video or the cameras.")
]
LiveOption = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Watch in the browser: cameras, points, then the scene as it is trained, and a button that stops early.",
    ),
]
PortOption = Annotated[
    int | None, typer.Option(help="The port of --live.  [default: any free one]", min=0, max=65535, show_default=False)
]
BrowserOption = Annotated[bool, typer.Option("--browser/--no-browser", help="Whether --live opens a browser window.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `img2world run`.")]


@app.callback(invoke_without_command=True)
def main_options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """One picture in, a world out: a Gaussian-splat scene and files for browsers, engines and headsets.

    \b
    img2world run photo.jpg           make a world in runs/photo
    img2world view runs/photo         explore it in the browser
    img2world run chair.png --recipe object
    img2world run photos/             reconstruct a place from many photos
    img2world doctor                  check this machine: what is installed, what is missing
    img2world doctor clip.mp4         check a video: what is wrong with it, and what to do
    img2world models                  list all backends; `img2world models nano` shows its options

    \b
    Exit codes: 0 done; 1 the input, the options or the disk cannot be used (the message says why);
    2 wrong usage; 3 the video or its cameras are too poor to continue; 130 interrupted (run it again to resume).
    """
    if version:
        from importlib.metadata import version as version_of

        say(f"img2world {version_of('img2world')}")
        raise typer.Exit
