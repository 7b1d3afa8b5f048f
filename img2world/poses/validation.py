"""Cameras of COLMAP judged by points that it did not use: corners of photos, and the flow of videos."""

from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Int64

from img2world.core.pose_report import PoseReport
from img2world.core.views import Views
from img2world.poses.estimate import among
from img2world.poses.grade import BARS, INLIER_PIXELS, judged
from img2world.poses.triangulation import errors, rig_of
from img2world.tracking.features import feature_tracks
from img2world.tracking.flow import flow_tracks, prepare
from img2world.tracking.object_masks import to_look_at
from img2world.tracking.tracks import Tracks

LEAST_CONFIRMED = 8
"""Observations that must fit in a photo; with fewer it hangs on to the others by what merely looks alike."""

LEAST_VIEWS = 3


def confirmed(views: Views, own: Tracks, *, ordered: bool, total: int, placed: Int64[np.ndarray, "K"]) -> Views:
    """The views that other points than the solver's `own` confirm, with a report; `placed` are their frames.

    Where there are too few other points, the solver's own judge it, and the grade is B at best.
    """
    witnesses = _witnesses(views, ordered)
    if len(witnesses) < BARS[1].tracks:
        return _capped(judged(views, own, total=total, placed=placed), len(witnesses))
    fits = errors(witnesses, rig_of(views.cameras)) * min(1.0, 256 / views.cameras.width) < INLIER_PIXELS
    sure = np.bincount(witnesses.frame, weights=fits, minlength=len(views)) >= LEAST_CONFIRMED
    if sure.all() or sure.sum() < LEAST_VIEWS:
        return judged(views, witnesses, total=total, placed=placed)
    kept = np.flatnonzero(sure)
    report = judged(views.select(kept), among(witnesses, kept, len(views)), total=total, placed=placed[sure])
    lost = ", ".join(str(i) for i in placed[~sure])
    assert report.report is not None
    reasons = (*report.report.reasons, f"no other points confirm COLMAP's cameras of frame {lost}")
    return replace(report, report=replace(report.report, reasons=reasons))


def _witnesses(views: Views, ordered: bool) -> Tracks:
    """Points that were not looked for by the solver."""
    masks = None if views.alpha is None else views.alpha > 127
    if ordered:
        return flow_tracks(prepare(views.rgb, masks, views.mask), closed=False)
    return feature_tracks(
        views.rgb, to_look_at(masks, views.mask), list(combinations(range(len(views)), 2)), kind="corners"
    )


def _capped(views: Views, count: int) -> Views:
    """Views judged by the points that they come from."""
    report = views.report
    assert report is not None
    reason = f"only {count} points judge the cameras that are not the solver's own"
    capped: PoseReport = replace(report, grade="B" if report.grade == "A" else report.grade)
    return replace(views, report=replace(capped, reasons=(*report.reasons, reason)))
