"""What is wrong with a video, before cameras are looked for in it."""

from collections.abc import Iterator

import numpy as np

from img2world.core.frames import Frames
from img2world.doctor.camera_motion import camera_findings
from img2world.doctor.continuity import order_findings
from img2world.doctor.findings import VideoFinding
from img2world.doctor.janus import janus_findings
from img2world.doctor.letterbox import letterbox_findings
from img2world.doctor.transitions import Step, compare, small_clip

LEAST_FRAMES = 3

SAME = 0.6
"""Grey levels. Frames that differ by less are the same."""

STILL_SHARE = 0.6
"""Of its steps: a video of which so many show nothing new is frozen."""

FLICKER = 0.035
"""Standard deviation of the logarithm of brightness from frame to frame above which a video flickers."""


def examine_video(frames: Frames) -> list[VideoFinding]:
    """All findings, the worst first. Photos without order are not examined but for their number."""
    if len(frames) < LEAST_FRAMES:
        return [_too_few(len(frames))]
    if not frames.ordered:
        return []
    clip = small_clip(frames)
    steps = [compare(clip, i, i + 1) for i in range(len(clip) - 1)]
    findings = [*letterbox_findings(clip), *_still(steps), *_flicker(steps), *order_findings(clip, steps)]
    if not any(finding.severity == "reject" for finding in findings):
        findings += [*camera_findings(clip, steps), *janus_findings(clip)]
    order = {"reject": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: (order[finding.severity], finding.kind))


def _too_few(count: int) -> VideoFinding:
    """For a clip in which nothing can be checked."""
    return VideoFinding(
        kind="too short",
        severity="reject",
        frames=(),
        sure=1.0,
        found=f"{count} frames; where cameras stand shows only from {LEAST_FRAMES} on",
        advice="use a longer clip, at best 20 frames or more",
    )


def _still(steps: list[Step]) -> Iterator[VideoFinding]:
    """Frames that show the same as those before them."""
    differences = np.array([step.difference for step in steps])
    moving = differences[differences >= SAME]
    limit = max(SAME, 0.04 * float(np.median(moving))) if len(moving) else SAME
    same = differences < limit
    frames = tuple(int(i) + 1 for i in np.flatnonzero(same))
    if same.mean() >= STILL_SHARE:
        yield VideoFinding(
            kind="frozen",
            severity="reject",
            frames=frames,
            sure=float(same.mean()),
            found=f"{len(frames)} of {len(steps)} steps show nothing new",
            advice="use a video in which the camera moves; a still picture goes to `img2world run` as it is",
        )
    elif len(frames):
        yield VideoFinding(
            kind="repeated",
            severity="note",
            frames=frames,
            sure=0.9,
            found=f"{len(frames)} frames are the same as those before them",
            advice="nothing: they are left out when frames are chosen; a lower frame rate would do",
        )


def _flicker(steps: list[Step]) -> Iterator[VideoFinding]:
    """Brightness that changes from frame to frame."""
    gains = np.log([step.gain for step in steps])
    jumps = np.abs(gains - np.median(gains))
    spread = 1.4826 * float(np.median(jumps))
    if spread > FLICKER:
        yield VideoFinding(
            kind="flicker",
            severity="note" if spread < 3 * FLICKER else "warning",
            frames=tuple(int(i) + 1 for i in np.flatnonzero(jumps > 2 * FLICKER)),
            sure=float(min(1.0, 0.5 + (spread - FLICKER) / (2 * FLICKER))),
            found=f"brightness changes by {spread:.0%} from frame to frame",
            advice="lock the exposure when filming; of a generator, take another seed",
        )
