"""The command line. Only this file prints, exits or knows Typer.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2world.core.errors import ImageError, Img2WorldError, RejectedError, RunFolderError

if TYPE_CHECKING:
    from img2world.evaluation.orbit import OrbitOptions
    from img2world.run_folder import Listener
    from img2world.source import Source

app = typer.Typer(
    name="img2world",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

evaluation = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure quality where the truth is known.")
app.add_typer(evaluation, name="eval")

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.FIELD=VALUE", help="Change one option of the recipe; may be repeated."),
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Do it again although it is done.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for programs.")]
AnywayOption = Annotated[bool, typer.Option("--anyway", help="Go on although the doctor rejects video or cameras.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `img2world run` made.")]


@app.command()
def run(
    source: Annotated[Path, typer.Argument(metavar="IMAGE|VIDEO|FOLDER", help="A picture, a video or photos.")],
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/NAME]")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or file, see `img2world recipes`.")] = None,
    changes: SetOption = None,
    image: Annotated[Path | None, typer.Option(help="The picture that a clip was made from; it ties a frame.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed invents other hidden sides.")] = None,
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
        from img2world.models import picture_recipe
        from img2world.pipeline import STAGES
        from img2world.recipe import load_recipe
        from img2world.source import RECIPES, find_source

        found = find_source(source)
        changes = [*(changes or []), *([] if seed is None else [f"seed={seed}"])]
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
        from img2world.viewer.serve import EVERYWHERE, serve

        page = run / "exports" / "world.html" if run.is_dir() else run
        host = EVERYWHERE if lan else "127.0.0.1"
        serve(page, host=host, port=port, open_browser=browser, on_ready=lambda url: say(f"{url}  (Ctrl-C ends it)"))


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
        from img2world.recipe import recipe_description, recipe_names

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
        from img2world.catalog import list_formats

        for line in list_formats():
            say(line)


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
        from img2world.batch import read_inputs, run_batch

        entries = read_inputs(inputs)
        with _listening(as_json) as listen:
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


@evaluation.command()
def orbit(
    assets: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER|MANIFEST.csv", help="GLB and OBJ files.  [default: models made by seed]"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:FIELD=VALUE,…]", help="A video backend; may be repeated.  [default: nano]"),
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help="copy, billboard, true-depth or true-layers.  [default: all]")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where results are kept; what is there is not done again.")] = Path(
        "runs/eval-orbit"
    ),
    count: Annotated[int, typer.Option(help="At most so many objects.  [default: all, or 12 made by seed]")] = 0,
    rooms: Annotated[int, typer.Option(help="How many scenes made by seed.")] = 4,
    scenes: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Posed photos with depth, as views/ of a run.")
    ] = None,
    size: Annotated[int, typer.Option(help="Pixels along each side of the frames: 256 or 576.")] = 256,
    z_up: Annotated[str, typer.Option(metavar="PATTERN", help="Files that stand along +Z, such as 'ycb/*'.")] = "",
    alpha: Annotated[bool, typer.Option("--alpha/--no-alpha", help="Give the model the photo's cut-out.")] = True,
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Measure FLIP, too.")] = True,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="Go on to the splat and the mesh, with ever less told.")
    ] = False,
    rung: Annotated[
        list[str] | None, typer.Option(help="true depth, true poses, true video or photo.  [default: all]")
    ] = None,
    changes: SetOption = None,
    seed: Annotated[int, typer.Option(help="Of the models that are evaluated.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare generated orbits with true ones: photo in, frames all around it judged against renders of the model.

    \b
    img2world eval orbit                                     anywhere, no data: objects and rooms made by seed
    img2world eval orbit --assets my-models/                 your GLB and OBJ files
    img2world eval orbit --assets manifest.csv               every third file of a list, those never trained on
    img2world eval orbit --model nano --model nano:supersample=1
    img2world eval orbit --count 3 --ladder --set splat.steps=200

    \b
    PSNR, object dB (within the silhouettes), SSIM: more is better.  IoU: of the silhouettes, 1 is right.
    FLIP: visible difference, 0 is right.  flicker: change between frames, 1 is that of the truth.
    depth MAE: of the photo's view, as a share of the object's radius.  AbsRel, δ1: after one scale.
    copy and billboard know nothing; true-depth and true-layers know the truth and are ceilings.
    """
    with exit_codes(as_json):
        from img2world.evaluation.baselines import BASELINES
        from img2world.evaluation.ladder import RUNGS
        from img2world.evaluation.orbit import OrbitOptions

        options = OrbitOptions(
            models=tuple(model or ["nano"]),
            baselines=tuple(baseline or BASELINES),
            assets=assets,
            z_up=z_up,
            count=count,
            rooms=rooms,
            scenes=scenes,
            size=size,
            seed=seed,
            alpha=alpha,
            flip=flip,
            ladder=tuple(rung or RUNGS) if ladder or rung else (),
            changes=tuple(changes or []),
        )
        _evaluate_orbit(options, out, as_json)


