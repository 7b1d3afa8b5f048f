"""The grade of cameras, by tracks that no solver has seen."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int64

from img2world.core.pose_report import Grade, PoseReport
from img2world.core.views import Views
from img2world.poses.estimate import Answer
from img2world.poses.rigidity import LEAST_MOVING, moving_frames, moving_tracks
from img2world.poses.triangulation import errors, rig_of, widest_angles
from img2world.tracking.tracks import Tracks

INLIER_PIXELS = 2.0
"""At 256 pixels of width."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What cameras must reach for a grade."""

    grade: Grade
    placed: float
    """Least share of the frames. With nine in ten, 81 % of the pairs are known; A and B promise 80."""
    pixels: float
    """Most median error."""
    inliers: float
    parallax_deg: float
    opposite: float
    """Least margin over the opposite direction, where there is one."""
    tracks: int
    sure: bool = True
    """Whether an answer that is in doubt stays below."""


BARS = (
    Bar(grade="A", placed=0.95, pixels=1.3, inliers=0.7, parallax_deg=6.0, opposite=0.5, tracks=100),
    Bar(grade="B", placed=0.9, pixels=2.2, inliers=0.4, parallax_deg=3.0, opposite=0.15, tracks=50),
    Bar(grade="C", placed=0.5, pixels=4.0, inliers=0.15, parallax_deg=1.5, opposite=-0.2, tracks=20, sure=False),
)


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """What is measured."""

    placed: float
    pixels: float
    inliers: float
    parallax_deg: float
    tracks: int
    at_limit: bool
    doubt: str = ""
    margins: dict[str, float] = field(default_factory=dict)


def report_on(answer: Answer, held_out: Tracks, *, total: int, width: int) -> PoseReport:
    """What is known of an answer. The tracks are numbered as its placed frames are."""
    scale = min(1.0, 256 / width)
    found = errors(held_out, answer.rig) * scale
    figures = _Figures(
        placed=len(answer.placed) / total,
        pixels=float(np.median(found)) if len(found) else 99.0,
        inliers=float((found < INLIER_PIXELS).mean()) if len(found) else 0.0,
        parallax_deg=float(np.degrees(np.median(widest_angles(held_out, answer.rig)))) if len(held_out) else 0.0,
        tracks=len(held_out),
        at_limit=answer.at_limit,
        doubt=answer.doubt,
        margins=answer.margins,
    )
    grade, reasons = graded(figures)
    moving = moving_tracks(held_out, answer.rig, width)
    share = float(moving.mean()) if len(moving) else 0.0
    # The report counts frames as they came.
    where = moving_frames(held_out, moving, len(answer.placed)) if share >= LEAST_MOVING else ()
    return PoseReport(
        solver=answer.solver,
        grade=grade,
        reasons=reasons,
        frames=tuple(answer.placed.tolist()),
        total=total,
        tracks=figures.tracks,
        heldout_px=figures.pixels,
        inlier_share=figures.inliers,
        parallax_deg=figures.parallax_deg,
        focal_at_limit=answer.at_limit,
        margins=answer.margins,
        moving_share=share,
        moving_frames=tuple(answer.placed[list(where)].tolist()),
    )


def graded(figures: _Figures) -> tuple[Grade, tuple[str, ...]]:
    """The best grade whose bar is reached, and what kept it from the next better one."""
    reasons: tuple[str, ...] = ()
    for bar in BARS:
        short = tuple(_shortfalls(figures, bar))
        if not short:
            return bar.grade, reasons
        reasons = short
    return "D", reasons


def _shortfalls(figures: _Figures, bar: Bar) -> list[str]:
    """In what the figures miss a bar."""
    opposite = figures.margins.get("opposite direction", 9.0)
    checks = [
        (bool(figures.doubt) and bar.sure, figures.doubt),
        (
            figures.placed < bar.placed,
            f"{figures.placed:.0%} of the frames are placed, {bar.grade} needs {bar.placed:.0%}",
        ),
        (figures.tracks < bar.tracks, f"{figures.tracks} points to judge by, {bar.grade} needs {bar.tracks}"),
        (figures.pixels > bar.pixels, f"points are {figures.pixels:.1f} px off, {bar.grade} needs {bar.pixels} px"),
        (
            figures.inliers < bar.inliers,
            f"{figures.inliers:.0%} of the points fit, {bar.grade} needs {bar.inliers:.0%}",
        ),
        (
            figures.parallax_deg < bar.parallax_deg,
            f"the view of a point turns by {figures.parallax_deg:.1f} degrees, {bar.grade} needs {bar.parallax_deg:g}",
        ),
        (opposite < bar.opposite, f"the opposite direction fits only {opposite:.0%} worse"),
        (figures.at_limit, "the focal length or another number ran to the end of what is possible"),
    ]
    return [reason for failed, reason in checks if failed]


def judged(views: Views, held_out: Tracks, *, total: int, placed: Int64[np.ndarray, "K"], doubt: str = "") -> Views:
    """The views with a report on their cameras; `placed` are their frames. The tracks are numbered as the views are."""
    answer = Answer(solver=views.solver, rig=rig_of(views.cameras), placed=placed, cost=0.0, doubt=doubt)
    return with_report(views, answer, held_out, total=total)


def with_report(views: Views, answer: Answer, held_out: Tracks, *, total: int) -> Views:
    """The views with a report on the answer that they come from."""
    return replace(views, report=report_on(answer, held_out, total=total, width=views.cameras.width))
