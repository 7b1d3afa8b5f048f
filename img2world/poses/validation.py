"""Validation of COLMAP's cameras by points that it did not use: corners in photos, optical flow in videos."""

from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int64

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

MIN_SHARE = 2 / 3
"""Fraction of the validation observations in a frame of a video that must fit, relative to the median of all frames.
Frames after a jerk may be placed as if the camera had turned on the spot, which only what is far away fits."""

MAX_ALL_PAIRS = 12
"""Photos of which all pairs are compared."""

NUM_OVERLAPPING = 5
"""Photos that each of more photos is compared with."""

NUM_MORE_OVERLAPPING = 15
"""The same for those that are not confirmed by then."""

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
        return cap_grade(grade_views(views, own_tracks, total=total, placed=placed), len(validation))
    confirmed = _find_confirmed(views, validation, MIN_SHARE if ordered else 0.0)
    if not ordered and len(views) > MAX_ALL_PAIRS and not confirmed.all():
        confirmed |= _compare_with_more(views, own_tracks, np.flatnonzero(~confirmed), progress)
    if confirmed.all() or confirmed.sum() < MIN_VIEWS:
        return grade_views(views, validation, total=total, placed=placed)
    kept = np.flatnonzero(confirmed)
    graded = grade_views(
        views.select(kept), validation.in_frames(kept, len(views)), total=total, placed=placed[confirmed]
    )
    dropped = ", ".join(str(i) for i in placed[~confirmed])
    return add_reason(graded, f"too few validation points confirm COLMAP's cameras of frame {dropped}")


def _find_confirmed(views: Views, validation: Tracks, min_share: float = 0.0) -> Bool[np.ndarray, "V"]:
    """Tell for each view whether enough observations fit, and about as large a fraction as in most views."""
    errors = reprojection_errors(validation, CameraParameters.from_cameras(views.cameras))
    fits = errors * min(1.0, 256 / views.cameras.width) < INLIER_PIXELS
    fitting = np.bincount(validation.frame_ids, weights=fits, minlength=len(views))
    share = fitting / np.maximum(np.bincount(validation.frame_ids, minlength=len(views)), 1)
    return (fitting >= MIN_INLIERS) & (share >= min_share * np.median(share))


def _compare_with_more(
    views: Views, own_tracks: Tracks, doubtful: Int64[np.ndarray, "D"], progress: Progress
) -> Bool[np.ndarray, "V"]:
    """Compare photos that a few others do not confirm with more of them; tell for each view whether these do."""
    pairs = select_overlapping(own_tracks, len(views), doubtful, NUM_MORE_OVERLAPPING)
    involved = np.unique(pairs) if pairs else doubtful
    new_ids = {int(i): k for k, i in enumerate(involved)}
    some = views.select(involved)
    masks = combine_masks(None if some.alpha is None else some.alpha > 127, some.mask)
    pairs = [(new_ids[i], new_ids[j]) for i, j in pairs]
    found = track_by_features(some.rgb, masks, pairs, kind="corners", progress=progress)
    confirmed = np.zeros(len(views), bool)
    confirmed[involved] = _find_confirmed(some, found)
    return confirmed


def _find_validation_tracks(views: Views, own_tracks: Tracks, ordered: bool, progress: Progress) -> Tracks:
    """Return tracks of points that COLMAP's own detector does not look for."""
    masks = None if views.alpha is None else views.alpha > 127
    if ordered:
        return track_by_flow(prepare_gray_frames(views.rgb, masks, views.mask), closed=False)
    return track_by_features(
        views.rgb,
        combine_masks(masks, views.mask),
        list(combinations(range(len(views)), 2))
        if len(views) <= MAX_ALL_PAIRS
        else select_overlapping(own_tracks, len(views), np.arange(len(views)), NUM_OVERLAPPING),
        kind="corners",
        max_features=MAX_PHOTO_FEATURES if len(views) <= MAX_ALL_PAIRS else MANY_PHOTOS_FEATURES,
        progress=progress,
    )


def select_overlapping(
    tracks: Tracks, count: int, chosen: Int64[np.ndarray, "D"], num_others: int
) -> list[tuple[int, int]]:
    """Return the pairs of each chosen one of `count` views with those that share the most points with it."""
    from scipy.sparse import coo_matrix

    ones = np.ones(len(tracks.frame_ids), np.int64)
    sees = coo_matrix((ones, (tracks.frame_ids, tracks.track_ids)), shape=(count, max(len(tracks), 1))).tocsr()
    shared = (sees @ sees.T).toarray()
    np.fill_diagonal(shared, 0)
    pairs = set()
    for i in chosen.tolist():
        row = shared[i]
        order = np.argsort(-row, kind="stable")[:num_others]
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in order if row[j]}
    return sorted(pairs)


def cap_grade(views: Views, num_tracks: int) -> Views:
    """Limit the grade of views that were graded by the solver's own tracks to B."""
    assert views.report is not None
    grade = "B" if views.report.grade == "A" else views.report.grade
    capped = replace(views, report=replace(views.report, grade=grade))
    return add_reason(
        capped,
        f"only {num_tracks} independent points confirm the cameras"
        if num_tracks
        else "no independent points confirm the cameras",
    )


def add_reason(views: Views, reason: str) -> Views:
    """Return the views with one more reason in their report."""
    assert views.report is not None
    return replace(views, report=replace(views.report, reasons=(*views.report.reasons, reason)))
