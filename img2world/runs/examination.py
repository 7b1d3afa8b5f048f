"""What `img2world doctor` says of a video, a folder of frames, or a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2world.doctor.findings import VideoFinding, findings_from_text, rejects
from img2world.runs.folder import MANIFEST
from img2world.runs.report import FINDINGS
from img2world.runs.source import find_source
from img2world.video.file import FileVideo

LOOKED_AT, SIDE = 150, 320
"""Frames of a video that are examined, and their longest side in pixels."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found."""

    findings: list[VideoFinding]
    looked_at: int
    """Frames; 0 for a run that was examined before."""
    cameras: dict[str, Any] | None = None
    """The report on the cameras of a run."""

    @property
    def rejected(self) -> bool:
        """Whether a reconstruction would be invented."""
        grade = (self.cameras or {}).get("grade")
        return grade == "D" or bool(rejects(self.findings))

    def summary(self) -> Iterator[str]:
        """The last lines for people."""
        if self.cameras is not None:
            grade = f"grade {self.cameras['grade']}, " if "grade" in self.cameras else ""
            yield f"cameras: {grade}by {self.cameras['solver']}"
            yield from (f"{'':<9}{reason}" for reason in self.cameras.get("reasons", ()))
        if not self.findings:
            yield (
                f"nothing is wrong in {self.looked_at} frames" if self.looked_at else "nothing is wrong with the video"
            )
        yield "rejected" if self.rejected else "can be used"


def examine_path(path: Path) -> Examination:
    """Look at a video, a folder of frames or a run. Raises an Img2WorldError when it is none of these."""
    if path.is_dir() and (path / MANIFEST).exists():
        return _of_run(path)
    from img2world.doctor.video import examine_video

    source = find_source(path)
    frames = FileVideo(path=str(source.path), num_frames=LOOKED_AT, size=SIDE, photo_size=SIDE, even=True).generate(
        None, None
    )
    return Examination(findings=examine_video(frames), looked_at=len(frames))


def _of_run(run: Path) -> Examination:
    """What the run's own stages have found."""
    findings = findings_from_text((run / FINDINGS).read_text()) if (run / FINDINGS).exists() else []
    views = run / "views" / "transforms.json"
    table = json.loads(views.read_text()) if views.exists() else None
    cameras = None if table is None else table.get("pose_report") or {"solver": table["solver"]}
    if cameras is not None and cameras.get("moving_frames"):
        from img2world.doctor.camera_motion import moving_subject

        findings.append(moving_subject(cameras["moving_share"], tuple(cameras["moving_frames"])))
    return Examination(findings=findings, looked_at=0, cameras=cameras)
