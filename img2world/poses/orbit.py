"""Cameras on a path with few free numbers, for the orbits of video generators."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.views import Views
from img2world.poses.circle_search import find_circle
from img2world.poses.commanded import wanted_cameras
from img2world.poses.estimate import Answer
from img2world.poses.grade import with_report
from img2world.poses.path_model import is_closed, path_from_cameras
from img2world.poses.prior_path import ToldAnswer, solve_told_path
from img2world.poses.triangulation import track_errors, triangulate
from img2world.tracking.flow import Greys, prepare
from img2world.tracking.object_masks import object_masks
from img2world.tracking.tracks import Tracks, join

POINT_PIXELS = 2.0
"""At 256 pixels of width: points that fit worse are left out of the result."""

FARTHEST = 20.0
"""World units. Points farther away are not known well enough to be kept."""


@dataclass(frozen=True, kw_only=True)
class OrbitPoses:
    """A path that was told, but kept to only about: its height, lens, middle, direction and waves are found.

    Without a told path, a circle around an object before a plain background is searched for.
    """

    waves: int = 2
    """At most so many waves along the path, by which height, turn and distance stray; more only for a clear gain."""
    max_points: int = 5000
    """Sparse points that are kept."""

    def estimate(
        self, frames: Frames, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Views:
        """Views with all frames placed, in the world of the told path, and a report that says how well they fit.

        Raises PoseError when too little can be followed, or no circle is found.
        """
        if not frames.ordered or len(frames) < 4:
            raise PoseError(
                f"{len(frames)} {'frames' if frames.ordered else 'photos'} are no path",
                hint="use the colmap pose backend for photos; a video needs at least 4 frames",
            )
        masks = object_masks(frames)
        greys = prepare(frames.rgb, masks, frames.mask)
        solved = self.solve(frames, greys, trajectory, seed=seed)
        progress(len(frames), len(frames), cost=solved.answer.cost)
        return views_on_path(frames, masks, solved, self.max_points)

    def solve(self, frames: Frames, greys: Greys, trajectory: Cameras | None, *, seed: int = 0) -> ToldAnswer:
        """The path and the tracks it was found by."""
        random = np.random.default_rng(seed)
        if trajectory is None:
            return find_circle(frames, greys, random, max_waves=self.waves)
        told = wanted_cameras(frames, trajectory)
        path = path_from_cameras(told, closed=is_closed(told))
        return solve_told_path(greys, path, random, max_waves=self.waves)


def views_on_path(
    frames: Frames, masks: Bool[np.ndarray, "V H W"] | None, solved: ToldAnswer, max_points: int = 5000
) -> Views:
    """The frames with the cameras that were found, and the points they were found by."""
    answer, width = solved.answer, frames.rgb.shape[2]
    tracks = join([solved.fitted, solved.held_out])
    points, colors = _points(frames, tracks, answer, max_points)
    rgb, alpha = cut_out(frames, masks)
    views = Views(
        rgb=rgb,
        alpha=alpha,
        mask=frames.mask,
        cameras=answer.rig.cameras(width, frames.rgb.shape[1]),
        confidence=view_confidence(tracks, answer, width),
        points=points,
        point_colors=colors,
        solver=answer.solver,
        depth=None,
    )
    return with_report(views, answer, solved.held_out, total=len(frames))


def view_confidence(tracks: Tracks, answer: Answer, width: int) -> Float32[np.ndarray, "V"]:
    """For each view the share of what is seen in it that fits, less where little is seen."""
    fits = track_errors(tracks, answer.rig) * min(1.0, 256 / width) < POINT_PIXELS
    seen = tracks.seen_in(len(answer.rig))
    good = np.bincount(tracks.frame, weights=fits[tracks.owner], minlength=len(answer.rig))
    return (good / (seen + 50.0)).astype(np.float32)


def cut_out(
    frames: Frames, masks: Bool[np.ndarray, "V H W"] | None
) -> tuple[UInt8[np.ndarray, "V H W 3"], UInt8[np.ndarray, "V H W"] | None]:
    """An object on white with its outline as transparency; a scene as it is."""
    import cv2

    if masks is None or frames.alpha is not None:
        return frames.rgb, frames.alpha
    rgb, alpha = [], []
    for picture, mask in zip(frames.rgb, masks, strict=True):
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
        around = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        rgb.append(np.where(around[..., None], picture, np.uint8(255)))
        alpha.append(np.round(255 * soft).astype(np.uint8))
    return np.stack(rgb), np.stack(alpha)


def _points(
    frames: Frames, tracks: Tracks, answer: Answer, most: int
) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """The points of tracks that fit, with the colours of the frames that see them first."""
    good = track_errors(tracks, answer.rig) * min(1.0, 256 / frames.rgb.shape[2]) < POINT_PIXELS
    points = triangulate(tracks, answer.rig)
    good &= np.linalg.norm(points, axis=1) < FARTHEST
    chosen = np.flatnonzero(good)[:: max(1, -(-int(good.sum()) // most))]
    first = tracks.starts[chosen]
    column, row = np.floor(tracks.place[first]).astype(np.int64).T
    height, width = frames.rgb.shape[1:3]
    colors = frames.rgb[tracks.frame[first], row.clip(0, height - 1), column.clip(0, width - 1)]
    return points[chosen].astype(np.float32), colors
