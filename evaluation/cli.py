"""`img2world eval`: quality where the truth is known."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2world.cli.app import JsonOption, SetOption
from img2world.cli.output import exit_codes, listening, say, say_json

if TYPE_CHECKING:
    from evaluation.orbit_benchmark import OrbitOptions

evaluation = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure quality where the truth is known.")


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
        from evaluation.baselines import BASELINES
        from evaluation.ladder import RUNGS
        from evaluation.orbit_benchmark import OrbitOptions

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
    first: Annotated[int, typer.Option(help="First seed.", min=0)] = 0,
    seeds: Annotated[int, typer.Option(help="Times each.", min=1)] = 3,
    scenes: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Posed photos, as views/ of a run, instead of orbits.")
    ] = None,
    size: Annotated[int, typer.Option(help="Pixels along each side of the frames.", min=64)] = 256,
    kept: Annotated[
        Path | None,
        typer.Option("--rows", metavar="FILE", help="Add rows to this file; those in it are not made again."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the cameras that solvers find with the true ones, on rendered orbits that are spoilt on purpose.

    \b
    img2world eval poses                                   objects and rooms made by seed
    img2world eval poses --assets my-models/ --count 10
    img2world eval poses --solver auto --solver colmap --path circle --dose hard
    img2world eval poses --scenes posed-photos/            yours, whose cameras are known

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
        from evaluation import pose_tables, poses

        options = poses.pose_options(
            assets=assets,
            count=count,
            first=first,
            seeds=seeds,
            size=size,
            scenes=scenes,
            ways=path,
            doses=dose,
            solvers=solver,
        )
        rows = pose_tables.read_rows(kept) if kept else []
        for row in poses.evaluate_poses(options, known={row.key for row in rows}):
            rows.append(row)
            if kept:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(pose_tables.as_json(row)) + "\n")
            if as_json:
                say_json(pose_tables.as_json(row))
            else:
                found = f"{row.score.auc30:5.1f}  {row.grade or '-'}  {row.used}"
                say(f"{row.case:<28}{row.seed} {row.way:<7}{row.dose:<6}{row.solver:<20}{found}", err=True)
        if not as_json:
            for line in [*pose_tables.mean_lines(rows), "", *pose_tables.confusion_lines(rows)]:
                say(line)


@evaluation.command(name="doctor")
def eval_doctor(
    dose: Annotated[list[str] | None, typer.Option(help="clean, mild or hard.  [default: clean and hard]")] = None,
    first: Annotated[int, typer.Option(help="First seed.", min=0)] = 0,
    seeds: Annotated[int, typer.Option(help="Clips of each fault.", min=1)] = 2,
    as_json: JsonOption = False,
) -> None:
    """How many faults put into videos the doctor finds, where they are, and how many it imagines.

    
    img2world eval doctor --seeds 1 --dose clean
    """
    with exit_codes(as_json):
        from dataclasses import asdict

        from evaluation.doctor_benchmark import evaluate_doctor, precision_lines, recall_lines

        rows = []
        for row in evaluate_doctor(first=first, seeds=seeds, doses=tuple(dose or ("clean", "hard"))):
            rows.append(row)
            if as_json:
                say_json(asdict(row))
            else:
                say(f"{row.dose:<6}{row.seed} {row.fault:<34}{', '.join(row.found) or 'nothing'}", err=True)
        if not as_json:
            for line in [*recall_lines(rows), "", *precision_lines(rows)]:
                say(line)


def _evaluate_orbit(options: "OrbitOptions", out: Path, as_json: bool) -> None:
    """Show each row as it comes, then the means."""
    from dataclasses import asdict

    from rich.console import Console

    from evaluation.orbit_benchmark import evaluate
    from evaluation.orbit_tables import case_table, markdown, mean_rows, mean_table

    rows = []
    with listening(as_json) as listen:
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
