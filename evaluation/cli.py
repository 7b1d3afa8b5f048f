"""The command line: `python -m evaluation orbit|poses|depth|doctor|motion`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2world.cli.app import JsonOption, SetOption
from img2world.cli.output import exit_codes, listening, say, say_json

if TYPE_CHECKING:
    from evaluation.orbit_benchmark import OrbitOptions

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AssetsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER|FILE",
        help="GLB and OBJ files: a folder, a file or a manifest.csv.  [default: procedural objects]",
    ),
]
DegradationOption = Annotated[
    list[str] | None,
    typer.Option(help="clean, mild or hard; may be repeated.  [default: clean and hard]"),
]
FirstOption = Annotated[int, typer.Option(help="First seed.", min=0)]


@app.callback()
def main() -> None:
    """Measure img2world against ground truth.

    \b
    python -m evaluation orbit --count 3      videos made from one photo, against renders
    python -m evaluation poses --count 4      pose solvers, on orbits with known cameras
    python -m evaluation depth photos/        depth of scenes, on photos with marked points
    python -m evaluation doctor --seeds 1     the doctor, on videos with known faults
    python -m evaluation motion               what moves, seen by several cameras or by one that goes around

    \b
    Only depth needs data: objects, rooms and faults are generated from seeds. `--assets` takes your own models.
    """


@app.command()
def orbit(
    assets: AssetsOption = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:FIELD=VALUE,…]", help="A video backend; may be repeated.  [default: nano]"),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(help="copy, billboard, true-depth or true-layers; may be repeated.  [default: all]"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results; what is there is not measured again.")] = Path(
        "runs/orbit"
    ),
    count: Annotated[
        int, typer.Option(help="Maximum number of objects.  [default: all files, or 12]", show_default=False)
    ] = 0,
    rooms: Annotated[int, typer.Option(help="Number of procedural rooms.")] = 4,
    scenes: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Posed photos with depth, such as views/ of a run.")
    ] = None,
    size: Annotated[int, typer.Option(help="Pixels along each side of the frames: 256 or 576.")] = 256,
    z_up: Annotated[str, typer.Option(metavar="PATTERN", help="Files that have +Z up, such as 'ycb/*'.")] = "",
    alpha: Annotated[bool, typer.Option("--alpha/--no-alpha", help="Give backends the photo's alpha.")] = True,
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Measure FLIP, too.")] = True,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="Also reconstruct splat and mesh from ever less ground truth.")
    ] = False,
    rung: Annotated[
        list[str] | None,
        typer.Option(help="true depth, true poses, true video or photo; may be repeated.  [default: all]"),
    ] = None,
    changes: SetOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the backends.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare generated videos with the ground truth.

    \b
    python -m evaluation orbit                              procedural objects and rooms
    python -m evaluation orbit --assets my-models/          your GLB and OBJ files
    python -m evaluation orbit --assets manifest.csv        every third file of a list, held out from training
    python -m evaluation orbit --backend nano --backend nano:supersample=1
    python -m evaluation orbit --count 3 --ladder --set splat.steps=200

    \b
    PSNR, object dB (PSNR within the silhouettes), SSIM, IoU (of the silhouettes): higher is better.
    FLIP: lower is better.  flicker: change between frames relative to the truth, 1 is best.
    depth MAE: of the photo's view, in object radii.  AbsRel, δ1: after aligning the scale.
    copy and billboard know nothing of the shape; true-depth and true-layers know it and are upper bounds.
    """
    with exit_codes(as_json):
        from evaluation.baselines import BASELINES
        from evaluation.ladder import RUNGS
        from evaluation.orbit_benchmark import OrbitOptions

        options = OrbitOptions(
            backends=tuple(backend or ["nano"]),
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
        _evaluate_orbits(options, out, as_json)


@app.command()
def poses(
    assets: AssetsOption = None,
    solver: Annotated[list[str] | None, typer.Option(help="A pose solver; may be repeated.  [default: auto]")] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(help="circle, wobble, room, or generated; may be repeated.  [default: the first three]"),
    ] = None,
    degradation: DegradationOption = None,
    count: Annotated[int, typer.Option(help="Maximum number of objects, and number of rooms.", min=1)] = 12,
    first: FirstOption = 0,
    seeds: Annotated[int, typer.Option(help="Number of seeds for each object and room.", min=1)] = 3,
    scenes: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Posed photos, such as views/ of a run, instead of orbits.")
    ] = None,
    size: Annotated[int, typer.Option(help="Pixels along each side of the frames.", min=64)] = 256,
    kept: Annotated[
        Path | None,
        typer.Option("--rows", metavar="FILE", help="Append rows to this file; those in it are not measured again."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare estimated cameras with true ones.

    \b
    python -m evaluation poses                             procedural objects and rooms
    python -m evaluation poses --assets my-models/ --count 10
    python -m evaluation poses --solver auto --solver colmap --path circle --degradation hard
    python -m evaluation poses --scenes posed-photos/      your photos with known cameras

    \b
    circle: 21 frames around an object.  wobble: 36 that rise and fall by 12 degrees.  room: 30 along 80 degrees.
    The prior path given to solvers is 8 degrees too high or too low, its focal length 25 % too long or too short.
    hard: blur, smooth warps of 2 pixels, flicker of 15 %, noise and JPEG.

    \b
    RRA, RTA: percentage of pairs of frames whose relative rotation (translation direction) is within 5 or 15
    degrees.  AUC@30: mean of both over 1 to 30 degrees.  Frames that are not placed count as wrong.
    The second table shows how many clips of each grade were right: A and B promise an AUC@30 of 80, or rotations
    within 5 degrees and positions within a tenth of the path. The third table has right + wrong by kind of clip.

    \b
    python -m evaluation poses --path generated --solver examined --count 2
    \b
    Clips of kinds that generators make: things that look alike from several sides, change their shape or move by
    themselves, and cameras that stand still, of which no cameras are right.  examined: the doctor, then auto.
    """
    with exit_codes(as_json):
        from evaluation.pose_benchmark import PoseOptions, evaluate_poses
        from evaluation.pose_tables import confusion_lines, grade_lines, json_from_row, mean_lines, read_rows

        options = PoseOptions(
            assets=assets,
            count=count,
            first=first,
            seeds=seeds,
            size=size,
            scenes=scenes,
            paths=tuple(path) if path else None,
            degradations=tuple(degradation or PoseOptions.degradations),
            solvers=tuple(solver or PoseOptions.solvers),
        )
        rows = read_rows(kept) if kept else []
        for row in evaluate_poses(options, known={row.key for row in rows}):
            rows.append(row)
            if kept:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(json_from_row(row)) + "\n")
            if as_json:
                say_json(json_from_row(row))
            else:
                clip, result = row.clip, f"{row.score.auc30:5.1f}  {row.grade or '-'}  {row.outcome}"
                say(
                    f"{clip.sample:<28}{clip.seed} {clip.path:<7}{clip.degradation:<6}{row.solver:<20}{result}",
                    err=True,
                )
        if not as_json:
            for line in [*mean_lines(rows), "", *confusion_lines(rows), "", *grade_lines(rows)]:
                say(line)


@app.command()
def depth(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of the photos that depth_pairs.csv names.")],
    measured: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Photos with measured depth, in depth/ and multiview/.", show_default=False
        ),
    ] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the depth of scenes with what the eye sees.

    \b
    python -m evaluation depth photos/
    python -m evaluation depth photos/ --set subject.depth=transformers

    \b
    right: fraction of the pairs of points whose order is right, all of them, and those whose nearer point is lower
    in the picture, level with the other, or higher.  spread: ratio of the 95th to the 5th percentile of depth.
    error: of the best affine map to the measured inverse depth, 1 for a constant.  rank: rank correlation with it.
    """
    with exit_codes(as_json):
        from evaluation.depth_benchmark import BASELINES, evaluate_depth, layers_predictor, read_marked, table_lines
        from evaluation.measured_depth import load_depth_cases

        marked, cases = read_marked(photos), load_depth_cases(measured) if measured else {}
        predictors = {"img2world": layers_predictor(changes or []), **BASELINES}
        rows = {name: evaluate_depth(predictor, marked, cases) for name, predictor in predictors.items()}
        if as_json:
            say_json(rows)
        else:
            for line in table_lines(rows):
                say(line)


@app.command()
def doctor(
    degradation: DegradationOption = None,
    first: FirstOption = 0,
    seeds: Annotated[int, typer.Option(help="Number of clips with each fault.", min=1)] = 2,
    as_json: JsonOption = False,
) -> None:
    """Count the faults that the doctor finds.

    \b
    python -m evaluation doctor --seeds 1 --degradation clean
    """
    with exit_codes(as_json):
        from dataclasses import asdict

        from evaluation.doctor_benchmark import evaluate_doctor, precision_lines, recall_lines

        rows = []
        degradations = tuple(degradation or ("clean", "hard"))
        for row in evaluate_doctor(first=first, seeds=seeds, degradations=degradations):
            rows.append(row)
            if as_json:
                say_json(asdict(row))
            else:
                found = ", ".join(row.found) or "nothing"
                say(f"{row.degradation:<6}{row.seed} {row.fault:<34}{found}", err=True)
        if not as_json:
            for line in [*recall_lines(rows), "", *precision_lines(rows)]:
                say(line)


@app.command()
def motion(
    scene: Annotated[list[str] | None, typer.Option(help="A kind of scene; may be repeated.  [default: all]")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="dynamic, static, 'true bones' or 'per time'; may be repeated.  [default: the first two]"),
    ] = None,
    assets: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER|FILE", help="GLB files of characters with clips, instead of the made scenes."),
    ] = None,
    rig: Annotated[
        str,
        typer.Option(help="ring: cameras all around.  orbit: one that goes around once.  anywhere: one that jumps."),
    ] = "ring",
    cameras: Annotated[int, typer.Option(help="Number of cameras of the ring.", min=3)] = 12,
    times: Annotated[
        int, typer.Option(help="Number of times.  [default: 24, or 72 in an orbit]", show_default=False, min=0)
    ] = 0,
    first: FirstOption = 0,
    seeds: Annotated[int, typer.Option(help="Number of scenes of each kind.", min=1)] = 1,
    size: Annotated[int, typer.Option(help="Pixels along each side of the views.", min=64)] = 256,
    as_json: JsonOption = False,
) -> None:
    """Compare reconstructions of what moves with the truth.

    \b
    python -m evaluation motion --scene "hinged box" --method dynamic
    python -m evaluation motion --assets characters/ --scene "knight cheer" --method dynamic --method "true bones"
    python -m evaluation motion --rig orbit                one camera that goes around while things move
    python -m evaluation motion --rig anywhere             one camera that jumps from one time to the next, as in D-NeRF

    Scenes: hinged box, capsule chain, twisting bar, bouncing balls, and each clip of the characters as "knight cheer";
    by default some usual clips.

    \b
    static: one scene for all times.  per time: a scene for each, at the cost of as many files.
    true bones: Gaussians whose motion is known, which is what bones could reach.

    \b
    PSNR: from other cameras, of all pixels and of those that show what moves.
    drift: how far Gaussians leave the surface that they begin on, relative to its way.
    flow error: of where what moves is seen to go until the next tested time, in pixels; of none: if it stood still.
    """
    with exit_codes(as_json):
        from dataclasses import asdict

        from evaluation.motion_benchmark import MotionOptions, evaluate_motion, table_lines

        options = MotionOptions(
            kinds=tuple(scene) if scene else None,
            methods=tuple(method) if method else MotionOptions.methods,
            assets=assets,
            rig=rig,
            cameras=cameras,
            times=times,
            first=first,
            seeds=seeds,
            size=size,
        )
        rows = []
        for row in evaluate_motion(options):
            rows.append(row)
            if as_json:
                say_json(asdict(row))
            else:
                say(f"{row.kind:<28}{row.seed:>3} {row.method:<11}{row.psnr:6.1f}{row.psnr_moving:6.1f} dB", err=True)
        if not as_json:
            for line in table_lines(rows):
                say(line)


def _evaluate_orbits(options: "OrbitOptions", out: Path, as_json: bool) -> None:
    """Print each row as soon as it is measured, then the means, and write these to `out`."""
    from dataclasses import asdict

    from rich.console import Console

    from evaluation.orbit_benchmark import evaluate_orbits
    from evaluation.orbit_tables import mean_lines, mean_rows, mean_table, sample_table

    rows = []
    with listening(as_json) as listen:
        for row in evaluate_orbits(options, out, listen=listen):
            rows.append(row)
            if as_json:
                say_json({"event": "row", **asdict(row)})
    if as_json:
        for mean in mean_rows(rows):
            say_json({"event": "mean", **asdict(mean)})
        return
    (out / "means.md").write_text("\n".join(mean_lines(rows)) + "\n", encoding="utf-8")
    console = Console(width=None if sys.stdout.isatty() else 180)
    for sample in dict.fromkeys(row.sample for row in rows):
        console.print(sample_table([row for row in rows if row.sample == sample]))
    console.print(mean_table(rows))
    say(f"contact sheets (truth above) are in {out / 'sheets'}, the means in {out / 'means.md'}")
