"""Cameras from pictures alone, by COLMAP's incremental structure from motion (Schönberger and Frahm, CVPR 2016)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from img2world.core.cameras import Cameras
from img2world.core.child_process import run_child
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.pictures import save_pictures
from img2world.core.progress import Progress, silent
from img2world.core.threads import usable_cores
from img2world.core.views import Views
from img2world.poses.validation import confirmed
from img2world.tracking.tracks import Tracks

MAX_POINT_ERROR = 2.0
"""Pixels. Points that fit worse are dropped."""

MIN_SPREAD = 0.005
"""How much the lines of sight must differ for their meeting point to count: the mean square
of the angle to their mean, across which they differ least."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What COLMAP found, in its own world, for frames of their own size."""

    placed: Int64[np.ndarray, "K"]
    """Numbers of the frames that were placed, rising."""
    cam_from_world: Float64[np.ndarray, "K 3 4"]
    observations: Int64[np.ndarray, "K"]
    """Points that each placed frame sees."""
    view_errors: Float64[np.ndarray, "K"]
    """Mean reprojection error of these points, in pixels."""
    points: Float64[np.ndarray, "P 3"]
    point_colors: UInt8[np.ndarray, "P 3"]
    point_errors: Float64[np.ndarray, "P"]
    track_lengths: Int64[np.ndarray, "P"]
    """Frames that see each point."""
    in_first: Bool[np.ndarray, "P"]
    """Whether the first placed frame sees the point."""
    intrinsics: Float64[np.ndarray, "3 3"]
    """Of the pinhole camera all undistorted pictures are of."""
    places: Float32[np.ndarray, "H W 2"]
    """Where the undistorted pixels are in the stored picture; empty when nothing is distorted."""
    track_frame: Int64[np.ndarray, "O"]
    """Placed frame of each observation of the points."""
    track_place: Float64[np.ndarray, "O 2"]
    """Where it is in the undistorted picture."""
    track_starts: Int64[np.ndarray, "T"]

    @property
    def tracks(self) -> Tracks:
        """The points' observations, those of placed frames."""
        return Tracks(frame=self.track_frame, place=self.track_place, starts=self.track_starts)


