"""Validation of COLMAP's cameras by points that it did not use: corners in photos, optical flow in videos."""

from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Int64

from img2world.core.progress import Progress, silent
from img2world.core.views import Views
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.grade import INLIER_PIXELS, THRESHOLDS, grade_views
from img2world.poses.triangulation import reprojection_errors
from img2world.tracking.features import MAX_PHOTO_FEATURES, track_by_features
from img2world.tracking.flow import prepare_gray_frames, track_by_flow
from img2world.tracking.object_masks import combine_masks
from img2world.tracking.tracks import Tracks

MIN_INLIERS = 8
"""Validation observations that must fit in a view. With fewer, repeated structure may have misplaced it."""

MAX_ALL_PAIRS = 12
"""Photos of which all pairs are compared."""

NUM_OVERLAPPING = 5
"""Photos that each of more photos is compared with."""

MANY_PHOTOS_FEATURES = 2000
"""Corners of each of more photos."""

MIN_VIEWS = 3
"""If fewer views are confirmed, all are kept and the grade tells."""


def validate_views(
    views: Views,
    own_tracks: Tracks,
    *,
    ordered: bool,
    total: int,
    placed: Int64[np.ndarray, "K"],
    progress: Progress = silent,
) -> Views:
    """Drop views that no validation tracks confirm, and attach a report to the others.

    `placed` are the indices of the views among the `total` frames; `ordered` is True for a video. Where there are too
    few validation tracks, the solver's own tracks are used, and the grade is B at best.
    """
    validation = _find_validation_tracks(views, own_tracks, ordered, progress)
    if len(validation) < THRESHOLDS[1].min_tracks:
        return _cap_grade(grade_views(views, own_tracks, total=total, placed=placed), len(validation))
    errors = reprojection_errors(validation, CameraParameters.from_cameras(views.cameras))
    fits = errors * min(1.0, 256 / views.cameras.width) < INLIER_PIXELS
    confirmed = np.bincount(validation.frame_ids, weights=fits, minlength=len(views)) >= MIN_INLIERS
    if confirmed.all() or confirmed.sum() < MIN_VIEWS:
        return grade_views(views, validation, total=total, placed=placed)
    kept = np.flatnonzero(confirmed)
    graded = grade_views(
        views.select(kept), validation.in_frames(kept, len(views)), total=total, placed=placed[confirmed]
    )
    dropped = ", ".join(str(i) for i in placed[~confirmed])
    return _add_reason(graded, f"no validation points confirm COLMAP's cameras of frame {dropped}")


def _find_validation_tracks(views: Views, own_tracks: Tracks, ordered: bool, progress: Progress) -> Tracks:
    """Return tracks of points that COLMAP's own detector does not look for."""
    masks = None if views.alpha is None else views.alpha > 127
    if ordered:
        return track_by_flow(prepare_gray_frames(views.rgb, masks, views.mask), closed=False)
    return track_by_features(
        views.rgb,
        combine_masks(masks, views.mask),
        select_overlapping(own_tracks, len(views)),
        kind="corners",
        max_features=MAX_PHOTO_FEATURES if len(views) <= MAX_ALL_PAIRS else MANY_PHOTOS_FEATURES,
        progress=progress,
    )


def select_overlapping(tracks: Tracks, count: int) -> list[tuple[int, int]]:
    """Return the pairs of views to confirm: all of few, else of each view those that share the most points with it."""
    from scipy.sparse import coo_matrix

    if count <= MAX_ALL_PAIRS:
        return list(combinations(range(count), 2))
    ones = np.ones(len(tracks.frame_ids), np.int64)
    sees = coo_matrix((ones, (tracks.frame_ids, tracks.track_ids)), shape=(count, max(len(tracks), 1))).tocsr()
    shared = (sees @ sees.T).toarray()
    np.fill_diagonal(shared, 0)
    pairs = set()
    for i, row in enumerate(shared):
        order = np.argsort(-row, kind="stable")[:NUM_OVERLAPPING]
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in order if row[j]}
    return sorted(pairs)


def _cap_grade(views: Views, num_tracks: int) -> Views:
    """Limit the grade of views that were graded by the solver's own tracks to B."""
    assert views.report is not None
    grade = "B" if views.report.grade == "A" else views.report.grade
    capped = replace(views, report=replace(views.report, grade=grade))
    return _add_reason(
        capped,
        f"only {num_tracks} independent points confirm the cameras"
        if num_tracks
        else "no independent points confirm the cameras",
    )


def _add_reason(views: Views, reason: str) -> Views:
    """Return the views with one more reason in their report."""
    assert views.report is not None
    return replace(views, report=replace(views.report, reasons=(*views.report.reasons, reason)))
