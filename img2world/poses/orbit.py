"""Cameras on a path with few free parameters, for the orbits of video generators."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt
from img2world.core.views import Views
from img2world.poses.circle_search import search_circle
from img2world.poses.commanded import match_prior_path
from img2world.poses.estimate import PathEstimate, PoseEstimate
from img2world.poses.grade import attach_report
from img2world.poses.path_model import is_closed_path, path_from_cameras
from img2world.poses.prior_path import fit_prior_path
from img2world.poses.second_opinion import with_second_opinion
from img2world.poses.triangulation import mean_track_errors, triangulate
from img2world.tracking.flow import GrayFrames, prepare_gray_frames
from img2world.tracking.object_masks import object_masks
from img2world.tracking.tracks import Tracks, concatenate_tracks

MAX_POINT_ERROR = 2.0
"""Pixels of frames 256 pixels wide. Points with a larger mean error are dropped."""

MAX_POINT_DISTANCE = 20.0
"""World units from the origin. Points farther away are too uncertain to keep."""

MAX_POINTS = 5000
"""Sparse points to keep."""

HALF_CONFIDENCE_POINTS = 50.0
"""Observations in a frame at which its confidence is halved, if all of them fit."""


@dataclass(frozen=True, kw_only=True)
class OrbitPoses:
    """Refine the requested camera path: its elevation, lens, direction and smooth deviations from it.

    Without a requested path, search for a circle around an object in front of a plain background.
    """

    max_harmonics: NonNegativeInt = 2
    """Most Fourier harmonics by which elevation, azimuth and radius may deviate; more only for a clear gain."""

    def estimate(
        self,
        frames: Frames,
        trajectory: Cameras | None,
        *,
        seed: int = 0,
        progress: Progress = silent,
        work: Path | None = None,
    ) -> Views:
        """Return all frames with cameras in the world of the trajectory, and a report on how well these fit.

        Raises PoseError when too few points can be followed, or no circle is found.
        """
        if not frames.ordered or len(frames) < 4:
            raise PoseError(
                f"{len(frames)} {'frames' if frames.ordered else 'photos'} are not a camera path",
                hint="for photos use --set poses.name=colmap; a video needs at least 4 frames",
            )
        masks = object_masks(frames)
        gray_frames = prepare_gray_frames(frames.rgb, masks, frames.mask)
        path = self.find_path(frames, gray_frames, trajectory, seed=seed)
        progress(len(frames), len(frames), cost=path.cost)
        return with_second_opinion(views_on_path(frames, masks, path), ordered=True)

    def find_path(
        self, frames: Frames, gray_frames: GrayFrames, prior_path: Cameras | None, *, seed: int = 0
    ) -> PathEstimate:
        """Fit the prior path, or search for a circle without one. Raises PoseError as `estimate` does."""
        random = np.random.default_rng(seed)
        if prior_path is None:
            return search_circle(frames, gray_frames, random, max_harmonics=self.max_harmonics)
        cameras = match_prior_path(frames, prior_path)
        path = path_from_cameras(cameras, closed=is_closed_path(cameras))
        return fit_prior_path(gray_frames, path, random, max_harmonics=self.max_harmonics)


def views_on_path(frames: Frames, masks: Bool[np.ndarray, "V H W"] | None, path: PathEstimate) -> Views:
    """Return the frames with their estimated cameras, the points of the tracks and a report."""
    estimate, (height, width) = path.estimate, frames.rgb.shape[1:3]
    tracks = concatenate_tracks([path.fitted, path.held_out])
    points, colors = _reliable_points(frames, tracks, estimate)
    rgb, alpha = mask_background(frames, masks)
    views = Views(
        rgb=rgb,
        alpha=alpha,
        mask=frames.mask,
        cameras=estimate.cameras.to_cameras(width, height),
        confidence=view_confidence(tracks, estimate, width),
        points=points,
        point_colors=colors,
        solver=estimate.solver,
    )
    return attach_report(views, estimate, path.held_out, total=len(frames))


def view_confidence(tracks: Tracks, estimate: PoseEstimate, width: int) -> Float32[np.ndarray, "V"]:
    """Return n / (m + 50) for each view, of whose m observations n are on tracks that fit."""
    fits = mean_track_errors(tracks, estimate.cameras) * min(1.0, 256 / width) < MAX_POINT_ERROR
    count = len(estimate.cameras)
    fitting = np.bincount(tracks.frame_ids, weights=fits[tracks.track_ids], minlength=count)
    return (fitting / (tracks.count_per_frame(count) + HALF_CONFIDENCE_POINTS)).astype(np.float32)


def mask_background(
    frames: Frames, masks: Bool[np.ndarray, "V H W"] | None
) -> tuple[UInt8[np.ndarray, "V H W 3"], UInt8[np.ndarray, "V H W"] | None]:
    """Return colours and transparency: an object on white with a soft outline, a scene unchanged."""
    import cv2

    if masks is None or frames.alpha is not None:
        return frames.rgb, frames.alpha
    rgb, alpha = [], []
    for picture, mask in zip(frames.rgb, masks, strict=True):
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
        dilated = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        rgb.append(np.where(dilated[..., None], picture, np.uint8(255)))
        alpha.append(np.round(255 * soft).astype(np.uint8))
    return np.stack(rgb), np.stack(alpha)


def _reliable_points(
    frames: Frames, tracks: Tracks, estimate: PoseEstimate
) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Return the points of tracks that fit, with the colours at their first observations."""
    height, width = frames.rgb.shape[1:3]
    good = mean_track_errors(tracks, estimate.cameras) * min(1.0, 256 / width) < MAX_POINT_ERROR
    points = triangulate(tracks, estimate.cameras)
    good &= np.linalg.norm(points, axis=1) < MAX_POINT_DISTANCE
    chosen = np.flatnonzero(good)[:: max(1, -(-int(good.sum()) // MAX_POINTS))]
    first = tracks.starts[chosen]
    column, row = np.floor(tracks.xy[first]).astype(np.int64).T
    colors = frames.rgb[tracks.frame_ids[first], row.clip(0, height - 1), column.clip(0, width - 1)]
    return points[chosen].astype(np.float32), colors
