"""COLMAP on tracks of optical flow: for small, smooth frames in which its own features are too few."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.child_process import run_child
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.pictures import save_pictures
from img2world.core.progress import Progress, silent
from img2world.core.views import Views
from img2world.poses.colmap import Found, views_of
from img2world.poses.estimate import among
from img2world.poses.grade import judged
from img2world.poses.triangulation import Rig, triangulate
from img2world.tracking.features import MOST_IN_VIDEO, feature_tracks, video_pairs
from img2world.tracking.flow import Greys, flow_tracks, prepare
from img2world.tracking.object_masks import object_masks, to_look_at
from img2world.tracking.tracks import Tracks, join

Mapper = Literal["incremental", "global", "adjust"]

HELD_OUT = 0.25
"""Share of the tracks by which the cameras are judged."""


@dataclass(frozen=True, kw_only=True)
class FlowColmapPoses:
    """Structure from motion on points that optical flow follows from frame to frame, for videos only."""

    mapper: Literal["incremental", "global"] = "incremental"
    """COLMAP's way to build: frame by frame, or all at once, which places more frames and more wrong ones."""
    focal: float = 0.0
    """Focal length in pixels, where it is known."""
    min_views: int = 3
    """Fewer placed frames are refused."""
    time_limit: float = 1200.0
    """Seconds after which COLMAP is stopped."""

    def estimate(
        self, frames: Frames, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Views:
        """The placed frames in a world as `ColmapPoses` makes it. Raises PoseError when too few are placed."""
        if not frames.ordered or len(frames) < self.min_views:
            raise PoseError(
                f"{len(frames)} {'frames' if frames.ordered else 'photos'} cannot be followed by optical flow",
                hint="use the colmap pose backend for photos; a video needs at least 3 frames",
            )
        greys = prepare(frames.rgb, object_masks(frames), frames.mask)
        fitted, held_out = divided_tracks(frames, greys, seed=seed)
        found = map_by_flow(
            frames,
            fitted,
            mapper=self.mapper,
            focal=self.focal or None,
            seed=seed,
            time_limit=self.time_limit,
            progress=progress,
        )
        if len(found.placed) < self.min_views:
            raise PoseError(
                f"COLMAP placed {len(found.placed)} of {len(frames)} frames by their flow, needs {self.min_views}",
                hint="the frames need texture and a camera that moves sideways",
            )
        views = views_of(frames, found, solver=f"flow-colmap ({self.mapper})")
        judged_by = among(held_out, found.placed, len(frames))
        return judged(views, judged_by, total=len(frames), placed=found.placed)


def divided_tracks(frames: Frames, greys: Greys, *, seed: int) -> tuple[Tracks, Tracks]:
    """Tracks for COLMAP, and tracks to judge it by.

    Flow joins neighbours and SIFT frames that are farther apart, so that small errors do not add up on the way.
    Only flow judges: where SIFT has a point, COLMAP would find it too.
    """
    fitted, held_out = flow_tracks(greys, closed=False).split(HELD_OUT, np.random.default_rng(seed))
    where = to_look_at(object_masks(frames), frames.mask)
    blobs = feature_tracks(frames.rgb, where, video_pairs(len(frames)), most=MOST_IN_VIDEO)
    return join([fitted, blobs]), held_out


def map_by_flow(
    frames: Frames,
    tracks: Tracks,
    *,
    mapper: Mapper,
    focal: float | None,
    seed: int,
    time_limit: float,
    told: Rig | None = None,
    progress: Progress = silent,
) -> Found:
    """COLMAP's answer for tracks, in its own world; `adjust` keeps near the told cameras, and in their world."""
    height, width = frames.rgb.shape[1:3]
    with tempfile.TemporaryDirectory(prefix="img2world-") as name:
        folder = Path(name)
        # COLMAP takes the colours of points from the pictures.
        save_pictures(frames.rgb, folder / "images")
        np.savez(folder / "tracks.npz", **vars(tracks))
        if told is not None:
            np.savez(folder / "told.npz", cam_from_world=told.cam_from_world, points=triangulate(tracks, told))
        options = {
            "folder": name,
            "num_frames": len(frames),
            "seed": seed,
            "width": width,
            "height": height,
            "focal": focal if told is None else float(told.focal[0, 0]),
            "middle": [width / 2, height / 2] if told is None else told.middle[0].tolist(),
            "mapper": mapper,
        }
        run_child(
            "img2world.poses.flow_colmap_process", options, time_limit=time_limit, error=PoseError, progress=progress
        )
        with np.load(folder / "found.npz") as arrays:
            return Found(**dict(arrays))


def rig_of_found(found: Found) -> Rig:
    """The placed cameras in COLMAP's world."""
    count = len(found.placed)
    return Rig(
        cam_from_world=found.cam_from_world,
        focal=np.tile(found.intrinsics[[0, 1], [0, 1]], (count, 1)),
        middle=np.tile(found.intrinsics[:2, 2], (count, 1)),
    )