@evaluation.command(name="poses")
def eval_poses(
    assets: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER|MANIFEST.csv", help="GLB and OBJ files.  [default: objects made by seed]"),
    ] = None,
    solver: Annotated[list[str] | None, typer.Option(help="A pose solver; may be repeated.  [default: auto]")] = None,
    path: Annotated[list[str] | None, typer.Option(help="circle, wobble or room.  [default: all]")] = None,
    dose: Annotated[list[str] | None, typer.Option(help="clean, mild or hard.  [default: clean and hard]")] = None,
    count: Annotated[int, typer.Option(help="At most so many objects, and rooms.", min=1)] = 12,
    seeds: Annotated[int, typer.Option(help="Times each.", min=1)] = 3,
    size: Annotated[int, typer.Option(help="Pixels along each side of the frames.", min=64)] = 256,
    as_json: JsonOption = False,
) -> None:
    """Compare the cameras that solvers find with the true ones, on rendered orbits that are spoilt on purpose.

    \b
    img2world eval poses                                   objects and rooms made by seed
    img2world eval poses --assets my-models/ --count 10
    img2world eval poses --solver auto --solver colmap --path circle --dose hard

    \b
    circle: 21 frames around an object; wobble: 36 that rise and fall by 12 degrees; room: 30 along 80 degrees.
    The told path is 8 degrees too high or too low, its focal length a quarter too long or too short.
    hard: blur, a smooth bend of 2 pixels in each frame, flicker of 15 %, noise and JPEG.

    \b
    RRA, RTA: pairs of frames whose turn (direction) is within 5 or 15 degrees, in percent.
    AUC@30: their mean over 1 to 30 degrees. Frames that were not placed count as wrong.
    Then how many clips of each grade were right: A and B promise an AUC@30 of 80.
    """
    with exit_codes(as_json):
        from img2world.evaluation import poses

        options = poses.pose_options(
            assets=assets, count=count, seeds=seeds, size=size, ways=path, doses=dose, solvers=solver
        )
        rows = []
        for row in poses.evaluate_poses(options):
            rows.append(row)
            if as_json:
                say_json(poses.as_json(row))
            else:
                found = f"{row.score.auc30:5.1f}  {row.grade or '-'}  {row.used}"
                say(f"{row.case:<28}{row.seed} {row.way:<7}{row.dose:<6}{row.solver:<20}{found}", err=True)
        if not as_json:
            for line in [*poses.mean_lines(rows), "", *poses.confusion_lines(rows)]:
                say(line)


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


@contextmanager
def exit_codes(as_json: bool = False) -> Iterator[None]:
    """Turn errors that a user can act on into one line, a hint and exit code 1, and Ctrl-C into 130."""
    try:
        yield
    except Img2WorldError as error:
        if as_json:
            say_json({"event": "error", "message": str(error), "hint": error.hint})
        say(f"img2world: {error}\n  hint: {error.hint}", err=True)
        raise typer.Exit(3 if isinstance(error, RejectedError) else 1) from error
    except KeyboardInterrupt as error:
        say("img2world: interrupted; the same command goes on where it was", err=True)
        # Where Ctrl-C falls into code that a library made from text, CPython notes for good that nobody handled
        # it, and ends by the signal whatever we exit with. Running any text clears the note.
        exec("")
        raise typer.Exit(130) from error


def _examine(what: Path, as_json: bool) -> None:
    """Say what is wrong with a video or a run."""
    from img2world.examination import examine_path

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


def say(text: str, *, err: bool = False) -> None:
    """Print a line."""
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def say_json(value: Any) -> None:
    """Print an object as one line of JSON."""
    from img2world.listeners import json_text

    say(json_text(value))


def main() -> None:
    """Run the command that was typed."""
    import warnings

    warnings.formatwarning = lambda message, *_args, **_kwargs: f"img2world: {message}\n"
    app()


def _model_lines(words: list[str]) -> Iterator[str]:
    """What `img2world models` shows for its words."""
    from img2world.catalog import describe_backend, list_backends

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
    from img2world.models import check_model, get_model, list_models, use_model

    if action == "list":
        yield from list_models()
    elif action == "use":
        yield from use_model(rest[0], Path(rest[1]))
    else:
        yield from (get_model if action == "get" else check_model)(rest[0])


@contextmanager
def _listening(as_json: bool) -> "Iterator[Listener]":
    """Show progress as bars in a terminal, as lines elsewhere, as JSON where asked."""
    from img2world.listeners import bars, json_lines, plain_lines

    if as_json:
        yield json_lines(say)
    elif sys.stderr.isatty():
        from rich.console import Console

        with bars(Console(stderr=True)) as listen:
            yield listen
    else:
        yield plain_lines(lambda text: say(text, err=True))


def _evaluate_orbit(options: "OrbitOptions", out: Path, as_json: bool) -> None:
    """Show each row as it comes, then the means."""
    from dataclasses import asdict

    from rich.console import Console

    from img2world.evaluation.orbit import evaluate
    from img2world.evaluation.tables import case_table, markdown, mean_rows, mean_table

    rows = []
    with _listening(as_json) as listen:
        for row in evaluate(options, out, listen=listen):
            rows.append(row)
            if as_json:
                say_json({"event": "row", **asdict(row)})
    if as_json:
        for mean in mean_rows(rows):
            say_json({"event": "mean", **asdict(mean)})
        return
    (out / "means.md").write_text("\n".join(markdown(rows)) + "\n", encoding="utf-8")
    console = Console(width=None if sys.stdout.isatty() else 180)
    for name in dict.fromkeys(row.case for row in rows):
        console.print(case_table([row for row in rows if row.case == name]))
    console.print(mean_table(rows))
    say(f"pictures in {out / 'sheets'} (truth above), means in {out / 'means.md'}")


def _run(source: "Source", recipe: Any, out: Path, as_json: bool, **how: Any) -> None:
    """Run the pipeline, show how it goes on, and say where to look."""
    from img2world.pipeline import run as run_pipeline
    from img2world.report import summary_lines

    with _listening(as_json) as listen:
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
        from img2world.recipe import load_recipe
        from img2world.run_folder import RECIPE
        from img2world.source import source_of_run

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


if __name__ == "__main__":
    main()
