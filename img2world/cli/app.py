"""The program, what it says of itself, and the options that several commands share."""

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
    typer.Option("--set", metavar="SECTION.FIELD=VALUE", help="Change one option of the recipe; may be repeated."),
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Do it again although it is done.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for programs.")]
AnywayOption = Annotated[bool, typer.Option("--anyway", help="Go on although the doctor rejects video or cameras.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `img2world run` made.")]


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """One picture in, a world out.

    \b
    img2world run photo.jpg           a world in runs/photo
    img2world view runs/photo         walk through it in the browser
    img2world run chair.png --recipe object
    img2world run photos/             from many photos of one place
    img2world doctor                  what this machine has and lacks
    img2world doctor clip.mp4         what is wrong with a video
    img2world models                  the backends; `img2world models nano` shows options

    \b
    Exit codes: 0 done, 1 the input, options or disk cannot be used (one line says why),
    2 usage, 3 the video or its cameras are too bad to go on, 130 interrupted (the same command goes on).
    """
    if version:
        from importlib.metadata import version as version_of

        say(f"img2world {version_of('img2world')}")
        raise typer.Exit
