"""The diagnosis that `img2world doctor` prints for a photo, a video, a folder of frames, or a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from img2world.core.errors import RunFolderError
from img2world.core.image_file import load_image
from img2world.doctor.findings import VideoFinding, findings_from_json, select_rejections
from img2world.runs.files import quoted
from img2world.runs.folder import MANIFEST, read_manifest
from img2world.runs.recipe import load_recipe, options_of
from img2world.runs.report import CAMERAS, FINDINGS, REPORT, REPORT_PAGE, TWO_GRADES
from img2world.runs.source import find_source
from img2world.video.file import FileVideo

NUM_FRAMES, SIDE = 150, 320
"""Maximum number of frames of a video that are examined, and their longest side in pixels."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The findings about a video or a run, and how reliable its cameras are."""

    findings: list[VideoFinding]
    num_frames: int
    """Frames that were examined; 0 for a photo, and for a run, which was examined when it was made."""
    subject: str = ""
    """What a photo shows, and why."""
    what: str = "the video"
    cameras: dict[str, Any] | None = None
    """The report on the cameras of a run, if they have been found."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why stages of a run failed, by their names."""
    world: str = ""
    """Grade of the world of a run and the reason for it, if there is a world that is up to date."""
    is_refused: bool = False
    """True if a stage of a run has refused the video or the cameras."""

    @property
    def rejected(self) -> bool:
        """True if the video does not support a reconstruction."""
        grade = (self.cameras or {}).get("grade")
        return self.is_refused or grade == "D" or bool(select_rejections(self.findings))

    def summary(self) -> Iterator[str]:
        """Yield the closing lines: cameras, their grade, that of the world, and the verdict."""
        if self.cameras is not None:
            grade = f"grade {self.cameras['grade']}, " if "grade" in self.cameras else ""
            yield f"cameras: {grade}by {self.cameras['solver']}"
            yield from (f"{'':<9}{reason}" for reason in self.cameras.get("reasons", ()))
        if self.world:
            yield f"world:   quality {self.world}"
            if "grade" in (self.cameras or {}):
                yield f"{'':<9}{TWO_GRADES}"
        if self.subject:
            yield f"subject: {self.subject}"
        if not self.findings:
            yield f"no problems in {f'{self.num_frames} frames' if self.num_frames else self.what}"
        for stage, error in self.failures.items():
            yield f"{stage} failed: {error}"
        yield "rejected" if self.rejected else "not finished" if self.failures else "usable"


def examine_path(path: Path) -> Examination:
    """Examine a photo, a video, a folder of frames or a run. Raises an Img2WorldError when it is none of these."""
    if path.is_dir() and (path / MANIFEST).exists():
        return _examine_run(path)
    from img2world.doctor.video import examine_video

    source = find_source(path)
    if source.kind == "picture":
        return _examine_photo(source.path)
    video = FileVideo(path=source.path, num_frames=NUM_FRAMES, size=SIDE, photo_size=SIDE, even=True)
    frames = video.generate(None, None)
    return Examination(findings=examine_video(frames), num_frames=len(frames))


def _examine_photo(path: Path) -> Examination:
    """Return what the photo shows, and what in it will disappoint."""
    from img2world.doctor.photo import examine_photo

    recipe = load_recipe("auto")
    subject = recipe.subject.find(load_image(path))
    findings = examine_photo(subject, options_of(recipe.trajectory)["size"])
    kind = "object" if subject.is_object else "scene"
    return Examination(findings=findings, num_frames=0, subject=f"{kind} ({subject.reason})", what="the photo")


def _examine_run(run: Path) -> Examination:
    """Return the findings, the cameras and the failed stages of a run. Raises RunFolderError when files are broken."""
    stages = read_manifest(run)["stages"]
    failed = {name: entry for name, entry in stages.items() if entry["state"] in ("failed", "rejected")}
    try:
        findings = findings_from_json((run / FINDINGS).read_text()) if (run / FINDINGS).exists() else []
        # After a failure the cameras are those of an earlier attempt.
        known = (run / CAMERAS).exists() and "poses" not in failed
        table = json.loads((run / CAMERAS).read_text()) if known else None
        cameras = None if table is None else table.get("pose_report") or {"solver": table["solver"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"{FINDINGS} or {CAMERAS} is broken ({type(error).__name__}: {error}): {run}",
            hint=f"make them again with `img2world poses {quoted(run)}`",
        ) from error
    if cameras is not None and cameras.get("moving_frames"):
        from img2world.doctor.camera_motion import moving_subject

        masked = cameras.get("moving_masked", False)
        in_motion = bool(_read_report(run).get("motion"))
        share, frames = cameras["moving_share"], tuple(cameras["moving_frames"])
        findings.append(moving_subject(share, frames, masked=masked, in_motion=in_motion))
    return Examination(
        findings=findings,
        num_frames=0,
        cameras=cameras,
        failures={name: entry.get("error", "an unexpected error") for name, entry in failed.items()},
        world="" if failed else _grade_of_world(run),
        is_refused=any(entry["state"] == "rejected" for entry in failed.values()),
    )


def _grade_of_world(run: Path) -> str:
    """Return the grade of the world and the reason for it, by the report of the run; empty without any."""
    quality = _read_report(run).get("quality") or {}
    return f"{quality['grade']}: {quality['reason']}" if {"grade", "reason"} <= set(quality) else ""


def _read_report(run: Path) -> dict[str, Any]:
    """Return the report of a run; empty where there is none that can be read."""
    try:
        report = json.loads((run / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def check_has_world(run: Path) -> None:
    """Raise RunFolderError, which says where to read why, when a run was refused and has no page of a world."""
    if not (run / "exports" / "world.html").exists() and _read_report(run).get("refused"):
        raise RunFolderError(
            f"the run was refused, so there is no world to look at: {run}",
            hint=f"{quoted(run / REPORT_PAGE)} says why and what to do",
        )
