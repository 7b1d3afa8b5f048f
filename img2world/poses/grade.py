"""Grades of estimated cameras, by validation tracks: tracks that their solver did not use."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int64

from img2world.core.pose_report import Grade, PoseReport
from img2world.core.views import Views
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.estimate import OPPOSITE, SHORTER_LENS, PoseEstimate
from img2world.poses.rigidity import MIN_MOVING_FRACTION, find_moving_frames, find_moving_tracks
from img2world.poses.triangulation import parallax_angles, reprojection_errors
from img2world.tracking.tracks import Tracks

INLIER_PIXELS = 2.0
"""Pixels of frames 256 pixels wide within which an observation fits."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Thresholds that cameras must reach for a grade."""

    grade: Grade
    min_placed: float
    """Fraction of the frames. With nine in ten, 81 % of the pairs are known; A and B promise 80."""
    max_error_px: float
    """Median reprojection error."""
    min_inliers: float
    """Fraction of the observations."""
    min_parallax_deg: float
    min_reverse_margin: float
    """Relative increase of the cost in the opposite direction, where that was tried."""
    min_lens_margin: float
    """The same with half the focal length."""
    min_tracks: int
    allows_doubt: bool = False
    """True if an estimate with a caveat, or with a parameter at its limit, can get the grade."""


THRESHOLDS = (
    Thresholds(
        grade="A",
        min_placed=0.95,
        max_error_px=1.3,
        min_inliers=0.7,
        min_parallax_deg=6.0,
        min_reverse_margin=0.5,
        min_lens_margin=0.02,
        min_tracks=100,
    ),
    Thresholds(
        grade="B",
        min_placed=0.9,
        max_error_px=2.2,
        min_inliers=0.4,
        min_parallax_deg=3.0,
        min_reverse_margin=0.15,
        min_lens_margin=0.02,
        min_tracks=50,
    ),
    Thresholds(
        grade="C",
        min_placed=0.5,
        max_error_px=4.0,
        min_inliers=0.15,
        min_parallax_deg=1.5,
        min_reverse_margin=-0.2,
        min_lens_margin=-1.0,
        min_tracks=20,
        allows_doubt=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The measured quality of an estimate; the fields correspond to `Thresholds`."""

    placed: float
    error_px: float
    inliers: float
    parallax_deg: float
    num_tracks: int
    at_limit: bool
    caveat: str = ""
    margins: dict[str, float] = field(default_factory=dict)


def grade_views(
    views: Views, validation: Tracks, *, total: int, placed: Int64[np.ndarray, "K"], caveat: str = ""
) -> Views:
    """Return the views with a report on their cameras.

    `placed` are the indices of the views among the `total` frames; the tracks' frame ids are those of the views.
    """
    cameras = CameraParameters.from_cameras(views.cameras)
    estimate = PoseEstimate(solver=views.solver, cameras=cameras, placed=placed, caveat=caveat)
    return attach_report(views, estimate, validation, total=total)


def attach_report(views: Views, estimate: PoseEstimate, validation: Tracks, *, total: int) -> Views:
    """Return the views with a report on the estimate that their cameras come from."""
    return replace(views, report=make_report(estimate, validation, total=total, width=views.cameras.width))


def make_report(estimate: PoseEstimate, validation: Tracks, *, total: int, width: int) -> PoseReport:
    """Measure and grade an estimate for frames of this width in pixels. Frame ids of the tracks index its cameras."""
    measured = _measure(estimate, validation, total=total, width=width)
    grade, reasons = assign_grade(measured)
    moving = find_moving_tracks(validation, estimate.cameras, width)
    moving_fraction = float(moving.mean()) if len(moving) else 0.0
    moving_frames = (
        find_moving_frames(validation, moving, len(estimate.placed)) if moving_fraction >= MIN_MOVING_FRACTION else ()
    )
    return PoseReport(
        solver=estimate.solver,
        grade=grade,
        reasons=reasons,
        frames=tuple(estimate.placed.tolist()),
        total=total,
        tracks=measured.num_tracks,
        heldout_px=measured.error_px,
        inlier_share=measured.inliers,
        parallax_deg=measured.parallax_deg,
        focal_at_limit=estimate.at_limit,
        margins=estimate.margins,
        moving_share=moving_fraction,
        # The report counts frames as they came, with those that were not placed.
        moving_frames=tuple(estimate.placed[list(moving_frames)].tolist()),
    )


def _measure(estimate: PoseEstimate, validation: Tracks, *, total: int, width: int) -> Measurements:
    """Measure how well an estimate agrees with validation tracks; the worst values where there are none."""
    errors = reprojection_errors(validation, estimate.cameras) * min(1.0, 256 / width)
    angles = parallax_angles(validation, estimate.cameras)
    return Measurements(
        placed=len(estimate.placed) / total,
        error_px=float(np.median(errors)) if len(errors) else 99.0,
        inliers=float((errors < INLIER_PIXELS).mean()) if len(errors) else 0.0,
        parallax_deg=float(np.degrees(np.median(angles))) if len(angles) else 0.0,
        num_tracks=len(validation),
        at_limit=estimate.at_limit,
        caveat=estimate.caveat,
        margins=estimate.margins,
    )


def assign_grade(measured: Measurements) -> tuple[Grade, tuple[str, ...]]:
    """Return the best grade whose thresholds are met, and why the next better one is not."""
    reasons: tuple[str, ...] = ()
    for needed in THRESHOLDS:
        shortfalls = tuple(_shortfalls(measured, needed))
        if not shortfalls:
            return needed.grade, reasons
        reasons = shortfalls
    return "D", reasons


def _shortfalls(measured: Measurements, needed: Thresholds) -> list[str]:
    """Return a line for each threshold that is not met."""
    grade = needed.grade
    reverse_margin = measured.margins.get(OPPOSITE, float("inf"))
    lens_margin = measured.margins.get(SHORTER_LENS, float("inf"))
    checks = [
        (bool(measured.caveat) and not needed.allows_doubt, measured.caveat),
        (
            measured.placed < needed.min_placed,
            f"{measured.placed:.0%} of the frames are placed, {grade} needs {needed.min_placed:.0%}",
        ),
        (
            measured.num_tracks < needed.min_tracks,
            f"{measured.num_tracks} validation points, {grade} needs {needed.min_tracks}",
        ),
        (
            measured.error_px > needed.max_error_px,
            f"the median reprojection error is {measured.error_px:.1f} px, {grade} needs {needed.max_error_px} px",
        ),
        (
            measured.inliers < needed.min_inliers,
            f"{measured.inliers:.0%} of the validation points fit, {grade} needs {needed.min_inliers:.0%}",
        ),
        (
            measured.parallax_deg < needed.min_parallax_deg,
            f"the median parallax is {measured.parallax_deg:.1f} degrees, {grade} needs {needed.min_parallax_deg:g}",
        ),
        (
            reverse_margin < needed.min_reverse_margin,
            f"the opposite direction fits only {reverse_margin:.0%} worse, "
            f"{grade} needs {needed.min_reverse_margin:.0%}",
        ),
        (
            lens_margin < needed.min_lens_margin,
            f"half the focal length fits as well ({lens_margin:+.1%}), {grade} needs {needed.min_lens_margin:+.0%}",
        ),
        (measured.at_limit and not needed.allows_doubt, "the focal length or another parameter reached its limit"),
    ]
    return [reason for failed, reason in checks if failed]
