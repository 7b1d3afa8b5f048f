"""How the camera moves: not at all, only turning or zooming, or before a subject that moves by itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from img2world.doctor.continuity import broken_links
from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip, Step, compare

LITTLE = 0.012
"""Diagonals of the picture: a camera that moves points by less from the first frame to any other stands still."""

BASELINE = 0.045
"""Diagonals by which points shall move between two frames that are compared for parallax."""

FARTHEST_STEP = 10
"""Frames. Farther apart, too little is seen in both."""

LONG = 2.5
"""Times the baseline: over so much longer ways parallax grows, but not what bends each frame by itself."""

GROWTH = 0.12
"""Share of the longer way by which points may stray more than over the short one while a video shows no parallax."""

BENT = 0.3
"""Share of the longer way that points may be off by all in all, for this to be told."""

FLAT_PIXELS = 0.6
"""Points that stay this near (three in four) to where a turn of the camera would put them show no parallax."""

FLATTISH = 0.1
"""Share of their way that points may stay from there while a video shows hardly any parallax."""

FLAT_SHARE = 0.8
"""Of the compared pairs that show no parallax, from which on the video shows none."""

LEAST_PAIRS = 2
ZOOM = 1.03
"""Change of size between two compared frames from which a video zooms."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """How well a homography explains the motion between two frames."""

    frames: tuple[int, int]
    motion: float
    rest: float
    """Pixels that three in four points are at most away from where it puts them."""
    zoom: float
    """By how much it enlarges."""


def camera_findings(clip: Clip, steps: list[Step]) -> Iterator[VideoFinding]:
    """What the camera's way does not give."""
    cuts = set(broken_links(steps))
    planes = [plane for plane in _planes(clip, steps, cuts, BASELINE) if plane is not None]
    reach = _reach(clip)
    if reach < LITTLE * clip.diagonal:
        yield _standing(reach / clip.diagonal, steps)
        return
    moved = [plane for plane in planes if plane.motion > 0.5 * BASELINE * clip.diagonal]
    if len(moved) < LEAST_PAIRS:
        return
    flat = [plane for plane in moved if plane.rest < FLAT_PIXELS]
    if len(flat) >= FLAT_SHARE * len(moved):
        yield _without_parallax(flat, len(moved), sure=True)
        return
    if _stays_flat(clip, moved, [plane for plane in _planes(clip, steps, cuts, LONG * BASELINE) if plane is not None]):
        yield _without_parallax(moved, len(moved), sure=True)
        return
    flat = [plane for plane in moved if plane.rest < max(FLAT_PIXELS, FLATTISH * plane.motion)]
    if len(flat) >= FLAT_SHARE * len(moved):
        yield _without_parallax(flat, len(moved), sure=False)


def moving_subject(share: float, frames: tuple[int, ...]) -> VideoFinding:
    """What the cameras' solution has shown: `share` of the points move by themselves in these frames."""
    return VideoFinding(
        kind="moving subject",
        severity="warning",
        frames=frames,
        sure=float(np.clip(0.5 + 2 * share, 0.5, 0.95)),
        found=f"{share:.0%} of the points move together, but not with the rest of the scene",
        advice="what moves comes out blurred or doubled: use a part of the video where it stands still, or cut it out",
    )


def _reach(clip: Clip) -> float:
    """How far points move from the first frame, in pixels: the largest median over some later frames."""
    ways = []
    for j in np.unique(np.linspace(1, len(clip) - 1, 8).round().astype(int)):
        step = compare(clip, 0, int(j))
        # Where nothing can be followed any more, the view has changed a lot.
        lost = np.isfinite(step.followed) and step.followed < 0.3
        ways.append(clip.diagonal if lost else step.motion)
    return max(ways)


def _standing(reach: float, steps: list[Step]) -> VideoFinding:
    """A camera that does not move."""
    changes = float(np.median([step.difference for step in steps]))
    subject = "; what changes is the subject" if changes > 1.5 else ""
    return VideoFinding(
        kind="no motion",
        severity="reject",
        frames=(),
        sure=0.9,
        found=f"the camera stands still: points move by {reach:.1%} of the picture at most{subject}",
        advice="use a video in which the camera moves around, or give one frame as a picture",
    )


def _planes(clip: Clip, steps: list[Step], cuts: set[int], baseline: float) -> Iterator[Plane | None]:
    """Homographies between frames that are far enough apart."""
    i = 0
    while i < len(clip) - 1:
        way, j = 0.0, i
        while j < len(clip) - 1 and j - i < FARTHEST_STEP and way < baseline * clip.diagonal:
            way += steps[j].motion
            j += 1
        if not any(i < cut <= j for cut in cuts):
            yield _plane(clip, i, j)
        i = j


def _stays_flat(clip: Clip, near: list[Plane], far: list[Plane]) -> bool:
    """Whether points stray from homographies no more over long ways than over short ones: frames bend without depth."""
    far = [plane for plane in far if plane.motion > 0.8 * LONG * BASELINE * clip.diagonal]
    if len(far) < LEAST_PAIRS or clip.masks is not None:
        return False
    (rest, way), (far_rest, far_way) = (
        np.median([(plane.rest**2, plane.motion**2) for plane in planes], 0) for planes in (near, far)
    )
    growth = np.sqrt(max(0.0, far_rest - rest) / max(far_way - way, 1e-9))
    return bool(growth < GROWTH and far_rest < (BENT**2) * far_way)


def _plane(clip: Clip, i: int, j: int) -> Plane | None:
    """The homography between two frames; None where too little can be followed."""
    import cv2

    step = compare(clip, i, j)
    if len(step.start) < 60 or step.followed < 0.3:
        return None
    cv2.setRNGSeed(0)
    turn, _ = cv2.findHomography(step.start, step.end, cv2.RANSAC, 1.0, maxIters=2000)
    if turn is None:
        return None
    expected = cv2.perspectiveTransform(step.start[:, None], turn)[:, 0]
    rest = np.linalg.norm(step.end - expected, axis=1)
    return Plane(
        frames=(i, j),
        motion=step.motion,
        rest=float(np.percentile(rest, 75)),
        zoom=_zoom(step.start, expected),
    )


def _zoom(start: Float64[np.ndarray, "P 2"], end: Float64[np.ndarray, "P 2"]) -> float:
    """By how much the spread of points grows."""
    return float(np.sqrt(end.var(0).sum() / max(start.var(0).sum(), 1e-9)))


def _without_parallax(flat: list[Plane], total: int, *, sure: bool) -> VideoFinding:
    """A camera that turns or zooms in place, or looks at something flat."""
    zooms = float(np.median([abs(np.log(plane.zoom)) for plane in flat]))
    kind = "zoom only" if zooms > np.log(ZOOM) else "rotation only"
    how = "zooms" if kind == "zoom only" else "turns in place, or what it sees is flat"
    rest, motion = (float(np.median([getattr(plane, name) for plane in flat])) for name in ("rest", "motion"))
    if not sure:
        return VideoFinding(
            kind="little parallax",
            severity="warning",
            frames=(),
            sure=0.6,
            found=f"nearly all motion is that of a camera that {how}: {rest:.1f} of {motion:.0f} px are left",
            advice="depth will be poor; use a video in which the camera moves more to the side",
        )
    return VideoFinding(
        kind=kind,
        severity="reject",
        frames=(),
        sure=float(np.clip(len(flat) / total * (1 - 0.5 * rest / FLAT_PIXELS), 0.5, 0.95)),
        found=f"the camera {how}: near and far move alike to {rest:.1f} px, so that depth does not show",
        advice="use a video in which the camera moves sideways or around; a single frame can be given as a picture",
    )
