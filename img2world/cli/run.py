"""Commands that make worlds and show them: run, the single stages, batch and view.

Heavy modules are imported inside the commands, so that `--help` is fast.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2world.cli.app import (
    AnywayOption,
    BrowserOption,
    BundleOption,
    FreshOption,
    JsonOption,
    LiveOption,
    MetricOption,
    PortOption,
    RunArgument,
    SetOption,
    SizeOption,
    ZipOption,
    app,
)
from img2world.cli.live import LiveOptions, followed, live_options
from img2world.cli.output import exit_codes, listening, say, say_json
from img2world.cli.recipe_changes import (
    bundle_changes,
    bundle_targets,
    export_changes,
    measure_changes,
    quality_changes,
)
from img2world.core.errors import ImageError, RunFolderError

if TYPE_CHECKING:
    from img2world.runs.recipe import Recipe
    from img2world.runs.source import Source

WORLD_PAGE = "exports/world.html"


@app.command()
def run(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE|VIDEO|FOLDER",
            help="A picture, a video, photos, a posed dataset, or a folder of several videos.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The run folder to write.  [default: runs/NAME]")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="The name or the file of a recipe; see `img2world recipes`.")
    ] = None,
    changes: SetOption = None,
    image: Annotated[
        Path | None, typer.Option(help="The picture that the clip was made from; replaces the frame that shows it.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random; another seed invents other hidden sides.")
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            metavar="draft|normal|high",
            help="Of videos, photos and datasets: steps and Gaussians by the number of views, and size of pictures.",
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="ROWSxCOLUMNS",
            help="Of a picture or video that shows a moving thing from several sides, as SV4D makes it: in a picture "
            "each row is a viewpoint and each column a time, in a video each cell is a viewpoint.",
        ),
    ] = None,
    subject: Annotated[
        bool,
        typer.Option(
            "--subject",
            help="Reconstruct only the thing that a video, photos or a dataset turn around, or a picture shows: an "
            "object with a closed mesh, without what it stands on. Same as --set subject.kind=object.",
        ),
    ] = False,
    metric: MetricOption = None,
    size: SizeOption = None,
    bundle: BundleOption = None,
    zipped: ZipOption = False,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Start over, or resume and keep what is up to date.")
    ] = False,
    anyway: AnywayOption = False,
    live: LiveOption = False,
    port: PortOption = None,
    browser: BrowserOption = True,
    as_json: JsonOption = False,
) -> None:
    """Make a world from a picture, videos, photos or a posed dataset.

    \b
    img2world run photo.jpg
    img2world run photo.jpg --live                watch it in the browser, and stop early from there
    img2world run photo.jpg --recipe fast --out runs/first-look
    img2world run chair.png --set splat.steps=150 --set export.formats=ply,mesh
    img2world run walk.mp4
    img2world run clip.mp4 --image photo.jpg      a clip that a video model made from this photo
    img2world run folder-of-photos/ --quality draft
    img2world run folder-of-photos/ --subject     only the thing that they turn around, as an object
    img2world run dataset/                        photos with cameras: COLMAP, nerfstudio, Blender, Polycam, …
    img2world run cameras/                        in motion: cam_00.mp4, cam_01.mp4, … of the same moments
    img2world run views.mp4 --grid 2x4            in motion: a video of 8 views, side by side
    img2world run around-a-dancer.mp4 --recipe moving

    Run the same command again to resume a run that was interrupted, even by a power cut.
    """
    with exit_codes(as_json):
        from img2world.cli.video_models import picture_recipe
        from img2world.pipeline import STAGES
        from img2world.runs.recipe import load_recipe, options_of
        from img2world.runs.source import find_source

        found = find_source(source)
        # Options that are set one by one count more than the quality.
        alone = ["subject.kind=object"] if subject else []
        if grid is not None:
            found = replace(found, kind="matrix")
        name = recipe or (picture_recipe() if found.kind == "picture" else found.default_recipe)
        changes = [
            *quality_changes(quality, found, name),
            *alone,
            *(changes or []),
            *([] if seed is None else [f"seed={seed}"]),
        ]
        changes += measure_changes(metric, size)
        if image is not None:
            if found.kind != "video":
                raise ImageError(f"--image needs a video, this is a {found.kind}: {source}", hint="leave --image out")
            changes.append(f"video.still={json.dumps(str(image))}")
        if grid is not None:
            changes.append(f"video.grid={json.dumps(grid)}")
        changes += export_changes(name, changes, [], bundle, zipped=zipped)
        loaded = load_recipe(name, changes)
        if found.kind in ("picture", "video") and options_of(loaded.video).get("grid"):
            found = replace(found, kind="matrix")
        folder = out or Path("runs") / found.name
        watch = live_options(live, port, browser=browser)
        _run(found, loaded, folder, as_json, watch, fresh=STAGES if fresh else (), anyway=anyway)


@app.command()
def generate(
    run: RunArgument, changes: SetOption = None, fresh: FreshOption = False, as_json: JsonOption = False
) -> None:
    """Make the video of a run and stop: frames/ and video.mp4.

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
    """Find the cameras of a run's frames and stop: views/.

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
    live: LiveOption = False,
    port: PortOption = None,
    browser: BrowserOption = True,
    as_json: JsonOption = False,
) -> None:
    """Reconstruct the scene of a run and stop: scene/.

    \b
    img2world splat runs/photo --set splat.steps=3000
    img2world splat runs/photo --fresh --live      watch the training in the browser
    """
    watch = live_options(live, port, browser=browser)
    _run_stage(run, "splat", changes, as_json, watch, fresh=fresh, anyway=anyway)


@app.command()
def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|SPLATS", help="A run folder made by `img2world run`, or a splat file.")
    ],
    formats: Annotated[
        list[str] | None,
        typer.Argument(metavar="FORMAT", help="Formats to add to those of the run; see `img2world formats`."),
    ] = None,
    changes: SetOption = None,
    metric: MetricOption = None,
    size: SizeOption = None,
    bundle: BundleOption = None,
    zipped: ZipOption = False,
    fresh: FreshOption = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for the files made from a splat file.  [default: exports/NAME]"),
    ] = None,
    anyway: AnywayOption = False,
    as_json: JsonOption = False,
) -> None:
    """Export the scene of a run, or any splat file.

    A splat file becomes a mesh, a turntable and a web page if no format is named.

    \b
    img2world export runs/photo
    img2world export runs/photo ply mesh --set export.mesh.max_faces=5000
    img2world export runs/photo --bundle unity,godot --size 100
    img2world export scan.spz mesh turntable --out files/
    """
    measures = measure_changes(metric, size)
    if run.is_file():
        from img2world.cli.splats import export_splats

        if measures:
            raise typer.BadParameter("--size and --metric are for runs; scale a splat file: img2world convert --scale")
        options = bundle_changes(bundle_targets(bundle, zipped=zipped))
        formats = [*(formats or []), *(["bundle"] if bundle else [])]
        export_splats(run, formats, [*(changes or []), *options], out or Path("exports") / run.stem, as_json)
        return
    if out is not None:
        raise typer.BadParameter("the files of a run are in its exports/; only a splat file needs --out")
    bundles = {"bundle": bundle, "zipped": zipped}
    changes = [*(changes or []), *measures]
    _run_stage(run, "export", changes, as_json, fresh=fresh, anyway=anyway, formats=formats or [], **bundles)


@app.command()
def batch(
    inputs: Annotated[
        Path, typer.Argument(metavar="FOLDER|LIST.csv", help="A folder of pictures and videos, or a list of them.")
    ],
    out: Annotated[Path, typer.Option(help="The folder in which each input gets its own run folder.")],
    jobs: Annotated[int, typer.Option(help="Number of runs at the same time.", min=1, max=256)] = 1,
    recipe: Annotated[
        str | None, typer.Option(help="The recipe of all inputs whose row names none.  [default: by the kind of input]")
    ] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a world from each of many inputs. Run it again to do what is missing, failed or changed.

    A list is a CSV file with a column `input` and, optionally, `name` and `recipe`.

    \b
    img2world batch photos/ --out runs/holiday
    img2world batch list.csv --out runs/many --jobs 4
    """
    with exit_codes(as_json):
        from img2world.runs.batch import run_batch
        from img2world.runs.batch_list import read_inputs
        from img2world.runs.files import quoted

        entries = read_inputs(inputs)
        with listening(as_json) as listen:
            results = run_batch(entries, out, jobs=jobs, recipe=recipe or "", changes=changes or [], listen=listen)
        failed = [result for result in results if result.state != "done"]
        if as_json:
            say_json({"event": "finished", "out": str(out), "done": len(results) - len(failed), "failed": len(failed)})
        else:
            for result in failed:
                say(f"failed  {result.input}: {result.error}", err=True)
            say(f"{len(results) - len(failed)} of {len(results)} done, see {quoted(out / 'summary.html')}")
        if failed:
            raise typer.Exit(1)


