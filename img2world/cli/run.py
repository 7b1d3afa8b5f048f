"""Commands that make worlds and show them.

Everything heavy is imported inside them, so that `--help` answers at once.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2world.cli.app import AnywayOption, FreshOption, JsonOption, RunArgument, SetOption, app
from img2world.cli.output import exit_codes, listening, say, say_json
from img2world.core.errors import ImageError, RunFolderError

if TYPE_CHECKING:
    from img2world.runs.source import Source

WORLD_PAGE = "exports/world.html"


@app.command()
def run(
    source: Annotated[Path, typer.Argument(metavar="IMAGE|VIDEO|FOLDER", help="A picture, a video or photos.")],
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/NAME]")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or file, see `img2world recipes`.")] = None,
    changes: SetOption = None,
    image: Annotated[Path | None, typer.Option(help="The picture that a clip was made from; it ties a frame.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed invents other hidden sides.")] = None,
    metric: Annotated[
        float | None, typer.Option(metavar="HEIGHT", help="Of the subject in metres: files come in metres.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh/--resume", help="Start again, or go on where it was.")] = False,
    anyway: AnywayOption = False,
    as_json: JsonOption = False,
) -> None:
    """Turn a picture, a video or a folder of photos into a world.

    \b
    img2world run photo.jpg
    img2world run photo.jpg --recipe fast --out runs/first-look
    img2world run chair.png --set splat.steps=150 --set export.formats=ply,mesh
    img2world run walk.mp4
    img2world run clip.mp4 --image photo.jpg      a clip that was made from this photo
    img2world run folder-of-photos/

    A run that was stopped, even by a power cut, goes on with the same command.
    """
    with exit_codes(as_json):
        from img2world.cli.video_models import picture_recipe
        from img2world.pipeline import STAGES
        from img2world.runs.recipe import load_recipe
        from img2world.runs.source import RECIPES, find_source

        found = find_source(source)
        changes = [*(changes or []), *([] if seed is None else [f"seed={seed}"])]
        changes += [] if metric is None else [f"metric={metric}"]
        if image is not None:
            if found.kind != "video":
                raise ImageError(f"--image ties a frame of a video, {source} is none", hint="leave --image out")
            changes.append(f"video.still={json.dumps(str(image))}")
        name = recipe or (picture_recipe() if found.kind == "picture" else RECIPES[found.kind])
        made = load_recipe(name, changes)
        place = out or Path("runs") / found.name
        _run(found, made, place, as_json, fresh=STAGES if fresh else (), anyway=anyway)


@app.command()
def generate(
    run: RunArgument, changes: SetOption = None, fresh: FreshOption = False, as_json: JsonOption = False
) -> None:
    """Make only the video of a run: frames/ and video.mp4.

    \b
    img2world generate runs/photo --set trajectory.name=orbit
    """
    _run_stage(run, "video", changes, as_json, fresh=fresh)


@app.command()
def poses(
    run: RunArgument,
    changes: SetOption = None,
    fresh: FreshOption = False,
    anyway: AnywayOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find only the cameras of a run's frames: views/.

    \b
    img2world poses runs/photo --set poses.name=auto
    """
    _run_stage(run, "poses", changes, as_json, fresh=fresh, anyway=anyway)


