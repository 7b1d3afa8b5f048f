"""Commands that tell what there is and what is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from img2world.cli.app import JsonOption, app
from img2world.cli.output import exit_codes, say, say_json


@app.command()
def doctor(
    what: Annotated[
        Path | None, typer.Argument(metavar="[VIDEO|FOLDER|RUN]", help="A video, its frames, or a run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at this machine, or at a video or a run: what is wrong, where, how sure that is, and what to do.

    \b
    img2world doctor                  this machine: what will be used, what is missing, how to install it
    img2world doctor clip.mp4         can cameras be found in this video?
    img2world doctor runs/clip        what was found in a run's video, and how far its cameras can be trusted

    Exit code 3: the video or the cameras are too bad for a reconstruction.
    """
    with exit_codes(as_json):
        if what is not None:
            _examine(what, as_json)
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
def recipes() -> None:
    """List the recipes."""
    with exit_codes():
        from img2world.runs.recipe import recipe_description, recipe_names

        for name in recipe_names():
            say(f"{name:<10} {recipe_description(name)}")


@app.command()
def models(
    words: Annotated[list[str] | None, typer.Argument(metavar="[NAME | list | get | use | check]")] = None,
) -> None:
    """List the backends of every stage, or the options of one; get, choose and try the big video models.

    \b
    img2world models                   the backends of every stage
    img2world models nano              the options of one
    img2world models list              the big video models: size, GPU memory, licence, and which are here
    img2world models get wan           fetch the weights; it goes on where it stopped
    img2world models use wan FOLDER    use weights that you have
    img2world models check wan         load them, make one tiny clip, say what a whole one would take
    """
    with exit_codes():
        for line in _model_lines(words or []):
            say(line)


@app.command()
def formats() -> None:
    """List the file formats that a scene can be exported to."""
    with exit_codes():
        from img2world.cli.catalog import list_formats

        for line in list_formats():
            say(line)


def _examine(what: Path, as_json: bool) -> None:
    """Say what is wrong with a video or a run."""
    from img2world.runs.examination import examine_path

    found = examine_path(what)
    for finding in found.findings:
        if as_json:
            say_json(vars(finding))
        else:
            say(f"{finding.severity:<8} {finding.line()}\n{'':<9}{finding.advice}")
    if as_json:
        say_json({"event": "finished", "rejected": found.rejected, "cameras": found.cameras})
    else:
        for line in found.summary():
            say(line)
    if found.rejected:
        raise typer.Exit(3)


def _model_lines(words: list[str]) -> Iterator[str]:
    """What `img2world models` shows for its words."""
    from img2world.cli.catalog import describe_backend, list_backends

    if not words:
        yield from list_backends()
        return
    action, *rest = words
    counts = {"list": 0, "get": 1, "use": 2, "check": 1}
    if len(rest) != counts.get(action, 0):
        needs = {"get": "a name", "use": "a name and a folder", "check": "a name"}.get(action, "nothing after it")
        raise typer.BadParameter(f"{action} needs {needs}, see img2world models --help")
    if action not in counts:
        yield from describe_backend(action)
        return
    from img2world.cli.video_models import check_model, get_model, list_models, use_model

    if action == "list":
        yield from list_models()
    elif action == "use":
        yield from use_model(rest[0], Path(rest[1]))
    else:
        yield from (get_model if action == "get" else check_model)(rest[0])
