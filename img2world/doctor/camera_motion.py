"""Camera motion without parallax: a camera that stands still, rotates in place or zooms; and subjects that move."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from img2world.doctor.continuity import find_broken_links
from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip, Transition, compare_frames
from img2world.tracking.flow import GrayFrames, track_by_flow
from img2world.tracking.stillness import MAX_STILL, still_share
from img2world.tracking.tracks import Tracks

MIN_MOTION = 0.012
"""Diagonals of the picture. A camera that moves points by less, from the first frame to any other, stands still."""

USUAL_PERCENTILE = 75
"""Percentile of the motion between neighbouring frames that counts too: few of a still camera are distorted as much."""

MIN_FOLLOWED = 0.75
"""Fraction of an object's points that must be followed from frame to frame for certainty that they do not move. A vase
with stripes turns, and a flag waves, with fewer."""

NUM_PROBES = 8
"""Frames with which the first is compared for this."""

BASELINE = 0.045
"""Diagonals by which points should move between two frames that are compared for parallax."""

MAX_FRAME_STEP = 10
"""Frames. Frames farther apart share too little."""

LONG_BASELINE = 2.5
"""A longer baseline, as a multiple of the first. Parallax grows with it, but the distortion of each frame does not."""

MIN_BASELINE_GROWTH = 1.8
"""Growth of the motion from the short to the long baseline that a comparison of both needs."""

MAX_RESIDUAL_GROWTH = 0.12
"""Growth of the residual from the short to the long baseline, relative to that of the motion, without parallax."""

MAX_RELATIVE_RESIDUAL = 0.3
"""Residual relative to the motion up to which the growth is meaningful."""

MAX_FLAT_RESIDUAL = 0.6
"""Pixels by which three in four points may miss the homography between two frames without parallax."""

MAX_FLATTISH_RESIDUAL = 0.1
"""The same as a fraction of their motion, with hardly any parallax."""

MIN_FLAT_FRACTION = 0.8
"""Fraction of the compared pairs without parallax from which the video has none."""

MIN_PAIRS = 2
MIN_POINTS = 60
MIN_TRACKED_FRACTION = 0.3
MIN_ZOOM = 1.03
"""Magnification between two compared frames from which a video zooms."""

MIN_SUBJECT_CHANGE = 1.5
"""Grey levels by which frames of a still camera usually differ when the subject moves."""


@dataclass(frozen=True, kw_only=True)
class HomographyFit:
    """The homography between two frames, and how well it explains their motion."""

    motion: float
    """Median displacement of the points, in pixels."""
    residual: float
    """Distance in pixels within which three in four points are from where the homography maps them."""
    tail: float
    """The same for nineteen in twenty points: those off the plane that most of the picture may show."""
    zoom: float
    """Magnification."""


def find_camera_faults(clip: Clip, transitions: list[Transition]) -> Iterator[VideoFinding]:
    """Yield a finding when the camera motion does not reveal depth."""
    # What looks alike from several sides seems to be where it was, but not from one frame to the next.
    reach = max(measure_reach(clip), float(np.percentile([each.motion for each in transitions], USUAL_PERCENTILE)))
    if reach < MIN_MOTION * clip.diagonal:
        # Unknown fractions, NaN, tell nothing and make no certainty.
        followed = np.median([each.tracked_fraction > MIN_FOLLOWED for each in transitions]) > 0.5
        yield _no_motion(reach / clip.diagonal, transitions, sure=clip.masks is None or bool(followed))
        return
    share = still_share(follow(clip), clip.gray.shape[2])
    if share > MAX_STILL:
        yield _still_camera(share, is_scene=clip.masks is None)
        if clip.masks is None:
            return
    moved = [fit for fit in _fit_pairs(clip, transitions, BASELINE) if fit.motion > 0.5 * BASELINE * clip.diagonal]
    if len(moved) < MIN_PAIRS:
        return
    flat = [fit for fit in moved if fit.residual < MAX_FLAT_RESIDUAL]
    flattish = [fit for fit in moved if fit.residual < max(MAX_FLAT_RESIDUAL, MAX_FLATTISH_RESIDUAL * fit.motion)]
    if len(flat) >= MIN_FLAT_FRACTION * len(moved):
        yield _no_parallax(flat, len(moved))
    elif _residual_stays(clip, moved, list(_fit_pairs(clip, transitions, LONG_BASELINE * BASELINE))):
        yield _no_parallax(moved, len(moved))
    elif len(flattish) >= MIN_FLAT_FRACTION * len(moved):
        yield _little_parallax(flattish)


def moving_subject(
    fraction: float, frames: tuple[int, ...], *, masked: bool = False, in_motion: bool = False
) -> VideoFinding:
    """Return the finding that this fraction of the points moves independently of the scene in these frames.

    Where that is masked, the fraction is that of the pixels. It does no harm where it is reconstructed `in_motion`.
    """
    if in_motion:
        return VideoFinding(
            kind="moving subject",
            severity="note",
            frames=frames,
            sure=float(np.clip(0.5 + 2 * fraction, 0.5, 0.95)),
            found=f"{fraction:.0%} of the {'picture' if masked else 'points'} moves by itself, and is made in motion",
            advice="nothing to do; of each moment, only the side that was seen is known",
        )
    return VideoFinding(
        kind="moving subject",
        severity="warning",
        frames=frames,
        sure=float(np.clip(0.5 + 2 * fraction, 0.5, 0.95)),
        found=f"{fraction:.0%} of the picture moves by itself, and is masked"
        if masked
        else f"{fraction:.0%} of the points move together, but not with the rest of the scene",
        advice="the world is what is behind it; where no frame shows that, there is a gap"
        if masked
        else "what moves will be blurred or doubled: use a part of the video in which it stands still, or mask it",
    )


def follow(clip: Clip) -> Tracks:
    """Return tracks through the clip."""
    frames = GrayFrames(images=clip.equalized_gray, masks=clip.masks, valid=None, scale=1.0)
    return track_by_flow(frames, closed=False)


def _still_camera(share: float, *, is_scene: bool) -> VideoFinding:
    """Return the finding that this fraction of the points does not move while others do.

    Behind an object alone there is nothing that shows whether the camera moves.
    """
    return VideoFinding(
        kind="still camera",
        severity="reject" if is_scene else "warning",
        frames=(),
        sure=float(np.clip(0.6 + (share - MAX_STILL), 0.6, 0.95)),
        found=f"{share:.0%} of the points stand still while others move: the subject moves, the camera does not",
        advice="use a video in which the camera moves around, or give a single frame as a picture",
    )


def measure_reach(clip: Clip) -> float:
    """Return the largest median displacement of points, in pixels, from the first frame to some later ones."""
    reach = []
    for j in np.unique(np.linspace(1, len(clip) - 1, NUM_PROBES).round().astype(int)):
        transition = compare_frames(clip, 0, int(j))
        # Where points cannot be followed any more, the view has changed a lot.
        lost = np.isfinite(transition.tracked_fraction) and transition.tracked_fraction < MIN_TRACKED_FRACTION
        reach.append(clip.diagonal if lost else transition.motion)
    return max(reach)


def _no_motion(reach: float, transitions: list[Transition], *, sure: bool) -> VideoFinding:
    """Return the finding that the camera stands still; `reach` is in diagonals. Unless `sure`, it only warns."""
    change = float(np.median([transition.difference for transition in transitions]))
    subject = "; what changes is the subject" if change > MIN_SUBJECT_CHANGE else ""
    return VideoFinding(
        kind="no motion",
        severity="reject" if sure else "warning",
        frames=(),
        sure=0.9 if sure else 0.6,
        found=f"the camera stands still: points move by at most {reach:.1%} of the picture{subject}",
        advice="use a video in which the camera moves around, or give a single frame as a picture",
    )


def _fit_pairs(clip: Clip, transitions: list[Transition], baseline: float) -> Iterator[HomographyFit]:
    """Yield homographies between frames that are about a baseline apart, not across broken links.

    Pairs of a long baseline overlap, so that one bad fit of three does not decide.
    """
    broken = set(find_broken_links(transitions))
    i = 0
    while i < len(clip) - 1:
        moved, j, following = 0.0, i, None
        while j < len(clip) - 1 and j - i < MAX_FRAME_STEP and moved < baseline * clip.diagonal:
            moved += transitions[j].motion
            j += 1
            if following is None and moved >= BASELINE * clip.diagonal:
                following = j
        if not any(i < link <= j for link in broken) and (fit := _fit_homography(clip, i, j)) is not None:
            yield fit
        i = following or j


def _residual_stays(clip: Clip, near: list[HomographyFit], far: list[HomographyFit]) -> bool:
    """Tell whether the residual hardly grows with the baseline: then it is distortion of the frames, not parallax.

    Nor may that of the points which fit worst: most of what a walk through a room shows is often a single wall.
    """
    far = [fit for fit in far if fit.motion > 0.8 * LONG_BASELINE * BASELINE * clip.diagonal]
    if len(far) < MIN_PAIRS or clip.masks is not None:
        return False
    before, after = (
        np.median([(fit.residual**2, fit.tail**2, fit.motion**2) for fit in fits], 0) for fits in (near, far)
    )
    if after[2] < MIN_BASELINE_GROWTH**2 * before[2]:
        # In frames that are far apart, only jerks, which are rotations, move points much farther than the others.
        return False
    growth = np.sqrt((np.maximum(0, after - before) / (after[2] - before[2]))[:2])
    return bool((growth < MAX_RESIDUAL_GROWTH).all() and after[0] < (MAX_RELATIVE_RESIDUAL**2) * after[2])


def _fit_homography(clip: Clip, i: int, j: int) -> HomographyFit | None:
    """Fit a homography between two frames; return None where too few points can be followed."""
    import cv2

    transition = compare_frames(clip, i, j)
    if len(transition.start) < MIN_POINTS or transition.tracked_fraction < MIN_TRACKED_FRACTION:
        return None
    cv2.setRNGSeed(0)
    homography, _ = cv2.findHomography(transition.start, transition.end, cv2.RANSAC, 1.0, maxIters=2000)
    if homography is None:
        return None
    expected = cv2.perspectiveTransform(transition.start[:, None], homography)[:, 0]
    distances = np.linalg.norm(transition.end - expected, axis=1)
    return HomographyFit(
        motion=transition.motion,
        residual=float(np.percentile(distances, 75)),
        tail=float(np.percentile(distances, 95)),
        zoom=_magnification(transition.start, expected),
    )


def _magnification(start: Float64[np.ndarray, "P 2"], end: Float64[np.ndarray, "P 2"]) -> float:
    """Return the ratio of the standard deviations of points."""
    return float(np.sqrt(end.var(0).sum() / max(start.var(0).sum(), 1e-9)))


def _classify(fits: list[HomographyFit]) -> tuple[str, str]:
    """Return kind and description of a motion without parallax."""
    zoom = float(np.median([abs(np.log(fit.zoom)) for fit in fits]))
    if zoom > np.log(MIN_ZOOM):
        return "zoom only", "zooms"
    return "rotation only", "rotates in place, or the scene is flat"


def _no_parallax(fits: list[HomographyFit], total: int) -> VideoFinding:
    """Return the finding that homographies explain the motion of these of `total` pairs."""
    kind, motion = _classify(fits)
    residual = float(np.median([fit.residual for fit in fits]))
    return VideoFinding(
        kind=kind,
        severity="reject",
        frames=(),
        sure=float(np.clip(len(fits) / total * (1 - 0.5 * residual / MAX_FLAT_RESIDUAL), 0.5, 0.95)),
        found=f"the camera {motion}: near and far points move alike to {residual:.1f} px, so depth cannot be seen",
        advice="use a video in which the camera moves sideways or around; a single frame can be given as a picture",
    )


def _little_parallax(fits: list[HomographyFit]) -> VideoFinding:
    """Return the finding that homographies explain nearly all motion."""
    residual, motion = (float(np.median([getattr(fit, name) for fit in fits])) for name in ("residual", "motion"))
    return VideoFinding(
        kind="little parallax",
        severity="warning",
        frames=(),
        sure=0.6,
        found=f"nearly all motion is that of a camera that {_classify(fits)[1]}: "
        f"only {residual:.1f} of {motion:.0f} px are parallax",
        advice="depth will be poor; use a video in which the camera moves more to the side",
    )