@dataclass(frozen=True, kw_only=True)
class ColmapPoses:
    """Structure from motion. Needs texture, overlap and a camera that moves; one lens for all frames.

    Frames that are not placed are left out. The world is turned, moved and scaled so that the first placed
    view has identity rotation, stands at (0, 0, -1) and looks at the origin, which is as far away as where
    the lines of sight of all views meet, or else as the median of the points that the view sees.
    """

    camera_model: Literal["auto", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"] = "auto"
    """COLMAP's name of the lens; auto is RADIAL for photos and SIMPLE_PINHOLE for the frames of a video."""
    max_features: int = 4096
    """Features in a photo. In a frame of a video half as many are sought, since there are more frames."""
    exhaustive_up_to: int = 40
    """Longest video of which all pairs of frames are compared; photos are always compared in all pairs."""
    min_views: int = 3
    """Fewer placed frames are refused."""
    time_limit: float = 3600.0
    """Seconds after which COLMAP is stopped."""

    def estimate(
        self, frames: Frames, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Views:
        """The placed frames, undistorted; the wanted cameras play no part.

        Confidence is n / (n + 50) / (1 + e²) for a frame that sees n points with a mean error of e pixels.
        The last progress report tells the share of placed frames and the mean error as `placed` and `error`.
        Frames that no points but COLMAP's own confirm are left out. Raises PoseError when too few frames are placed.
        """
        found = self.find(frames, seed=seed, progress=progress)
        placed, total = len(found.placed), len(frames)
        if placed < self.min_views:
            raise PoseError(
                f"COLMAP placed {placed} of {total} frames, needs at least {self.min_views}",
                hint="raise video.num_frames, or use a camera-controlled video backend",
            )
        progress(total, total, placed=placed / total, error=float(found.point_errors.mean()))
        views = views_of(frames, found, solver="colmap")
        return confirmed(views, found.tracks, ordered=frames.ordered, total=total, placed=found.placed)

    def find(self, frames: Frames, *, seed: int = 0, progress: Progress = silent) -> Found:
        """COLMAP's answer for the frames, in its own world. Raises PoseError when it has none."""
        if len(frames) < self.min_views:
            raise PoseError(
                f"there are {len(frames)} frames, COLMAP needs at least {self.min_views}", hint="raise video.num_frames"
            )
        height, width = frames.rgb.shape[1:3]
        with tempfile.TemporaryDirectory(prefix="img2world-") as name:
            folder = Path(name)
            save_pictures(frames.rgb, folder / "images")
            if (masks := used_pixels(frames)) is not None:
                names = save_pictures(masks, folder / "masks")
                for mask in names:
                    # COLMAP adds the suffix to the image's whole name.
                    (folder / "masks" / mask).rename(folder / "masks" / f"{mask}.png")
            model = (
                ("SIMPLE_PINHOLE" if frames.ordered else "RADIAL") if self.camera_model == "auto" else self.camera_model
            )
            options = {
                "folder": name,
                "num_frames": len(frames),
                "ordered": frames.ordered,
                "camera_model": model,
                "seed": seed,
                "width": width,
                "height": height,
                "max_features": self.max_features // 2 if frames.ordered else self.max_features,
                "exhaustive_up_to": self.exhaustive_up_to,
                "num_threads": usable_cores(),
            }
            run_child(
                "img2world.poses.colmap_process",
                options,
                time_limit=self.time_limit,
                error=PoseError,
                progress=progress,
            )
            with np.load(folder / "found.npz") as arrays:
                return Found(**dict(arrays))


def used_pixels(frames: Frames) -> UInt8[np.ndarray, "V H W"] | None:
    """Where features may be: on the object, and not where a picture is to be ignored."""
    if frames.alpha is None or frames.mask is None:
        return frames.mask if frames.alpha is None else frames.alpha
    return np.minimum(frames.alpha, frames.mask)


def views_of(frames: Frames, found: Found, *, solver: str) -> Views:
    """The placed frames in our world."""
    world_from_cam, points = to_our_world(found)
    good = good_points(found, points)
    height, width = frames.rgb.shape[1:3]
    count = len(found.placed)
    weight = found.observations / (found.observations + 50.0)
    return Views(
        rgb=_undistorted(frames.rgb[found.placed], found.places),
        alpha=None if frames.alpha is None else _undistorted(frames.alpha[found.placed], found.places),
        mask=None if frames.mask is None else _undistorted(frames.mask[found.placed], found.places) // 255 * 255,
        cameras=Cameras(
            world_from_cam=world_from_cam.astype(np.float32),
            intrinsics=np.repeat(found.intrinsics[None].astype(np.float32), count, 0),
            width=width,
            height=height,
        ),
        confidence=(weight / (1 + found.view_errors**2)).astype(np.float32),
        points=points[good].astype(np.float32),
        point_colors=found.point_colors[good],
        solver=solver,
    )


def _undistorted(pictures: UInt8[np.ndarray, "K H W *C"], places: np.ndarray) -> UInt8[np.ndarray, "K H W *C"]:
    """The pictures as the pinhole camera sees them; unchanged when there are no places."""
    if not places.size:
        return pictures
    import cv2

    # OpenCV counts from the centre of the first pixel, we from its corner.
    x, y = places[..., 0] - 0.5, places[..., 1] - 0.5
    return np.stack(
        [cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for picture in pictures]
    )


def to_our_world(found: Found) -> tuple[Float64[np.ndarray, "K 4 4"], Float64[np.ndarray, "P 3"]]:
    """Camera poses (world from camera) and points, normalised as `ColmapPoses` says."""
    rotations, shifts = found.cam_from_world[:, :, :3], found.cam_from_world[:, :, 3]
    first_rotation, first_shift = rotations[0], shifts[0]
    scale = INPUT_DISTANCE / _focus_distance(found)
    start = np.array([0.0, 0.0, -INPUT_DISTANCE])

    def moved(positions: np.ndarray) -> np.ndarray:
        return scale * (positions @ first_rotation.T + first_shift) + start

    world_from_cam = np.tile(np.eye(4), (len(rotations), 1, 1))
    world_from_cam[:, :3, :3] = first_rotation @ rotations.transpose(0, 2, 1)
    world_from_cam[:, :3, 3] = moved(-np.einsum("kji,kj->ki", rotations, shifts))
    return world_from_cam, moved(found.points)


def _focus_distance(found: Found) -> float:
    """How far in front of the first view the thing is that the views look at, in COLMAP's unit."""
    rotations, shifts = found.cam_from_world[:, :, :3], found.cam_from_world[:, :, 3]
    depths = (found.points @ rotations[0].T + shifts[0])[found.in_first, 2]
    if not len(depths):
        raise PoseError("the first frame sees no point", hint="start the video where there is more to see")
    near, median, far = np.percentile(depths, [5, 50, 95])
    axes = rotations[:, 2]  # [K, 3]
    centers = -np.einsum("kji,kj->ki", rotations, shifts)
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # [K, 3, 3]
    # The point that is nearest to all optical axes, if they are not nearly parallel.
    if np.linalg.eigvalsh(across.mean(0))[0] > MIN_SPREAD:
        meeting = np.linalg.solve(across.sum(0), np.einsum("kij,kj->i", across, centers))
        depth = float(rotations[0, 2] @ meeting + shifts[0, 2])
        if near < depth < far:
            return depth
    return float(median)


def good_points(found: Found, points: Float64[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
    """Points that fit well, are seen by three frames where possible, and are not far from all others."""
    good = found.point_errors <= MAX_POINT_ERROR
    thrice = good & (found.track_lengths >= 3)
    good = thrice if thrice.sum() >= 100 else good
    if not good.any():
        return good
    distance = np.linalg.norm(points - np.median(points[good], 0), axis=1)
    return good & (distance <= 10 * np.median(distance[good]))
