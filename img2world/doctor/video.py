"""Examination of a video before its cameras are estimated."""

from collections.abc import Iterator

import numpy as np

from img2world.core.frames import Frames
from img2world.doctor.blur import find_blur
from img2world.doctor.camera_motion import find_camera_faults
from img2world.doctor.continuity import find_broken_links, find_discontinuities
from img2world.doctor.findings import VideoFinding, select_rejections
from img2world.doctor.janus import find_janus
from img2world.doctor.letterbox import find_letterbox
from img2world.doctor.transitions import Transition, compare_frames, downscale
from img2world.doctor.viewpoints import examine_viewpoints

MIN_FRAMES = 3

SAME_FRAME_DIFFERENCE = 0.6
"""Grey levels. Frames that differ by less are the same …"""

SAME_FRAME_RATIO = 0.04
"""… or by less than this fraction of the usual difference."""

FROZEN_FRACTION = 0.6
"""Fraction of transitions without change from which a video is frozen."""

FLICKER = 0.035
"""Robust standard deviation of the logarithm of the brightness gain from which a video flickers."""


def examine_video(frames: Frames) -> list[VideoFinding]:
    """Return all findings, the most severe first. Of photos only the number is checked, of fixed cameras each."""
    if len(frames) < MIN_FRAMES:
        return [_too_short(len(frames))]
    if frames.viewpoints is not None:
        return examine_viewpoints(frames)
    if not frames.ordered:
        return []
    clip = downscale(frames)
    transitions = [compare_frames(clip, i, i + 1) for i in range(len(clip) - 1)]
    broken = find_broken_links(transitions)
    findings = [
        *find_letterbox(clip),
        *_find_still_frames(transitions),
        *_find_flicker(transitions, broken),
        *find_blur(frames, broken),
        *find_discontinuities(clip, transitions),
    ]
    if not select_rejections(findings):
        # A camera that stands still sees no back.
        findings += list(find_camera_faults(clip, transitions)) or list(find_janus(clip, transitions))
    order = {"reject": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: (order[finding.severity], finding.kind))


def _too_short(count: int) -> VideoFinding:
    return VideoFinding(
        kind="too short",
        severity="reject",
        frames=(),
        sure=1.0,
        found=f"there are {count} frames; cameras can be estimated from {MIN_FRAMES}",
        advice="use a longer clip, preferably of 20 frames or more",
    )


def _find_still_frames(transitions: list[Transition]) -> Iterator[VideoFinding]:
    """Yield a finding when frames show the same as those before them."""
    differences = np.array([transition.difference for transition in transitions])
    moving = differences[differences >= SAME_FRAME_DIFFERENCE]
    limit = SAME_FRAME_DIFFERENCE
    if len(moving):
        limit = max(SAME_FRAME_DIFFERENCE, SAME_FRAME_RATIO * float(np.median(moving)))
    same = differences < limit
    frames = tuple(int(i) + 1 for i in np.flatnonzero(same))
    if same.mean() >= FROZEN_FRACTION:
        yield VideoFinding(
            kind="frozen",
            severity="reject",
            frames=frames,
            sure=float(same.mean()),
            found=f"{len(frames)} of {len(transitions)} frames show the same as the one before",
            advice="use a video in which the camera moves, or give a single frame to `img2world run`",
        )
    elif len(frames):
        yield VideoFinding(
            kind="repeated",
            severity="note",
            frames=frames,
            sure=0.9,
            found="1 frame is repeated" if len(frames) == 1 else f"{len(frames)} frames are repeated",
            advice="nothing to do: repeated frames are dropped when frames are selected",
        )


def _find_flicker(transitions: list[Transition], broken: list[int]) -> Iterator[VideoFinding]:
    """Yield a finding when brightness changes from frame to frame; across `broken` links nothing tells."""
    gains = np.log([transition.gain for transition in transitions])
    gains[np.array(broken, int) - 1] = np.nan
    if np.isnan(gains).all():
        return
    deviations = np.abs(gains - np.nanmedian(gains))
    # The median absolute deviation of a normal distribution is 0.6745 standard deviations.
    std = 1.4826 * float(np.nanmedian(deviations))
    if std > FLICKER:
        yield VideoFinding(
            kind="flicker",
            severity="note" if std < 3 * FLICKER else "warning",
            frames=tuple(int(i) + 1 for i in np.flatnonzero(deviations > 2 * FLICKER)),
            sure=float(min(1.0, 0.5 + (std - FLICKER) / (2 * FLICKER))),
            found=f"brightness changes by {std:.0%} from frame to frame",
            advice="lock the exposure when filming; with a generator, try another seed",
        )
