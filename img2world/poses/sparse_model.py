"""COLMAP's sparse model as a value, and its conversion to views in the package's own world."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.pictures import select_pictures
from img2world.core.views import Views
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.own_world import in_own_world, meeting_depth
from img2world.tracking.tracks import Tracks

MAX_POINT_ERROR = 2.0
"""Pixels. Points with a larger mean reprojection error are dropped."""

MIN_GOOD_POINTS = 100
"""Points seen in only two frames are dropped, too, where as many others remain."""

MAX_POINT_DISTANCE = 10.0
"""Distance of a point from the centre of all points, in medians of this distance, beyond which it is dropped."""

HALF_CONFIDENCE_POINTS = 50.0
"""Points seen in a frame at which its confidence is halved."""


@dataclass(frozen=True, kw_only=True)
class SparseModel:
    """Cameras and points in COLMAP's world, for pictures of the size of the frames."""

    placed: Int64[np.ndarray, "K"]
    """Indices of the frames that have a camera, ascending."""
    cam_from_world: Float64[np.ndarray, "K 3 4"]
    points: Float64[np.ndarray, "P 3"]
    """Points that at least two placed frames see."""
    point_errors: Float64[np.ndarray, "P"]
    """Mean reprojection error of each point, in pixels."""
    intrinsics: Float64[np.ndarray, "K 3 3"]
    """Intrinsics of the pinhole cameras of the undistorted pictures, each in the upper left corner of its frame."""
    distorted_xy: Float32[np.ndarray, "L H W 2"]
    """For each lens with distortion, the position in the original frame of each undistorted pixel; -1 beyond the
    picture."""
    maps: Int64[np.ndarray, "K"]
    """Index in `distorted_xy` of the lens of each placed frame; -1 without distortion."""
    observation_frame_ids: Int64[np.ndarray, "O"]
    """Index among the placed frames of each observation of a point."""
    observation_xy: Float64[np.ndarray, "O 2"]
    """Its position in the undistorted frame, in pixels."""
    observation_starts: Int64[np.ndarray, "P"]
    """Index of the first observation of each point."""

    def save(self, path: Path) -> None:
        """Write the model as an .npz file."""
        np.savez(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "SparseModel":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**dict(arrays))

    @property
    def tracks(self) -> Tracks:
        """The observations of the points in the placed frames."""
        return Tracks(frame_ids=self.observation_frame_ids, xy=self.observation_xy, starts=self.observation_starts)

    @property
    def camera_parameters(self) -> CameraParameters:
        """The cameras of the placed frames in COLMAP's world."""
        return CameraParameters(
            cam_from_world=self.cam_from_world,
            focal=self.intrinsics[:, [0, 1], [0, 1]],
            principal_point=self.intrinsics[:, :2, 2],
        )

    @property
    def num_observations(self) -> Int64[np.ndarray, "K"]:
        """Points seen in each placed frame."""
        return self.tracks.count_per_frame(len(self.placed))

    @property
    def view_errors(self) -> Float64[np.ndarray, "K"]:
        """Mean reprojection error in pixels of the points seen in each placed frame; infinite without any."""
        errors = np.repeat(self.point_errors, self.tracks.lengths)
        sums = np.bincount(self.observation_frame_ids, weights=errors, minlength=len(self.placed))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.num_observations > 0, sums / self.num_observations, np.inf)


def views_from_model(frames: Frames, model: SparseModel, *, solver: str) -> Views:
    """Return the placed frames, undistorted, in the world that `normalize_world` makes.

    The confidence of a frame with n points and a mean reprojection error of e pixels is n / (n + 50) / (1 + e²).
    """
    world_from_cam, points = normalize_world(model)
    good = select_points(model, points)
    height, width = frames.rgb.shape[1:3]
    weight = model.num_observations / (model.num_observations + HALF_CONFIDENCE_POINTS)
    rgb, alpha, mask = (
        None if pictures is None else _undistort(select_pictures(pictures, model.placed), model)
        for pictures in (frames.rgb, frames.alpha, frames.mask)
    )
    assert rgb is not None
    return Views(
        rgb=rgb,
        alpha=alpha,
        mask=None if mask is None else mask // 255 * 255,
        cameras=Cameras(
            world_from_cam=world_from_cam.astype(np.float32),
            intrinsics=model.intrinsics.astype(np.float32),
            width=width,
            height=height,
        ),
        confidence=(weight / (1 + model.view_errors**2)).astype(np.float32),
        points=points[good].astype(np.float32),
        point_colors=_mean_colors(rgb, model.tracks)[good],
        solver=solver,
    )


