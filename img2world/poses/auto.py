"""Tries solvers from the most likely to the most lenient, and keeps the best by tracks that none has seen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError, RejectedError
from img2world.core.frames import Frames
from img2world.core.pose_report import Grade, PoseReport
from img2world.core.progress import Progress, silent
from img2world.core.views import Views
from img2world.poses.colmap import ColmapPoses, views_of
from img2world.poses.commanded import CommandedPoses, wanted_cameras
from img2world.poses.estimate import among
from img2world.poses.flow_colmap import divided_tracks, map_by_flow, rig_of_found
from img2world.poses.grade import judged
from img2world.poses.orbit import OrbitPoses, views_on_path
from img2world.poses.prior_path import ToldAnswer
from img2world.tracking.flow import prepare
from img2world.tracking.object_masks import object_masks
from img2world.tracking.tracks import Tracks

GOOD: tuple[Grade, ...] = ("A", "B")
"""Grades at which no other solver is tried."""

Solver = Callable[[], Views]


@dataclass(frozen=True, kw_only=True)
class AutoPoses:
    """Finds cameras by whatever works, and says how far they can be trusted.

    Frames that know their cameras keep them. A told path: the path with a few numbers free, then with waves, then
    bundle adjustment near it, then COLMAP on flow tracks, at last the told path itself, marked as doubtful. Photos
    and videos of scenes: COLMAP, then COLMAP on flow tracks. Videos of an object before a plain background: a circle
    is searched for, then COLMAP. The report names what was tried.
    """

    min_views: int = 3
    """Fewer placed frames are refused."""
    time_limit: float = 1200.0
    """Seconds after which COLMAP is stopped, each time."""

    def estimate(
        self, frames: Frames, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Views:
        """The best graded views. Raises RejectedError when no solver finds cameras."""
        if frames.cameras is not None:
            return CommandedPoses().estimate(frames, trajectory, seed=seed, progress=progress)
        search = _Search(backend=self, frames=frames, trajectory=trajectory, seed=seed, progress=progress)
        found, failed = [], []
        for name, solve in search.chain():
            try:
                views = solve()
            except PoseError as error:
                failed.append(f"{name}: {error}")
                continue
            found.append(views)
            if grade_of(views).grade in GOOD:
                break
        if not found:
            raise RejectedError(
                f"no cameras could be found for {len(frames)} frames; {'; '.join(failed)}",
                hint="look at the video with `img2world doctor`: it needs texture and a camera that moves around",
            )
        # With a told path the first solvers keep to it: equally graded, they are the safer ones.
        best = min(found, key=_rank if trajectory is None else lambda views: grade_of(views).grade)
        tried = [f"tried {grade_of(views).solver}: {grade_of(views).grade}" for views in found if views is not best]
        reasons = (*grade_of(best).reasons, *tried, *failed)
        return replace(best, report=replace(grade_of(best), reasons=reasons))


def grade_of(views: Views) -> PoseReport:
    """The report that every solver of the chain gives."""
    assert views.report is not None
    return views.report


def _rank(views: Views) -> tuple[str, float]:
    """Sorts better views first: by grade, then by how well held-out points fit."""
    report = grade_of(views)
    return report.grade, report.heldout_px / max(report.placed / report.total, 0.1)


@dataclass(frozen=True, kw_only=True)
class _Search:
    """One video or set of photos, and the solvers that may suit it."""

    backend: AutoPoses
    frames: Frames
    trajectory: Cameras | None
    seed: int
    progress: Progress

    def chain(self) -> Iterator[tuple[str, Solver]]:
        """Solvers in the order in which they are to be tried."""
        if not self.frames.ordered:
            yield "colmap", self._colmap
            return
        masks = object_masks(self.frames)
        greys = prepare(self.frames.rgb, masks, self.frames.mask)
        solved: list[ToldAnswer] = []
        if self.trajectory is not None or masks is not None:

            def on_path() -> Views:
                solved.append(OrbitPoses().solve(self.frames, greys, self.trajectory, seed=self.seed))
                return views_on_path(self.frames, masks, solved[0])

            yield "orbit", on_path
        fitted, held_out = divided_tracks(self.frames, greys, seed=self.seed)
        if masks is None and self.trajectory is None:
            yield "colmap", self._colmap
        yield "flow-colmap", lambda: self._flow_colmap(fitted, held_out)
        if self.trajectory is not None:
            if solved:
                yield "bundle adjustment", lambda: self._adjusted(solved[0])
            yield "commanded", lambda: self._told(held_out)

    def _colmap(self) -> Views:
        """By COLMAP's own features."""
        backend = ColmapPoses(min_views=self.backend.min_views, time_limit=self.backend.time_limit)
        return backend.estimate(self.frames, None, seed=self.seed, progress=self.progress)

    def _flow_colmap(self, fitted: Tracks, held_out: Tracks) -> Views:
        """By COLMAP on flow tracks."""
        found = map_by_flow(
            self.frames,
            fitted,
            mapper="incremental",
            focal=None if self.trajectory is None else self._told_focal(),
            seed=self.seed,
            time_limit=self.backend.time_limit,
            progress=self.progress,
        )
        if len(found.placed) < self.backend.min_views:
            raise PoseError(f"placed {len(found.placed)} of {len(self.frames)} frames", hint="use a better video")
        views = views_of(self.frames, found, solver="flow-colmap")
        judged_by = among(held_out, found.placed, len(self.frames))
        # Seen from afar, a mirrored thing that turns the other way fits as well; here nothing tells them apart.
        doubt = "" if self.trajectory is None else "found without the told path, which it may contradict"
        return judged(views, judged_by, total=len(self.frames), placed=found.placed, doubt=doubt)

    def _told_focal(self) -> float:
        """Pixels, as the generator was told."""
        assert self.trajectory is not None
        return float(wanted_cameras(self.frames, self.trajectory).intrinsics[0, 0, 0])

    def _adjusted(self, solved: ToldAnswer) -> Views:
        """Bundle adjustment that keeps near the path."""
        found = map_by_flow(
            self.frames,
            solved.fitted,
            mapper="adjust",
            focal=None,
            seed=self.seed,
            time_limit=self.backend.time_limit,
            told=solved.answer.rig,
            progress=self.progress,
        )
        if len(found.placed) < len(self.frames):
            raise PoseError(f"kept {len(found.placed)} of {len(self.frames)} frames", hint="use a better video")
        rig = rig_of_found(found)
        answer = replace(solved.answer, solver=f"{solved.answer.solver}, adjusted", rig=rig)
        return views_on_path(self.frames, object_masks(self.frames), replace(solved, answer=answer))

    def _told(self, held_out: Tracks) -> Views:
        """The told path as it is, never better than C."""
        assert self.trajectory is not None
        views = CommandedPoses().estimate(self.frames, self.trajectory, seed=self.seed)
        views = replace(views, confidence=np.full(len(views), 0.1, np.float32))
        frames, doubt = np.arange(len(views)), "no solver could confirm the told path"
        return judged(views, held_out, total=len(views), placed=frames, doubt=doubt)
