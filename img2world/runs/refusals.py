"""Refusals of videos and cameras that are too bad for a reconstruction, with commands for what else is possible."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

from img2world.core.errors import RejectedError
from img2world.core.pose_report import PoseReport
from img2world.doctor.findings import VideoFinding
from img2world.runs.files import quoted
from img2world.runs.folder import RunFolder
from img2world.runs.next_steps import refusal_hint
from img2world.runs.recipe import Recipe, backend_name
from img2world.runs.source import MOVING
from img2world.splat import OPTIMIZERS

STILL_CAMERA = ("still camera", "no motion")
"""Findings about a camera that shows what moves from one side alone."""


def rejected_video(folder: RunFolder, recipe: Recipe, bad: Sequence[VideoFinding]) -> RejectedError:
    """Return the refusal of a video for its findings that rule out finding cameras."""
    hint = refusal_hint(folder, bad[0].advice)
    is_video = folder.manifest["source"]["kind"] == "video"
    if is_video and bad[0].kind in STILL_CAMERA and not is_in_motion(recipe):
        hint += f"\nto see it move, from the front alone: {command_in_motion(folder)} --anyway"
    found = "; ".join(finding.line() for finding in bad)
    return RejectedError(f"the doctor rejects the video: {found}", hint=hint)


def check_cameras(folder: RunFolder, recipe: Recipe, *, anyway: bool) -> None:
    """Warn about cameras of grade C, and of what moves if the recipe is none for that.

    Raises RejectedError at grade D, unless `anyway` is set.
    """
    table = json.loads((folder.path / "views" / "transforms.json").read_text()).get("pose_report")
    report = None if table is None else PoseReport.from_json(table)
    if report is not None and report.moving_frames and not is_in_motion(recipe):
        from img2world.doctor.camera_motion import moving_subject

        found = moving_subject(report.moving_share, report.moving_frames, masked=report.moving_masked).line()
        warnings.warn(f"{found}; to reconstruct it in motion: {command_in_motion(folder)}", stacklevel=2)
    if report is None or report.grade in ("A", "B"):
        return
    why = "; ".join(report.reasons)
    if report.grade == "D" and not anyway:
        advice = "film things with texture, and move the camera farther around them"
        if folder.manifest["source"]["kind"] == "photos":
            advice = "take more photos of things with texture, from places that are close to each other"
        if report.solver.startswith("given"):
            advice = "improve these cameras with --set poses.refine=true, or find others with --set poses.name=colmap"
        raise RejectedError(
            f"the cameras cannot be trusted (grade D, by {report.solver}): {why}",
            hint=refusal_hint(folder, advice),
        )
    warnings.warn(f"the cameras are uncertain (grade {report.grade}, by {report.solver}): {why}", stacklevel=2)


def is_in_motion(recipe: Recipe) -> bool:
    """Tell whether a recipe reconstructs what moves in motion."""
    return backend_name(recipe.splat, OPTIMIZERS) == "dynamic"


def command_in_motion(folder: RunFolder) -> str:
    """Return the whole command that reconstructs the source of a run in motion."""
    return f"img2world run {quoted(Path(folder.manifest['source']['path']))} --recipe {MOVING}"
