"""COLMAP on tracks of optical flow: for small, smooth frames in which it finds too few features of its own."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool

from img2world.core.cameras import Cameras
from img2world.core.child_process import run_child
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, Range
from img2world.core.views import Views
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.estimate import HELD_OUT_FRACTION
from img2world.poses.grade import grade_views
from img2world.poses.second_opinion import with_second_opinion
from img2world.poses.sparse_model import SparseModel, views_from_model
from img2world.poses.triangulation import triangulate
from img2world.tracking.features import MAX_VIDEO_FEATURES, select_video_pairs, track_by_features
from img2world.tracking.flow import GrayFrames, prepare_gray_frames, track_by_flow
from img2world.tracking.object_masks import combine_masks, object_masks
from img2world.tracking.tracks import Tracks, concatenate_tracks

Mapper = Literal["incremental", "global"]


@dataclass(frozen=True, kw_only=True)
class FlowColmapPoses:
    """Structure from motion on points that optical flow follows from frame to frame; for videos only."""

    mapper: Mapper = "incremental"
    """COLMAP's mapper: incremental, or global, which places more frames, and more of them wrongly."""
    focal: NonNegativeFloat = 0.0
    """Focal length in pixels; 0 where it is unknown."""
    min_views: Annotated[int, Range(2)] = 3
    """Fewer placed frames are an error."""
    time_limit: NonNegativeFloat = 0.0
    """Seconds after which COLMAP is stopped; 0 to go on as long as it takes."""

    def estimate(
        self,
        frames: Frames,
        trajectory: Cameras | None,
        *,
        seed: int = 0,
        progress: Progress = silent,
        work: Path | None = None,
    ) -> Views:
        """Return the placed frames in a world as that of `ColmapPoses`; the trajectory is not used.

        Raises PoseError for photos, and when fewer than `min_views` frames are placed.
        """
        if not frames.ordered or len(frames) < self.min_views:
            raise PoseError(
                f"{len(frames)} {'frames' if frames.ordered else 'photos'} cannot be followed by optical flow",
                hint="for photos use --set poses.name=colmap; a video needs at least 3 frames",
            )
        masks = object_masks(frames)
        gray_frames = prepare_gray_frames(frames.rgb, masks, frames.mask)
        fitted, held_out = track_video(frames, gray_frames, masks, seed=seed)
        model = map_tracks(
            frames,
            fitted,
            mapper=self.mapper,
            focal=self.focal or None,
            seed=seed,
            time_limit=self.time_limit,
            progress=progress,
        )
        placed, total = model.placed, len(frames)
        if len(placed) < self.min_views:
            raise PoseError(
                f"COLMAP placed {len(placed)} of {total} frames by optical flow, needs at least {self.min_views}",
                hint="the frames need texture and a camera that moves sideways",
            )
        views = views_from_model(frames, model, solver=f"flow-colmap ({self.mapper})")
        views = grade_views(views, held_out.in_frames(placed, total), total=total, placed=placed)
        return with_second_opinion(views, ordered=True, known_lens=self.focal > 0)


def track_video(
    frames: Frames, gray_frames: GrayFrames, masks: Bool[np.ndarray, "V H W"] | None, *, seed: int
) -> tuple[Tracks, Tracks]:
    """Return tracks for COLMAP, and held-out tracks to validate its cameras with.

    Flow links neighbouring frames, and SIFT frames that are farther apart, which limits drift. Only flow tracks are
    held out: COLMAP would use any SIFT feature.
    """
    fitted, held_out = track_by_flow(gray_frames, closed=False).split(HELD_OUT_FRACTION, np.random.default_rng(seed))
    features = track_by_features(
        frames.rgb,
        combine_masks(masks, frames.mask),
        select_video_pairs(len(frames)),
        max_features=MAX_VIDEO_FEATURES,
    )
    return concatenate_tracks([fitted, features]), held_out


def map_tracks(
    frames: Frames,
    tracks: Tracks,
    *,
    mapper: Mapper,
    focal: float | None,
    seed: int,
    time_limit: float,
    progress: Progress = silent,
) -> SparseModel:
    """Return COLMAP's model from tracks, in its own world; `focal` is in pixels, None where it is unknown.

    Raises PoseError when there is none.
    """
    height, width = frames.rgb.shape[1:3]
    options = {"mapper": mapper, "seed": seed, "focal": focal, "principal_point": [width / 2, height / 2]}
    return _run_colmap(frames, tracks, None, options, time_limit, progress)


def adjust_bundle(
    frames: Frames,
    tracks: Tracks,
    prior: CameraParameters,
    *,
    seed: int,
    time_limit: float,
    progress: Progress = silent,
) -> SparseModel:
    """Return the model after bundle adjustment that starts from prior cameras and stays near them, in their world.

    All cameras get the intrinsics of the first. Raises PoseError when the adjusted lens is not plausible.
    """
    focal, principal_point = float(prior.focal[0, 0]), prior.principal_point[0].tolist()
    options = {"mapper": "adjust", "seed": seed, "focal": focal, "principal_point": principal_point}
    return _run_colmap(frames, tracks, prior, options, time_limit, progress)


def _run_colmap(
    frames: Frames, tracks: Tracks, prior: CameraParameters | None, options: dict, time_limit: float, progress: Progress
) -> SparseModel:
    """Run COLMAP on tracks in a child process."""
    height, width = frames.rgb.shape[1:3]
    with tempfile.TemporaryDirectory(prefix="img2world-") as name:
        folder = Path(name)
        np.savez(folder / "tracks.npz", **vars(tracks))
        if prior is not None:
            points = triangulate(tracks, prior)
            np.savez(folder / "prior.npz", cam_from_world=prior.cam_from_world, points=points)
        run_child(
            "img2world.poses.flow_colmap_process",
            {**options, "folder": name, "num_frames": len(frames), "width": width, "height": height},
            time_limit=time_limit,
            error=PoseError,
            progress=progress,
        )
        return SparseModel.load(folder / "model.npz")