@app.command()
def splat(
    run: RunArgument,
    changes: SetOption = None,
    fresh: FreshOption = False,
    anyway: AnywayOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reconstruct only the scene of a run: scene/.

    \b
    img2world splat runs/photo --set splat.steps=3000
    """
    _run_stage(run, "splat", changes, as_json, fresh=fresh, anyway=anyway)


@app.command()
def export(
    run: RunArgument,
    formats: Annotated[list[str] | None, typer.Argument(metavar="[FORMAT]…", help="Formats to add.")] = None,
    changes: SetOption = None,
    fresh: FreshOption = False,
    anyway: AnywayOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the files of a run: exports/.

    \b
    img2world export runs/photo
    img2world export runs/photo ply mesh --set export.mesh.max_faces=5000
    """
    _run_stage(run, "export", changes, as_json, fresh=fresh, anyway=anyway, formats=formats or [])


@app.command()
def batch(
    inputs: Annotated[Path, typer.Argument(metavar="FOLDER|LIST.csv", help="Pictures and videos, or a list.")],
    out: Annotated[Path, typer.Option(help="A folder; each input gets a run folder in it.")],
    jobs: Annotated[int, typer.Option(help="How many at the same time.", min=1, max=256)] = 1,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or file for all.")] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a world of each of many pictures; calling it again does only what is missing.

    A list is a CSV file with a column `input` and, if wanted, `name` and `recipe`.

    \b
    img2world batch photos/ --out runs/holiday
    img2world batch list.csv --out runs/many --jobs 4
    """
    with exit_codes(as_json):
        from img2world.runs.batch import read_inputs, run_batch

        entries = read_inputs(inputs)
        with listening(as_json) as listen:
            results = run_batch(entries, out, jobs=jobs, recipe=recipe or "", changes=changes or [], listen=listen)
        failed = [result for result in results if result.state != "done"]
        if as_json:
            say_json({"event": "finished", "out": str(out), "done": len(results) - len(failed), "failed": len(failed)})
        else:
            for result in failed:
                say(f"failed  {result.input}: {result.error}", err=True)
            say(f"{len(results) - len(failed)} of {len(results)} done, see {out / 'summary.html'}")
        if failed:
            raise typer.Exit(1)


@app.command()
def view(
    run: Annotated[Path, typer.Argument(metavar="RUN|HTML", help="A run folder, or a world.html.")],
    lan: Annotated[bool, typer.Option("--lan", help="Let phones and headsets in this network see it.")] = False,
    port: Annotated[int, typer.Option(help="The port; 0 takes any.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Walk through a world in the browser. Ctrl-C ends it.

    \b
    img2world view runs/photo
    img2world view runs/photo --lan      then open the address on a phone
    """
    with exit_codes():
        from img2world.runs.folder import check_inside
        from img2world.viewer.serve import EVERYWHERE, serve

        if run.is_dir():
            check_inside(run, WORLD_PAGE)
        page = run / WORLD_PAGE if run.is_dir() else run
        host = EVERYWHERE if lan else "127.0.0.1"
        serve(page, host=host, port=port, open_browser=browser, on_ready=lambda url: say(f"{url}  (Ctrl-C ends it)"))


def _run(source: "Source", recipe: Any, out: Path, as_json: bool, **how: Any) -> None:
    """Run the pipeline, show how it goes on, and say where to look."""
    from img2world.pipeline import run as run_pipeline
    from img2world.runs.report import summary_lines

    with listening(as_json) as listen:
        report = run_pipeline(source, recipe, out, listen=listen, **how)
    if as_json:
        say_json({"event": "finished", "out": str(out), **report})
        return
    for line in summary_lines(out, report):
        say(line)


def _run_stage(
    run: Path,
    stage: str,
    changes: list[str] | None,
    as_json: bool,
    *,
    fresh: bool,
    anyway: bool = False,
    formats: list[str] | None = None,
) -> None:
    """Do one stage of a run folder, and those before it where they are missing."""
    with exit_codes(as_json):
        from img2world.runs.folder import RECIPE
        from img2world.runs.recipe import load_recipe
        from img2world.runs.source import source_of_run

        source = source_of_run(run)
        saved = run / RECIPE
        if not saved.is_file():
            raise RunFolderError(f"the run has no recipe.toml: {run}", hint="call `img2world run` again")
        changes = list(changes or [])
        if formats:
            present = list(load_recipe(str(saved), changes).exports)
            changes.append("export.formats=" + ",".join(dict.fromkeys([*present, *formats])))
        _run(
            source,
            load_recipe(str(saved), changes),
            run,
            as_json,
            last=stage,
            fresh=(stage,) if fresh else (),
            anyway=anyway,
        )
