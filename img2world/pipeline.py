"""The whole program on a page: what becomes of a picture, a video, photos or a posed dataset.

    Source ──► Subject ──► Cameras ──► Frames ──► Findings ──► Views ──► Scene ──► files, report
                                                               (of the subject alone, where that is asked for)

Each step is a stage (see `runs.stages`): it takes what the steps before it have made, has a backend of the recipe do
the work, and leaves its own product in the run folder. A product that the same code has made with the same options
from the same input is kept, so that a run that was stopped resumes where it was.
"""

import warnings
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from img2world.core.errors import PoseError, RecipeError, RejectedError, RunFolderError, SplatError, SubjectError
from img2world.core.live import UNWATCHED, Live
from img2world.export.moving import check_moves
from img2world.runs import stages
from img2world.runs.changes import find_changes
from img2world.runs.files import write_text
from img2world.runs.folder import RECIPE, Listener, RunFolder, ignore_events
from img2world.runs.licences import licence_of
from img2world.runs.next_steps import name_page, outdated_stages
from img2world.runs.page.document import write_page
from img2world.runs.recipe import Recipe, backend_name, options_of, recipe_text, with_options
from img2world.runs.refusals import check_cameras, is_in_motion
from img2world.runs.report import REPORT_PAGE, write_report
from img2world.runs.source import Source
from img2world.video import VIDEOS
from img2world.video.diffusion import checkpoints
from img2world.video.diffusion.cards import CARDS

STAGES = (
    "input", "trajectory", "video", "doctor", "poses", "isolation",
    "splat", "measure", "quality", "comparison", "export",
)  # fmt: skip


def run(
    source: Source,
    recipe: Recipe,
    out: Path,
    *,
    last: str = STAGES[-1],
    fresh: Collection[str] = (),
    anyway: bool = False,
    listen: Listener = ignore_events,
    live: Live = UNWATCHED,
) -> dict[str, Any]:
    """Turn a source into a world in the folder `out`, up to the stage `last`, and return the report.

    What is up to date is kept, except for the stages in `fresh`. Cameras and the scene are shown to `live`, which may
    stop the training early; the run then goes on with the best so far. Raises an Img2WorldError when the source, the
    recipe or the folder cannot be used, and RejectedError when the video or the estimated cameras are too bad for a
    reconstruction, unless the run is to continue `anyway`.
    """
    if last == STAGES[-1]:
        check_moves(recipe.exports, moves=is_in_motion(recipe))
    with RunFolder.open(out, listen) as folder:
        recipe = begin(folder, source, recipe, fresh=fresh, last=last)
        try:
            for stage in make_world(folder, source, recipe, anyway=anyway, live=live):
                if stage == last:
                    break
        except (RejectedError, PoseError, SubjectError, SplatError) as error:
            write_page(folder, write_report(folder, error))
            name_page(error, out / REPORT_PAGE)
            raise
        # Products of later stages may stem from what was just replaced.
        folder.forget(outdated_stages(folder))
        report = write_report(folder)
        write_page(folder, report)
        return report


def make_world(
    folder: RunFolder, source: Source, recipe: Recipe, *, anyway: bool = False, live: Live = UNWATCHED
) -> Iterator[str]:
    """Do the stages one after the other, yielding the name of each when it is done."""
    subject = stages.find_subject(folder, source, recipe)
    yield "input"
    trajectory = stages.plan_cameras(folder, recipe, subject)
    if trajectory is not None:
        live.show(lambda: trajectory.value)
    yield "trajectory"
    frames = stages.generate(folder, recipe, subject, trajectory)
    yield "video"
    stages.examine(folder, recipe, subject, frames, anyway=anyway)
    yield "doctor"
    views = stages.estimate(folder, recipe, frames, trajectory)
    live.show(lambda: views.value)
    check_cameras(folder, recipe, anyway=anyway)
    yield "poses"
    trained = stages.isolate(folder, source, recipe, views)
    if trained is not views:
        live.show(lambda: trained.value)
    yield "isolation"
    fitted = stages.optimize(folder, recipe, trained, live)
    live.show(lambda: fitted.value)
    yield "splat"
    scene = stages.measure(folder, recipe, fitted)
    yield "measure"
    stages.assess(folder, subject, trajectory, frames, fitted)
    yield "quality"
    stages.compare(folder, recipe, fitted, trained)
    yield "comparison"
    stages.export(folder, recipe, scene, trained)
    yield "export"


def begin(folder: RunFolder, source: Source, recipe: Recipe, *, fresh: Collection[str], last: str) -> Recipe:
    """Check that source, recipe and folder belong together; return the recipe with the source in it.

    Warns when products that were made with other options are about to be replaced.
    """
    known = folder.manifest.get("source", {})
    has_products = any(folder.record(stage) for stage in folder.manifest["stages"])
    is_other = known.get("sha256") != source.digest
    if has_products and is_other and set(fresh) != set(STAGES):
        name, is_same_place = Path(known["path"]).name, known["path"] == str(source.path)
        what = f"{name} as it was before it changed" if is_same_place else f"another source, {name}"
        raise RunFolderError(
            f"the folder holds a run of {what}: {folder.path}",
            hint="give another folder with --out, or replace that run with --fresh",
        )
    if source.kind != "picture":
        if "path" not in options_of(recipe.video):
            raise RecipeError(
                f"the recipe makes its video from one picture, this source is a {source.kind}: {source.path}",
                hint="use --recipe video, photos or dataset, or give one picture",
            )
        recipe = replace(recipe, video=with_options(recipe.video, path=source.path))
    recipe = with_named_checkpoint(recipe)
    if is_other:
        # Not every kind of source has every stage, and a run that stops early must not end with the world of another.
        for stage in [*folder.manifest["stages"]]:
            folder.discard(stage)
    # The same source may have been moved.
    changes = find_changes(folder, recipe, STAGES, unchanged=() if is_other else ("video.path",))
    is_splat_due = folder.record("splat") is None or "splat" in (*changes.remade, *fresh)
    if is_splat_due and STAGES.index(last) >= STAGES.index("splat"):
        stages.check_programs(recipe.splat)
    if last == STAGES[-1]:
        stages.check_programs(*recipe.exports.values())
    if changes.remade and last == STAGES[-1] and not fresh:
        warnings.warn(changes.line(), stacklevel=2)
    folder.manifest["licence"] = licence_of(recipe)
    folder.manifest["source"] = {"kind": source.kind, "path": str(source.path), "sha256": source.digest}
    folder.manifest["seed"] = recipe.seed
    folder.forget(fresh)
    write_text(folder.path / RECIPE, recipe_text(recipe))
    return recipe


def with_named_checkpoint(recipe: Recipe) -> Recipe:
    """Return the recipe with the weights of its video model named, so that running it again takes the same."""
    name = backend_name(recipe.video, VIDEOS)
    if name not in CARDS:
        return recipe
    checkpoint = checkpoints.checkpoint_name(name, options_of(recipe.video)["checkpoint"])
    return replace(recipe, video=with_options(recipe.video, checkpoint=checkpoint))
