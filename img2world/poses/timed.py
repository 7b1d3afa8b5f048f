"""Cameras of what moves: found or checked at one time, at which all stands still, and kept for all times.

Several fixed cameras see the same thing at a time. A thing that one camera sees at each time is different every time,
so that pictures cannot check cameras which came with them, unless something stands still.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from img2world.core.errors import PoseError, RejectedError
from img2world.core.frames import Frames
from img2world.core.pictures import select_pictures
from img2world.core.pose_report import Grade, PoseReport
from img2world.core.progress import Progress, silent
from img2world.core.views import Views
from img2world.poses.colmap import TAKE_PHOTOS, ColmapPoses
from img2world.poses.given import GivenPoses
from img2world.poses.orbit import OrbitPoses, mask_background
from img2world.poses.ring import ring_views
from img2world.poses.second_opinion import has_known_lenses, with_second_opinion
from img2world.poses.sparse_model import SparseModel, views_from_model
from img2world.poses.validation import add_reason, validate_views
from img2world.tracking.hull_points import hull_points, with_hull_points
from img2world.tracking.object_masks import object_masks

GOOD: tuple[Grade, ...] = ("A", "B")

MORE_TIMES = 3
"""Times whose pictures are matched together where those of one have too little in common."""

ENOUGH_PLACED = 0.75
"""Fraction of the viewpoints that are placed from which those of one time do."""

SURE_AGREEMENT, MIN_AGREEMENT = 0.9, 0.7
"""Overlap of outlines with the visual hull from which given cameras are right, as far as outlines tell, and below which
cameras are wrong. Right cameras of 4 to 12 views of made objects have 0.94 to 1, those in a wrong order 0.3 to 0.9, and
0.97 where the object is round."""

MISSED_OUTLINES = 4
"""One in so many outlines, at different times, may not contain a point of a thing that moves."""

EVEN_STEPS = 0.02
"""Overlap of outlines that is forgiven to cameras in even steps: they have three parameters, others many."""

MIN_ORBIT = 4
"""Viewpoints from which a circle is looked for."""


def estimate_timed(
    frames: Frames,
    *,
    known: GivenPoses | None = None,
    min_views: int = 3,
    time_limit: float = 0.0,
    seed: int = 0,
    progress: Progress = silent,
    work: Path | None = None,
) -> Views:
    """Return frames that are taken at known times with their cameras, these times and points of one time.

    Given cameras are kept as `known` says; those of fixed viewpoints are found otherwise. Raises RejectedError when
    none are found, and PoseError when there are neither cameras nor viewpoints.
    """
    frames, known = _cut_out(frames), known or GivenPoses()
    if frames.viewpoints is None:
        if frames.cameras is None:
            raise PoseError("the pictures have times, but neither cameras nor fixed viewpoints", hint=TAKE_PHOTOS)
        return _one_view_each(frames, known, seed, progress)
    index = best_time(frames)
    still, first = still_frames(frames, index), float(frames.times[index[0]])
    if frames.cameras is not None:
        return _given(frames, index, known, seed, progress)
    found: list[tuple[Views, float]] = []
    failures = []
    if still.alpha is not None and len(still) >= MIN_ORBIT:
        try:
            orbit = OrbitPoses().estimate(replace(still, ordered=True), None, seed=seed, progress=progress)
            found.append(_with_outlines(_replicated(orbit, index, frames), first, given=False))
        except PoseError as error:
            failures.append(f"orbit: {error}")
    for chosen in (index, _several_times(frames, index)):
        if any(_suffices(views) for views, _ in found):
            break
        try:
            colmap = ColmapPoses(min_views=min_views, time_limit=time_limit)
            views = _by_colmap(frames, chosen, colmap, seed, progress, work)
            found.append(_with_outlines(views, first, given=False))
        except PoseError as error:
            failures.append(f"colmap at {len(np.unique(frames.times[chosen]))} times: {error}")
    # Points in common of few pictures fit wrong cameras, too.
    if still.alpha is not None and not any(_report(views).grade in GOOD for views, _ in found):
        try:
            ring = ring_views(frames, len(np.unique(frames.viewpoints)), progress)
            views, agreement = _with_outlines(_replicated(ring, index, frames), first, given=False)
            found.append((views, agreement + EVEN_STEPS))
        except PoseError as error:
            failures.append(f"ring: {error}")
    if not found:
        raise RejectedError(
            f"no cameras could be found for {len(still)} viewpoints; {'; '.join(failures)}",
            hint="tell them with --set video.cameras=transforms.json, one for each video, or put that into the folder",
        )
    best, _ = min(found, key=lambda each: (_report(each[0]).grade, -each[1]))
    return replace(best, report=replace(_report(best), reasons=(*_report(best).reasons, *failures)))


def _given(frames: Frames, index: Int64[np.ndarray, "K"], known: GivenPoses, seed: int, progress: Progress) -> Views:
    """Return the frames with the given cameras of their viewpoints, checked at one time by points and outlines.

    Cameras far apart share too few points to tell, and false ones may contradict them; of an object, outlines overrule.
    """
    given = known.prepare(still_frames(frames, index), progress)
    first = float(frames.times[index[0]])
    views = known.solve(given, refine=known.refine, seed=seed)
    report = _report(views)
    if views.alpha is not None and not (report.grade in GOOD and report.placed == report.total):
        doubtful = replace(report, grade="D", frames=tuple(range(report.total)))
        whole = replace(known.unchecked(given, seed=seed), report=doubtful)
        whole, _ = _with_outlines(_replicated(whole, index, frames), first, given=True)
        if _report(whole).grade in GOOD:
            return whole
    return _with_outlines(_replicated(views, index, frames), first, given=True)[0]


def _suffices(views: Views) -> bool:
    """Tell whether no more pictures need to be matched to find cameras."""
    report = _report(views)
    return report.grade in GOOD or (report.grade == "C" and report.placed >= ENOUGH_PLACED * report.total)


def best_time(frames: Frames) -> Int64[np.ndarray, "K"]:
    """Return the indices of the frames of the time that most viewpoints saw; of several, the first."""
    times, counts = np.unique(frames.times, return_counts=True)
    return np.flatnonzero(frames.times == times[np.argmax(counts)])


def still_frames(frames: Frames, index: Int64[np.ndarray, "K"]) -> Frames:
    """Return some of the frames as photos of something that stands still."""
    return replace(frames.select(index), viewpoints=None, is_timed=False, ordered=False)


def _cut_out(frames: Frames) -> Frames:
    """Return the frames with the alpha of an object in front of a plain background, a scene unchanged."""
    if frames.alpha is not None:
        return frames
    rgb, alpha = mask_background(frames, object_masks(frames))
    return replace(frames, rgb=rgb, alpha=alpha)


def _report(views: Views) -> PoseReport:
    """Return the report that every solver here attaches."""
    assert views.report is not None
    return views.report


def _with_outlines(views: Views, first: float, *, given: bool) -> tuple[Views, float]:
    """Return views of an object with the points of its visual hull at the first time, graded by its outlines as well.

    Outlines confirm cameras that were given; to others, which may fit them by chance, they only object. The number says
    how far the outlines agree, 0 to 1, 0 of a scene.
    """
    if views.alpha is None or views.times is None:
        return views, 0.0
    if (hull := hull_points(_at(views, first))) is None:
        report = replace(_report(views), grade="D")
        views = replace(views, report=report)
        return add_reason(views, "the outlines of the viewpoints have no volume in common"), 0.0
    times = np.unique(views.times)
    others = times[np.linspace(0, len(times) - 1, min(MORE_TIMES, len(times))).round().astype(int)]
    hulls = [hull, *(hull_points(_at(views, time)) for time in others.tolist() if time != first)]
    agreement = min(0.0 if each is None else each.agreement for each in hulls)
    views, report = with_hull_points(views, hull), _report(views)
    told = f"the outlines of the viewpoints agree to {agreement:.0%} at {len(hulls)} times"
    if agreement < MIN_AGREEMENT:
        return add_reason(replace(views, report=replace(report, grade="D")), told), agreement
    if not given or report.grade in GOOD:
        return views if agreement >= SURE_AGREEMENT else add_reason(views, told), agreement
    few = f"only {report.tracks} points in common, too few to tell"
    grade = "B" if agreement >= SURE_AGREEMENT else "C"
    return replace(views, report=replace(report, grade=grade, reasons=(few, told))), agreement


def _at(views: Views, time: float) -> Views:
    """Return the views of one time."""
    return views.select(np.flatnonzero(views.times == time))


def _replicated(views: Views, index: Int64[np.ndarray, "K"], frames: Frames) -> Views:
    """Return all frames of the viewpoints whose cameras the views at one time have; `index` is theirs in the frames."""
    assert frames.viewpoints is not None
    report = _report(views)
    placed = frames.viewpoints[index[list(report.frames)]]
    chosen = np.flatnonzero(np.isin(frames.viewpoints, placed))
    place = {int(viewpoint): i for i, viewpoint in enumerate(placed)}
    order = np.array([place[int(viewpoint)] for viewpoint in frames.viewpoints[chosen]], np.int64)
    rgb, alpha, mask = (
        None if pictures is None else select_pictures(pictures, chosen)
        for pictures in (frames.rgb, frames.alpha, frames.mask)
    )
    assert rgb is not None
    return replace(
        views,
        rgb=rgb,
        alpha=alpha,
        mask=mask,
        cameras=views.cameras.select(order),
        confidence=views.confidence[order],
        times=frames.times[chosen],
        report=replace(report, frames=tuple(chosen.tolist()), total=len(frames)),
    )


def _several_times(frames: Frames, first: Int64[np.ndarray, "K"]) -> Int64[np.ndarray, "M"]:
    """Return the indices of the frames at some times, the first ones among them."""
    times = np.unique(frames.times)
    others = times[np.linspace(0, len(times) - 1, min(MORE_TIMES, len(times))).round().astype(int)]
    return np.unique(np.concatenate([first, np.flatnonzero(np.isin(frames.times, others))]))


def _by_colmap(
    frames: Frames,
    index: Int64[np.ndarray, "K"],
    colmap: ColmapPoses,
    seed: int,
    progress: Progress,
    work: Path | None,
) -> Views:
    """Return all frames with the cameras that COLMAP finds for the pictures of one or a few times.

    Raises PoseError when it places too few viewpoints.
    """
    assert frames.viewpoints is not None
    photos = still_frames(frames, index)
    folder = None if work is None else work / f"{len(index)}"
    model = colmap.reconstruct(photos, seed=seed, progress=progress, work=folder)
    viewpoints, placed = frames.viewpoints[index], model.placed
    count = len(np.unique(viewpoints[placed]))
    if count < colmap.min_views:
        total = len(np.unique(frames.viewpoints))
        raise PoseError(f"placed {count} of {total} viewpoints, needs at least {colmap.min_views}", hint=TAKE_PHOTOS)
    views = views_from_model(photos, model, solver="colmap")
    views = validate_views(views, model.tracks, ordered=False, total=len(photos), placed=placed, progress=progress)
    report = _report(with_second_opinion(views, ordered=False, known_lens=has_known_lenses(photos)))
    # Only viewpoints of which a picture was confirmed are kept.
    kept = np.isin(placed, report.frames)
    chosen = np.flatnonzero(np.isin(frames.viewpoints, viewpoints[placed[kept]]))
    grown = views_from_model(frames, _for_all_times(model, kept, index, chosen, frames.viewpoints), solver="colmap")
    confidence = np.full(len(chosen), np.median(views.confidence), np.float32)
    return replace(
        grown,
        confidence=confidence,
        times=frames.times[chosen],
        report=replace(report, frames=tuple(chosen.tolist()), total=len(frames)),
    )


def _for_all_times(
    model: SparseModel,
    kept: np.ndarray,
    index: Int64[np.ndarray, "K"],
    chosen: Int64[np.ndarray, "M"],
    viewpoints: Int64[np.ndarray, "V"],
) -> SparseModel:
    """Return a model of the pictures of a few times as one of the chosen frames, with its cameras for all times.

    `kept` tells which of its pictures count, `index` is that of its pictures among the frames.
    """
    frames = index[model.placed]
    # Of several pictures of a viewpoint, the camera of the one with the most points counts.
    order = np.argsort(-model.num_observations, kind="stable")
    best = {int(viewpoints[frames[i]]): int(i) for i in order[::-1] if kept[i]}
    source = np.array([best[int(viewpoints[frame])] for frame in chosen], np.int64)
    place = np.full(len(viewpoints), -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    observed = place[frames[model.observation_frame_ids]]
    track_ids = model.tracks.track_ids
    seen = observed >= 0
    counts = np.bincount(track_ids[seen], minlength=len(model.points))
    points = np.flatnonzero(counts > 1)
    used = seen & (counts > 1)[track_ids]
    starts = np.concatenate([[0], np.cumsum(counts[points])[:-1]]).astype(np.int64)
    return replace(
        model,
        placed=chosen,
        cam_from_world=model.cam_from_world[source],
        intrinsics=model.intrinsics[source],
        maps=model.maps[source],
        points=model.points[points],
        point_errors=model.point_errors[points],
        observation_frame_ids=observed[used],
        observation_xy=model.observation_xy[used],
        observation_starts=starts,
    )


def _one_view_each(frames: Frames, known: GivenPoses, seed: int, progress: Progress) -> Views:
    """Return frames of different times with their given cameras.

    Those of a scene are checked by what stands still in it; an object moves, so that nothing tells.
    """
    given = known.prepare(frames, progress)
    is_object = frames.alpha is not None
    views = known.unchecked(given, seed=seed) if is_object else known.solve(given, refine=known.refine, seed=seed)
    placed = np.arange(len(frames)) if views.report is None else np.array(views.report.frames)
    if views.alpha is not None:
        hull = hull_points(views, max_misses=len(views) // MISSED_OUTLINES)
        views = views if hull is None else with_hull_points(views, hull)
    return replace(views, times=frames.times[placed])
