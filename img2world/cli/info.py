"""Commands that list what is available and diagnose problems: doctor, recipes, models, formats."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from img2world.cli.app import JsonOption, app
from img2world.cli.output import exit_codes, say, say_json


@app.command()
def doctor(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="PHOTO|VIDEO|FOLDER|RUN|ASSET",
            help="A photo, a video, a folder of frames, a run, or a splat or mesh file.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, a run, a photo, video, splat or mesh.

    Each finding says what is wrong, where, how certain that is, and what to do.

    \b
    img2world doctor                  this machine: what is used, what is missing, how to install it
    img2world doctor photo.jpg        what does it show, and what in it will disappoint?
    img2world doctor clip.mp4         can a scene be reconstructed from this video?
    img2world doctor runs/clip        what was found in a run's video, and how reliable its cameras are

    \b
    img2world doctor scan.spz         a splat or mesh file: what each reader makes of it, and what is suspicious

    Exit code 3: the video or the cameras are too poor for a reconstruction, or a reader rejects the file, or readers
    disagree about it.
    """
    with exit_codes(as_json):
        if target is not None:
            _examine(target, as_json)
            return
        from img2world.doctor.environment import examine_environment

        for finding in examine_environment(Path.cwd()):
            if as_json:
                say_json(vars(finding))
            else:
                say(f"{finding.state:<8} {finding.name:<20} {finding.found}")
                if finding.advice:
                    say(f"{'':<30}{finding.advice}")


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The recipe to print.")] = None,
) -> None:
    """List the recipes that come with the program, or print one.

    A recipe names the backends and the options that differ from their defaults.
    """
    with exit_codes():
        from img2world.runs.recipe import recipe_description, recipe_names, recipe_path

        if name:
            say(recipe_path(name).read_text(encoding="utf-8").rstrip())
            return
        for known in recipe_names():
            say(f"{known:<10} {recipe_description(known)}")


@app.command()
def models(
    words: Annotated[list[str] | None, typer.Argument(metavar="NAME|list|get|use|check")] = None,
) -> None:
    """List backends and their options; get big video models.

    Options are shown with the defaults of the backend. A recipe may change them (`img2world recipes auto`); the
    recipe.toml of a run has the values that it used.

    \b
    img2world models                   list the backends of every stage
    img2world models nano              list the options of one backend and their defaults
    img2world models list              list the big video models: size, GPU memory, licence, installed or not
    img2world models get wan           download the weights; run it again to resume
    img2world models use wan FOLDER    use weights that are already on this machine
    img2world models check wan         load the weights, make a tiny clip, estimate what a full one takes
    """
    with exit_codes():
        for line in _model_lines(words or []):
            say(line)


@app.command()
def formats() -> None:
    """List the file formats to which a scene can be exported."""
    with exit_codes():
        from img2world.cli.catalog import list_formats

        for line in list_formats():
            say(line)


def _examine(path: Path, as_json: bool) -> None:
    """Print what is wrong with a photo, a video, a run or a file; exit with code 3 when it is rejected."""
    from img2world.doctor.asset import is_asset
    from img2world.runs.examination import examine_path

    if is_asset(path):
        _examine_asset(path, as_json)
        return

    examination = examine_path(path)
    for finding in examination.findings:
        if as_json:
            say_json(vars(finding))
        else:
            say(f"{finding.severity:<8} {finding.line()}\n{'':<9}{finding.advice}")
    if as_json:
        say_json({"event": "finished", "rejected": examination.rejected, "cameras": examination.cameras})
    else:
        for line in examination.summary():
            say(line)
    if examination.rejected:
        raise typer.Exit(3)


def _examine_asset(path: Path, as_json: bool) -> None:
    """Print what readers make of a splat or mesh file; exit with code 3 when one rejects it or they disagree."""
    from img2world.doctor.asset import examine_asset

    examination = examine_asset(path)
    if as_json:
        say_json({"event": "finished", **examination.as_json()})
    else:
        for reading in examination.readings:
            say(reading.line())
        for warning in examination.warnings:
            say(f"warning  {warning}")
        say(examination.verdict())
    if examination.rejected:
        raise typer.Exit(3)


def _model_lines(words: list[str]) -> Iterator[str]:
    """Yield what `img2world models` prints for its arguments."""
    from img2world.cli.catalog import describe_backend, list_backends

    if not words:
        yield from list_backends()
        return
    action, *rest = words
    operands = {"list": (), "get": ("a name",), "use": ("a name", "a folder"), "check": ("a name",)}.get(action, ())
    if len(rest) != len(operands):
        needed = " and ".join(operands) or "no further words"
        raise typer.BadParameter(f"`models {action}` takes {needed}, see img2world models --help")
    if not operands and action != "list":
        yield from describe_backend(action)
        return
    from img2world.cli.video_models import check_model, get_model, list_models, use_model

    if action == "list":
        yield from list_models()
    elif action == "use":
        yield from use_model(rest[0], Path(rest[1]))
    else:
        yield from (get_model if action == "get" else check_model)(rest[0])