@app.command()
def view(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|HTML|SPLATS", help="A run folder, a world.html file, or a splat file.")
    ],
    lan: Annotated[bool, typer.Option("--lan", help="Serve it to phones and headsets in the local network.")] = False,
    port: Annotated[int, typer.Option(help="The port to serve on; 0 picks a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
) -> None:
    """Explore a world in the browser. Press Ctrl-C to stop serving it.

    \b
    img2world view runs/photo
    img2world view runs/photo --lan      open the printed address on a phone
    img2world view scan.spz              any splat file that `img2world convert` reads
    """
    with exit_codes():
        from img2world.cli.splats import page_of_file
        from img2world.runs.examination import check_has_world
        from img2world.runs.folder import check_inside
        from img2world.viewer.serve import EVERYWHERE, serve

        if not run.exists():
            raise RunFolderError(f"there is nothing at {run}", hint="give a run folder, a page or a splat file")
        if run.is_dir():
            check_inside(run, WORLD_PAGE)
            check_has_world(run)
        page = run / WORLD_PAGE if run.is_dir() else page_of_file(run)
        host = EVERYWHERE if lan else "127.0.0.1"
        serve(page, host=host, port=port, open_browser=browser, on_ready=lambda url: say(f"{url}  (Ctrl-C to stop)"))


def _run(
    source: "Source", recipe: "Recipe", out: Path, as_json: bool, live: LiveOptions | None = None, **options: Any
) -> None:
    """Run the pipeline, show its progress, and print where the results are."""
    from img2world.pipeline import run as run_pipeline
    from img2world.runs.report import summary_lines

    report = followed(partial(run_pipeline, source, recipe, out, **options), source, out, live, as_json=as_json)
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
    live: LiveOptions | None = None,
    *,
    fresh: bool,
    anyway: bool = False,
    formats: list[str] | None = None,
    bundle: list[str] | None = None,
    zipped: bool = False,
) -> None:
    """Run a stage of a run folder, and those before it where they are missing or out of date."""
    with exit_codes(as_json):
        from img2world.runs.folder import RECIPE
        from img2world.runs.recipe import load_recipe
        from img2world.runs.source import source_of_run

        source = source_of_run(run)
        saved = run / RECIPE
        if not saved.is_file():
            raise RunFolderError(f"the run has no recipe.toml: {run}", hint="run `img2world run` again")
        changes = list(changes or [])
        changes += export_changes(str(saved), changes, formats or [], bundle, zipped=zipped)
        _run(
            source,
            load_recipe(str(saved), changes),
            run,
            as_json,
            live,
            last=stage,
            fresh=(stage,) if fresh else (),
            anyway=anyway,
        )
