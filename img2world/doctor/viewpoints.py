"""Examination of what several fixed cameras saw, camera by camera: from one to the next, all of it changes."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from img2world.core.frames import Frames
from img2world.doctor.blur import find_blur
from img2world.doctor.camera_motion import follow, measure_reach
from img2world.doctor.findings import VideoFinding
from img2world.doctor.letterbox import find_letterbox
from img2world.doctor.transitions import Clip, compare_frames, downscale
from img2world.tracking.stillness import MAX_STILL, still_share

MIN_TIMES = 3

SAME_DIFFERENCE = 0.6
"""Grey levels. Frames that differ by less are the same."""

MIN_CAMERA_MOTION = 0.03
"""Diagonals of the picture that half of the points of a scene move by if the camera does."""

MANY = 0.5
"""Fraction of the viewpoints with a fault from which the set has it."""


def examine_viewpoints(frames: Frames) -> list[VideoFinding]:
    """Return the findings about each fixed camera; those that most have rule out a reconstruction."""
    assert frames.viewpoints is not None
    found: list[VideoFinding] = []
    frozen, moved = [], []
    names = np.unique(frames.viewpoints).tolist()
    for name in names:
        index = np.flatnonzero(frames.viewpoints == name)
        if len(index) < MIN_TIMES:
            continue
        own = replace(frames.select(index), viewpoints=None, is_timed=False, ordered=True)
        clip = downscale(own)
        differences = [compare_frames(clip, i, i + 1).difference for i in range(len(clip) - 1)]
        if max(differences) < SAME_DIFFERENCE:
            frozen.append(name)
            continue
        found += [_of_viewpoint(finding, name, index) for finding in (*find_letterbox(clip), *find_blur(own))]
        if _camera_moves(clip):
            moved.append(name)
    found += [*_about(frozen, names, _frozen), *_about(moved, names, _moved)]
    order = {"reject": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda finding: (order[finding.severity], finding.kind))


def _camera_moves(clip: Clip) -> bool:
    """Tell whether what a camera shows moves as a whole; of an object alone nothing tells."""
    if clip.masks is not None or measure_reach(clip) <= MIN_CAMERA_MOTION * clip.diagonal:
        return False
    return still_share(follow(clip), clip.gray.shape[2]) <= MAX_STILL


def _of_viewpoint(finding: VideoFinding, name: int, index: Int64[np.ndarray, "K"]) -> VideoFinding:
    """Return a finding about one camera as one about all frames, of which `index` are its own."""
    severity = "warning" if finding.severity == "reject" else finding.severity
    frames = tuple(index[list(finding.frames)].tolist())
    return replace(finding, severity=severity, frames=frames, found=f"viewpoint {name + 1}: {finding.found}")


def _about(
    faulty: list[int], names: list[int], describe: Callable[[str, bool], VideoFinding]
) -> Iterator[VideoFinding]:
    """Yield a finding about some of the viewpoints, a rejection if most are faulty."""
    if faulty:
        listed = f"viewpoint{'s' if len(faulty) > 1 else ''} {', '.join(str(name + 1) for name in faulty)}"
        yield describe(listed, len(faulty) > MANY * len(names))


def _frozen(listed: str, is_most: bool) -> VideoFinding:
    """Return the finding that nothing moves in some viewpoints."""
    return VideoFinding(
        kind="frozen",
        severity="reject" if is_most else "warning",
        frames=(),
        sure=0.9,
        found=f"nothing moves in {listed}",
        advice="give frames in which something moves; what stands still needs photos alone",
    )


def _moved(listed: str, is_most: bool) -> VideoFinding:
    """Return the finding that cameras which should stand still move."""
    return VideoFinding(
        kind="moving camera",
        severity="reject" if is_most else "warning",
        frames=(),
        sure=0.8,
        found=f"the whole picture moves in {listed}, but of several videos each camera must stand still",
        advice="put the cameras on tripods, or reconstruct one of the videos alone with --recipe moving",
    )
