"""The diagnosis that `img2world doctor` prints for a video, a folder of frames, or a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2world.core.errors import RunFolderError
from img2world.doctor.findings import VideoFinding, findings_from_json, select_rejections
from img2world.runs.folder import MANIFEST
from img2world.runs.report import CAMERAS, FINDINGS
from img2world.runs.source import find_source
from img2world.video.file import FileVideo

NUM_FRAMES, SIDE = 150, 320
"""Maximum number of frames of a video that are examined, and their longest side in pixels."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The findings about a video or a run, and how reliable its cameras are."""

    findings: list[VideoFinding]
    num_frames: int
    """Frames that were examined; 0 for a run, which was examined when it was made."""
    cameras: dict[str, Any] | None = None
    """The report on the cameras of a run, if they have been found."""

    @property
    def rejected(self) -> bool:
        """True if the video does not support a reconstruction."""
        grade = (self.cameras or {}).get("grade")
        return grade == "D" or bool(select_rejections(self.findings))

    def summary(self) -> Iterator[str]:
        """Yield the closing lines: cameras, their grade, and the verdict."""
        if self.cameras is not None:
            grade = f"grade {self.cameras['grade']}, " if "grade" in self.cameras else ""
            yield f"cameras: {grade}by {self.cameras['solver']}"
            yield from (f"{'':<9}{reason}" for reason in self.cameras.get("reasons", ()))
        if not self.findings:
            yield f"no problems in {self.num_frames} frames" if self.num_frames else "no problems in the video"
        yield "rejected" if self.rejected else "usable"


def examine_path(path: Path) -> Examination:
    """Examine a video, a folder of frames or a run. Raises an Img2WorldError when the path is none of these."""
    if path.is_dir() and (path / MANIFEST).exists():
        return _examine_run(path)
    from img2world.doctor.video import examine_video

    source = find_source(path)
    video = FileVideo(path=source.path, num_frames=NUM_FRAMES, size=SIDE, photo_size=SIDE, even=True)
    frames = video.generate(None, None)
    return Examination(findings=examine_video(frames), num_frames=len(frames))


def _examine_run(run: Path) -> Examination:
    """Return the findings and the cameras of a run. Raises RunFolderError when their files are broken."""
    try:
        findings = findings_from_json((run / FINDINGS).read_text()) if (run / FINDINGS).exists() else []
        table = json.loads((run / CAMERAS).read_text()) if (run / CAMERAS).exists() else None
        cameras = None if table is None else table.get("pose_report") or {"solver": table["solver"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"{FINDINGS} or {CAMERAS} is broken ({type(error).__name__}: {error}): {run}",
            hint=f"make them again with `img2world poses {run}`",
        ) from error
    if cameras is not None and cameras.get("moving_frames"):
        from img2world.doctor.camera_motion import moving_subject

        findings.append(moving_subject(cameras["moving_share"], tuple(cameras["moving_frames"])))
    return Examination(findings=findings, num_frames=0, cameras=cameras)
