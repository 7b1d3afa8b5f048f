"""Try solvers from the strictest to the most lenient, and keep the best by held-out tracks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Bool, UInt8

from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError, RejectedError
from img2world.core.frames import Frames
from img2world.core.pose_report import Grade, PoseReport
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, Range
from img2world.core.views import Views
from img2world.poses.colmap import TAKE_PHOTOS, ColmapPoses
from img2world.poses.commanded import CommandedPoses, match_prior_path
from img2world.poses.estimate import PathEstimate
from img2world.poses.flow_colmap import adjust_bundle, map_tracks, track_video
from img2world.poses.given import GivenPoses
from img2world.poses.grade import grade_views
from img2world.poses.leave_out import MOVING_RATIO
from img2world.poses.moving_parts import find_moving_parts
from img2world.poses.orbit import OrbitPoses, views_on_path
from img2world.poses.rigidity import MIN_MOVING_FRACTION
from img2world.poses.second_opinion import DOUBTFUL, has_known_lenses, shows_object, with_second_opinion
from img2world.poses.sparse_model import views_from_model
from img2world.poses.still_camera import camera_stands_still, still_camera_views
from img2world.poses.timed import estimate_timed
from img2world.poses.validation import add_reason
from img2world.tracking.flow import prepare_gray_frames
from img2world.tracking.object_masks import object_masks
from img2world.tracking.tracks import Tracks

GOOD: tuple[Grade, ...] = ("A", "B")
"""Grades at which no other solver is tried."""

MASKING_ROUNDS = 3
"""Rounds in which what moves is masked and the cameras are found again: better cameras show more of it."""

MAX_MASKED = 0.35
"""Fraction of the picture that may be masked: of more, it may be what stands still."""

UNVERIFIED_CONFIDENCE = 0.1
"""Confidence of views on the requested path that no solver could confirm."""

STEPS = {
    "orbit": "a circle",
    "colmap": "matching pictures",
    "flow-colmap": "following points",
    "bundle adjustment": "adjusting the path",
    "commanded": "checking the path",
}
"""Words for the progress, by the name of the solver that is tried."""

Solver = Callable[[], Views]


@dataclass(frozen=True, kw_only=True)
class AutoPoses:
    """Try the solvers that suit the frames, keep the best views, and grade them.

    Frames with cameras keep them, adjusted if they are not good. With a requested camera path: that path with a few
    free parameters, then with harmonics, then COLMAP on flow tracks, then bundle adjustment near the path, at last the
    path itself, graded C at best. Photos and videos of scenes: COLMAP, then COLMAP on flow tracks. Videos of an object
    in front of a plain background: search for a circle, then COLMAP on flow tracks. Fixed cameras: those of one time,
    see `timed`. The report names what was tried.
    """

    moving: bool = False
    """The video is to be reconstructed in motion: its times are kept, and one of a camera that stands still is 2.5D."""
    min_views: Annotated[int, Range(2)] = 3
    """Fewer placed frames are an error."""
    time_limit: NonNegativeFloat = 0.0
    """Seconds after which each run of COLMAP is stopped, and what it has placed by then is taken; 0 to go on as long as
    it takes."""

    def estimate(
        self,
        frames: Frames,
        trajectory: Cameras | None,
        *,
        seed: int = 0,
        progress: Progress = silent,
        work: Path | None = None,
    ) -> Views:
        """Return the best-graded views. Raises RejectedError when no solver finds cameras.

        What COLMAP finds in the frames is kept in the folder `work`, see `ColmapPoses`.
        """
        if frames.is_timed:
            return estimate_timed(
                frames,
                min_views=self.min_views,
                time_limit=self.time_limit,
                seed=seed,
                progress=progress,
                work=work,
            )
        if frames.cameras is not None:
            # Frames in order were generated along their cameras; those of a posed dataset may be wrong.
            if frames.ordered:
                return CommandedPoses().estimate(frames, trajectory, seed=seed, progress=progress)
            known = GivenPoses()
            given = known.prepare(frames, progress)
            views = known.solve(given, refine=False, seed=seed)
            if _report(views).grade in GOOD:
                return views
            return min((views, known.solve(given, refine=True, seed=seed)), key=_rank)
        if self.moving and trajectory is None and frames.ordered and camera_stands_still(frames):
            return still_camera_views(frames)
        search = _Search(backend=self, frames=frames, prior_path=trajectory, seed=seed, progress=progress, work=work)
        found, failures = [], []
        for name, solve in search.solvers():
            progress(0, 1, step=STEPS.get(name, name))
            try:
                views = search.judged(solve())
            except PoseError as error:
                failures.append(f"{name}: {error}")
                continue
            found.append(views)
            if _report(views).grade in GOOD:
                break
        if not found:
            raise RejectedError(
                f"no cameras could be found for {len(frames)} {'frames' if frames.ordered else 'photos'}; "
                f"{'; '.join(failures)}",
                hint="film things with texture, and move the camera itself: turning or zooming shows no depth"
                if frames.ordered
                else TAKE_PHOTOS,
            )
        # With a prior path the first solvers stay close to it: with equal grades, they are the safer choice.
        best = min(found, key=_rank if trajectory is None else lambda views: _report(views).grade)
        tried = [
            f"tried {_describe(_report(views))}" for views in found if _report(views).solver != _report(best).solver
        ]
        best = search.without_moving(best)
        if best.times is None and self.moving and frames.ordered:
            best = replace(best, times=frames.times[list(_report(best).frames)])
        reasons = (*_report(best).reasons, *tried, *failures)
        return replace(best, report=replace(_report(best), reasons=reasons))


def _report(views: Views) -> PoseReport:
    """Return the report that every solver of the chain attaches."""
    assert views.report is not None
    return views.report


def _rank(views: Views) -> tuple[str, float, float]:
    """Sort by grade, then by the second opinion, then by held-out error per fraction of placed frames."""
    report = _report(views)
    return report.grade, -(report.gain_db or 0.0), report.heldout_px / max(report.placed / report.total, 0.1)


def _describe(report: PoseReport) -> str:
    """Return solver, grade and gain in a phrase."""
    gain = "" if report.gain_db is None else f" ({report.gain_db:+.1f} dB over neighbouring views)"
    return f"{report.solver}: {report.grade}{gain}"


def _shows_motion(views: Views) -> bool:
    """Tell whether something in the views moves by itself."""
    report = _report(views)
    return bool(report.moving_frames) or report.unsupported >= MOVING_RATIO


@dataclass(frozen=True, kw_only=True)
class _Search:
    """The frames of one video or set of photos, and the solvers that suit them."""

    backend: AutoPoses
    frames: Frames
    prior_path: Cameras | None
    seed: int
    progress: Progress
    work: Path | None

    def solvers(self) -> Iterator[tuple[str, Solver]]:
        """Yield name and function of each solver in the order in which they are tried."""
        if not self.frames.ordered:
            yield "colmap", self._colmap
            return
        masks = object_masks(self.frames)
        gray_frames = prepare_gray_frames(self.frames.rgb, masks, self.frames.mask)
        on_path: list[PathEstimate] = []
        if self.prior_path is not None or masks is not None:

            def orbit() -> Views:
                path = OrbitPoses().find_path(self.frames, gray_frames, self.prior_path, seed=self.seed)
                on_path.append(path)
                return views_on_path(self.frames, masks, path)

            yield "orbit", orbit
        else:
            yield "colmap", self._colmap
        fitted, held_out = track_video(self.frames, gray_frames, masks, seed=self.seed)
        yield "flow-colmap", lambda: self._flow_colmap(fitted, held_out)
        if self.prior_path is not None:
            if on_path:
                yield "bundle adjustment", lambda: self._bundle_adjustment(on_path[0], masks)
            yield "commanded", lambda: self._commanded(held_out)

    def without_moving(self, views: Views) -> Views:
        """Return views of a scene with what moves by itself masked, and the cameras found again without it.

        Better cameras show more of it, so that this is repeated, even if the first masks do not help.
        """
        is_scene = self.frames.ordered and not shows_object(self.frames.rgb, self.frames.alpha)
        if not (is_scene and _shows_motion(views)):
            return views
        best, now, first, first_moving = views, views, None, None
        for _ in range(MASKING_ROUNDS):
            self.progress(0, 1, step="what moves")
            parts = find_moving_parts(now)
            if parts is None:
                break
            if first is None:
                first, first_moving = parts, self._moving(parts.masks, now)
            try:
                now = self.judged(self._again(parts.masks, now))
                now = self._with_motion(now)
            except PoseError:
                break
            # What is masked is not missed, so that figures of the rest look better than before; only grades compare.
            best = min(best, now, key=lambda views: _report(views).grade)
            if not _shows_motion(now):
                break
        report = _report(best)
        if best is not views:
            # What moves in the video is told although it is masked.
            share, frames = self._masked_share(best)
            reason = f"{share:.0%} of the picture moves by itself"
            reason += ", and masks do not hide all of it" if _shows_motion(best) else "; it is masked"
            if share > MAX_MASKED:
                reason += ", but with so much of it nothing tells which of both stands still"
                report = replace(report, grade=max(report.grade, DOUBTFUL))
        elif first is not None:
            best = replace(best, moving=first_moving, times=self.frames.times[list(report.frames)])
            share, frames = first.share, tuple(report.frames[i] for i in first.views)
            reason = f"{share:.0%} of the points move by themselves, and cameras without them are no better"
        else:
            return views
        masked = best is not views
        report = replace(report, moving_share=share, moving_frames=frames, moving_masked=masked)
        return add_reason(replace(best, report=report), reason)

    def _moving(self, masks: UInt8[np.ndarray, "K H W"], views: Views) -> UInt8[np.ndarray, "K H W"]:
        """Return 255 where masks of views hide what moves, and not what the frames' own masks hide."""
        own = 255 if self.frames.mask is None else self.frames.mask[list(_report(views).frames)]
        return np.where((masks == 0) & (own > 0), np.uint8(255), np.uint8(0))

    def _with_motion(self, views: Views) -> Views:
        """Return masked views with what moves in them, and their times."""
        assert views.mask is not None
        return replace(
            views, moving=self._moving(views.mask, views), times=self.frames.times[list(_report(views).frames)]
        )

    def _masked_share(self, views: Views) -> tuple[float, tuple[int, ...]]:
        """Return the fraction of pixels that are masked in views and not in the frames, and the frames with many."""
        assert views.mask is not None
        frames = np.array(_report(views).frames)
        masked = (views.mask == 0) & (True if self.frames.mask is None else self.frames.mask[frames] > 0)
        shares = masked.mean((1, 2))
        return float(shares.mean()), tuple(frames[shares >= MIN_MOVING_FRACTION].tolist())

    def _again(self, masks: UInt8[np.ndarray, "K H W"], views: Views) -> Views:
        """Run the solver that found the views once more, on their frames with masks."""
        report = _report(views)
        mask = (
            np.full(self.frames.rgb.shape[:3], 255, np.uint8) if self.frames.mask is None else self.frames.mask.copy()
        )
        mask[list(report.frames)] = masks
        frames = replace(self.frames, mask=mask)
        search = replace(self, frames=frames, work=None)
        if report.solver == "colmap":
            return search._colmap()
        fitted, held_out = track_video(frames, prepare_gray_frames(frames.rgb, None, mask), None, seed=self.seed)
        return search._flow_colmap(fitted, held_out)

    def judged(self, views: Views) -> Views:
        """Return what a solver found with a second opinion on it."""
        if _report(views).gain_db is not None:
            return views
        self.progress(0, 1, step="second opinion")
        return with_second_opinion(views, ordered=self.frames.ordered, known_lens=has_known_lenses(self.frames))

    def _colmap(self) -> Views:
        """Run COLMAP on its own features."""
        backend = ColmapPoses(min_views=self.backend.min_views, time_limit=self.backend.time_limit)
        return backend.estimate(self.frames, None, seed=self.seed, progress=self.progress, work=self.work)

    def _flow_colmap(self, fitted: Tracks, held_out: Tracks) -> Views:
        """Run COLMAP on flow tracks, with the focal length of the prior path where there is one."""
        focal = None
        if self.prior_path is not None:
            focal = float(match_prior_path(self.frames, self.prior_path).intrinsics[0, 0, 0])
        model = map_tracks(
            self.frames,
            fitted,
            mapper="incremental",
            focal=focal,
            seed=self.seed,
            time_limit=self.backend.time_limit,
            progress=self.progress,
        )
        total = len(self.frames)
        if len(model.placed) < self.backend.min_views:
            raise PoseError(f"placed {len(model.placed)} of {total} frames", hint="use a better video")
        views = views_from_model(self.frames, model, solver="flow-colmap")
        validation = held_out.in_frames(model.placed, total)
        # Seen from afar, a mirrored object that rotates the other way fits as well (the Necker reversal).
        caveat = "" if self.prior_path is None else "found without the requested camera path, which it may contradict"
        return grade_views(views, validation, total=total, placed=model.placed, caveat=caveat)

    def _bundle_adjustment(self, path: PathEstimate, masks: Bool[np.ndarray, "V H W"] | None) -> Views:
        """Run bundle adjustment that stays near the estimated path."""
        model = adjust_bundle(
            self.frames,
            path.fitted,
            path.estimate.cameras,
            seed=self.seed,
            time_limit=self.backend.time_limit,
            progress=self.progress,
        )
        if len(model.placed) < len(self.frames):
            raise PoseError(f"kept {len(model.placed)} of {len(self.frames)} frames", hint="use a better video")
        solver = f"{path.estimate.solver}, bundle-adjusted"
        estimate = replace(path.estimate, solver=solver, cameras=model.camera_parameters)
        return views_on_path(self.frames, masks, replace(path, estimate=estimate))

    def _commanded(self, held_out: Tracks) -> Views:
        """Take the prior path as it is, graded C at best."""
        views = CommandedPoses().estimate(self.frames, self.prior_path, seed=self.seed)
        views = replace(views, confidence=np.full(len(views), UNVERIFIED_CONFIDENCE, np.float32))
        frames, caveat = np.arange(len(views)), "no solver could confirm the requested camera path"
        return grade_views(views, held_out, total=len(views), placed=frames, caveat=caveat)