def _undistort(pictures: UInt8[np.ndarray, "K H W *C"], model: SparseModel) -> UInt8[np.ndarray, "K H W *C"]:
    """Resample pictures, in place, to the pinhole cameras."""
    import cv2

    for i, lens in enumerate(model.maps):
        if lens >= 0:
            positions = model.distorted_xy[lens]
            # The picture is in the corner of the frame; what is beyond it must not leak in at its edge.
            row, column = np.flatnonzero((positions >= 0).any((1, 2))), np.flatnonzero((positions >= 0).any((0, 2)))
            area = (slice(0, row[-1] + 1), slice(0, column[-1] + 1))
            # In OpenCV the centre of the first pixel is (0, 0), here it is (0.5, 0.5).
            x, y = positions[area][..., 0] - 0.5, positions[area][..., 1] - 0.5
            picture = pictures[i][area].copy()
            pictures[i][area] = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return pictures


def _mean_colors(rgb: UInt8[np.ndarray, "K H W 3"], tracks: Tracks) -> UInt8[np.ndarray, "P 3"]:
    """Return the mean colour of the pixels in which each point is seen."""
    if not len(tracks):
        return np.zeros((0, 3), np.uint8)
    column, row = np.clip(np.floor(tracks.xy).astype(int), 0, [rgb.shape[2] - 1, rgb.shape[1] - 1]).T
    sums = np.add.reduceat(rgb[tracks.frame_ids, row, column].astype(np.float64), tracks.starts)
    return np.round(sums / tracks.lengths[:, None]).astype(np.uint8)


def normalize_world(model: SparseModel) -> tuple[Float64[np.ndarray, "K 4 4"], Float64[np.ndarray, "P 3"]]:
    """Return poses (world from camera) and points in a world aligned with the first placed view.

    That view has the identity rotation, is at (0, 0, -1) and looks at the origin, which is as far away as the point
    where the optical axes of all views meet, or else as the median of the points that the view sees.
    Raises PoseError when there are none in front of it.
    """
    cameras, points = in_own_world(model.camera_parameters, model.points, _focus_distance(model))
    return cameras.world_from_cam, points


def _focus_distance(model: SparseModel) -> float:
    """Return the distance from the first view, along its axis, of what the views look at, in COLMAP's unit."""
    first = model.cam_from_world[0]
    all_depths = (model.points @ first[:, :3].T + first[:, 3])[:, 2]
    depths = all_depths[model.tracks.track_ids[model.observation_frame_ids == 0]]
    if not len(depths):
        # The view is placed, but by points that later turned out wrong: those of the others have to do.
        depths = all_depths[all_depths > 0]
    if not len(depths):
        raise PoseError("the first frame sees no points", hint="start the video where there is more to see")
    near, median, far = np.percentile(depths, [5, 50, 95])
    depth = meeting_depth(model.camera_parameters)
    return depth if depth is not None and near < depth < far else float(median)


def select_points(model: SparseModel, points: Float64[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
    """Return which points fit well, are seen in three frames where enough are, and are not far from all others."""
    good = model.point_errors <= MAX_POINT_ERROR
    seen_thrice = good & (model.tracks.lengths >= 3)
    good = seen_thrice if seen_thrice.sum() >= MIN_GOOD_POINTS else good
    if not good.any():
        return good
    distance = np.linalg.norm(points - np.median(points[good], 0), axis=1)
    return good & (distance <= MAX_POINT_DISTANCE * np.median(distance[good]))
