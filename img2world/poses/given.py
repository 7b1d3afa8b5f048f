"""Cameras that come with the pictures, as in posed datasets, checked by points that both see."""

import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from img2world.core.cameras import Cameras
from img2world.core.child_process import run_child
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt
from img2world.core.views import Views
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.commanded import sample_random_points
from img2world.poses.grade import INLIER_PIXELS, THRESHOLDS, grade_views
from img2world.poses.own_world import in_own_world, meeting_depth
from img2world.poses.triangulation import parallax_angles, project, reprojection_errors, triangulate
from img2world.poses.validation import add_reason, cap_grade
from img2world.tracking.features import FeatureKind, track_by_features
from img2world.tracking.object_masks import combine_masks
from img2world.tracking.tracks import Tracks

MIN_OBSERVATIONS = 16
"""Validation observations in a view from which they can contradict its camera."""

MIN_FITTING = 0.2
"""Fraction of these that fit if the camera is right: moving things and false matches do not."""

MIN_VIEWS = 2

NEIGHBORS = 3
"""Views with which each view is matched, in addition to the next two by name."""

MAX_CHECKED = 1200
"""Corners of a view for the check, which needs a hundred points, not all."""

FEW_VIEWS = 24
"""Views of which each has `max_features`; of more, half as many each."""

MAX_AXIS_DEG = 60.0
"""Views whose optical axes differ by more are not matched while there are others."""

MIN_POINT_PARALLAX_DEG = 1.0

MAX_RANDOM = 5000
"""Random points where the dataset has none and nothing can be matched."""

MAX_POINT_DISTANCE = 20.0
"""Distance of a point from the middle of all, in medians of this distance, beyond which it is dropped."""


@dataclass(frozen=True, kw_only=True)
class GivenFrames:
    """Frames with cameras and points in the package's world, and what neighbouring frames share, found when needed."""

    frames: Frames
    cameras: CameraParameters
    points: Float64[np.ndarray, "P 3"]
    colors: UInt8[np.ndarray, "P 3"]
    max_features: int
    progress: Progress

    @cached_property
    def validation(self) -> Tracks:
        """Corners, which check the cameras."""
        return self._track("corners", MAX_CHECKED)

    @cached_property
    def own(self) -> Tracks:
        """Blobs, to which the cameras may be adjusted."""
        return self._track("blobs", self.max_features)

    def _track(self, kind: FeatureKind, max_features: int) -> Tracks:
        """Return points that neighbouring frames share."""
        frames, pairs = self.frames, neighboring_pairs(self.cameras)
        masks = combine_masks(None if frames.alpha is None else frames.alpha > 127, frames.mask)
        return track_by_features(frames.rgb, masks, pairs, kind=kind, max_features=max_features, progress=self.progress)


@dataclass(frozen=True, kw_only=True)
class GivenPoses:
    """Keep the cameras that the pictures came with, check them, and find points where the dataset has none.

    They are graded by corners that neighbouring pictures share. Pictures whose camera these contradict are left out.
    """

    refine: bool = False
    """Adjust the cameras to points that the pictures share, where that lowers the error of others."""
    max_points: NonNegativeInt = 50_000
    """Maximum number of points of the dataset that are kept."""
    max_features: PositiveInt = 3000
    """Features per picture for points where the dataset has none; half as many of more than 24 pictures."""
    time_limit: NonNegativeFloat = 1200.0
    """Seconds after which an adjustment is stopped."""

    def estimate(
        self,
        frames: Frames,
        trajectory: Cameras | None,
        *,
        seed: int = 0,
        progress: Progress = silent,
        work: Path | None = None,
    ) -> Views:
        """Return the frames with their cameras in the package's world, and a report on them.

        The trajectory is not used. Raises PoseError when the frames have no cameras.
        """
        if frames.is_timed:
            from img2world.poses.timed import estimate_timed

            return estimate_timed(frames, known=self, seed=seed, progress=progress)
        return self.solve(self.prepare(frames, progress), refine=self.refine, seed=seed)

    def prepare(self, frames: Frames, progress: Progress = silent) -> "GivenFrames":
        """Return the frames with their cameras in the package's world. Raises PoseError when they have none."""
        if frames.cameras is None:
            raise PoseError(
                "the pictures came without cameras", hint="find them with --set poses.name=auto, or give a dataset"
            )
        points, colors = self._dataset_points(frames)
        given = CameraParameters.from_cameras(frames.cameras)
        cameras, points = in_own_world(given, points, focus_distance(given, points))
        max_features = self.max_features if len(frames) <= FEW_VIEWS else self.max_features // 2
        return GivenFrames(
            frames=frames, cameras=cameras, points=points, colors=colors, max_features=max_features, progress=progress
        )

    def solve(self, given: "GivenFrames", *, refine: bool, seed: int = 0) -> Views:
        """Return the views with their cameras as given, or adjusted if that helps, and a report on them."""
        frames, cameras, points, colors = given.frames, given.cameras, given.points, given.colors
        validation, own = given.validation, Tracks.empty()
        if refine or not len(points) or len(validation) < THRESHOLDS[1].min_tracks:
            own = given.own
        solver = "given"
        if refine and len(own):
            refined = self._refined(frames, cameras, own, seed)
            if median_error(validation, refined) < median_error(validation, cameras):
                cameras, solver = refined, "given, refined"
        if not len(points):
            points, colors = triangulated_points(frames, cameras, own)
            cameras, points = in_own_world(cameras, points, focus_distance(cameras, points))
        solved = replace(given, cameras=cameras, points=points, colors=colors)
        return check_views(replace(self.unchecked(solved, seed=seed), solver=solver), validation, own)

    def unchecked(self, given: "GivenFrames", *, seed: int = 0) -> Views:
        """Return the views with their cameras and points as given, or with random points, and without a report."""
        frames, points, colors = given.frames, given.points, given.colors
        height, width = frames.rgb.shape[1:3]
        cameras = given.cameras.to_cameras(width, height)
        if not len(points):
            points, colors = sample_random_points(frames, cameras, MAX_RANDOM, np.random.default_rng(seed))
        return Views(
            rgb=frames.rgb,
            cameras=cameras,
            confidence=np.ones(len(frames), np.float32),
            points=points.astype(np.float32),
            point_colors=colors,
            solver="given",
            alpha=frames.alpha,
            mask=frames.mask,
        )

    def _refined(self, frames: Frames, cameras: CameraParameters, tracks: Tracks, seed: int) -> CameraParameters:
        """Return the cameras after bundle adjustment that stays near them and keeps their intrinsics."""
        height, width = frames.rgb.shape[1:3]
        with tempfile.TemporaryDirectory(prefix="img2world-") as name:
            folder = Path(name)
            np.savez(folder / "tracks.npz", **vars(tracks))
            np.savez(
                folder / "given.npz",
                cam_from_world=cameras.cam_from_world,
                intrinsics=np.concatenate([cameras.focal, cameras.principal_point], 1),
                points=triangulate(tracks, cameras),
            )
            options = {"folder": name, "width": width, "height": height, "seed": seed}
            run_child("img2world.poses.given_process", options, time_limit=self.time_limit, error=PoseError)
            return replace(cameras, cam_from_world=np.load(folder / "adjusted.npy"))

    def _dataset_points(self, frames: Frames) -> tuple[Float64[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
        """Return the dataset's points in its world, evenly thinned, without the farthest."""
        if frames.points is None or frames.point_colors is None or not len(frames.points):
            return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
        index = np.linspace(0, len(frames.points) - 1, min(self.max_points, len(frames.points))).astype(int)
        points, colors = frames.points[index].astype(np.float64), frames.point_colors[index]
        distance = np.linalg.norm(points - np.median(points, 0), axis=1)
        near = distance <= MAX_POINT_DISTANCE * np.median(distance)
        return points[near], colors[near]


def neighboring_pairs(cameras: CameraParameters) -> list[tuple[int, int]]:
    """Return the pairs of views to match: each with the nearest that look the same way, and with the next by name.

    The latter do not depend on the poses, which may be wrong.
    """
    count = len(cameras)
    centers, axes = cameras.centers, cameras.rotations[:, 2]
    distance = np.linalg.norm(centers[:, None] - centers, axis=-1)
    distance /= max(float(distance.max()), 1e-9)
    angle = np.degrees(np.arccos(np.clip(axes @ axes.T, -1, 1)))
    cost = distance + angle / MAX_AXIS_DEG + 10.0 * (angle > MAX_AXIS_DEG)
    np.fill_diagonal(cost, np.inf)
    pairs = {(i, i + 1) for i in range(count - 1)} | {(i, i + 2) for i in range(count - 2)}
    for i, row in enumerate(np.argsort(cost, axis=1, kind="stable")[:, : min(NEIGHBORS, count - 1)]):
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in row}
    return sorted(pairs)


def median_error(tracks: Tracks, cameras: CameraParameters) -> float:
    """Return the median reprojection error in pixels; infinite without tracks."""
    return float(np.median(reprojection_errors(tracks, cameras))) if len(tracks) else float("inf")


def triangulated_points(
    frames: Frames, cameras: CameraParameters, tracks: Tracks
) -> tuple[Float64[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Return the points of tracks that fit the cameras, lie before them and are seen from two sides; their colours."""
    if not len(tracks):
        return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    points = triangulate(tracks, cameras)
    axes, centers = cameras.rotations[tracks.frame_ids, 2], cameras.centers[tracks.frame_ids]
    in_front = ((points[tracks.track_ids] - centers) * axes).sum(1) > 0
    errors = np.linalg.norm(project(points, cameras, tracks) - tracks.xy, axis=1)
    limit = INLIER_PIXELS * max(1.0, frames.rgb.shape[2] / 256)
    fits = np.logical_and.reduceat(in_front & (errors < limit), tracks.starts)
    fits &= parallax_angles(tracks, cameras) > np.radians(MIN_POINT_PARALLAX_DEG)
    first = tracks.starts
    x, y = (np.clip(tracks.xy[first, i].astype(int), 0, frames.rgb.shape[2 - i] - 1) for i in range(2))
    return points[fits], frames.rgb[tracks.frame_ids[first], y, x][fits]


def focus_distance(cameras: CameraParameters, points: Float64[np.ndarray, "P 3"]) -> float:
    """Return the distance of what the cameras look at from the first, along its axis, in the dataset's unit.

    It is that of the point where the optical axes meet or, where they do not, the median of the points that the first
    camera sees, or else the median distance of the cameras from their middle.
    """
    seen = (points - cameras.centers[0]) @ cameras.rotations[0, 2]
    seen = seen[seen > 0]
    low, high = np.percentile(seen, [5, 95]) if len(seen) else (0.0, np.inf)
    depth = meeting_depth(cameras)
    if depth is not None and low < depth < high:
        return depth
    if len(seen):
        return float(np.median(seen))
    spread = float(np.median(np.linalg.norm(cameras.centers - cameras.centers.mean(0), axis=1)))
    return spread if spread > 0 else 1.0


def check_views(views: Views, validation: Tracks, own: Tracks) -> Views:
    """Return the views with a report, without those whose cameras the validation tracks contradict."""
    total, frames = len(views), np.arange(len(views))
    if len(validation) < THRESHOLDS[1].min_tracks:
        return cap_grade(grade_views(views, own, total=total, placed=frames), len(validation))
    right = ~contradicted(views, validation)
    if right.all() or right.sum() < MIN_VIEWS:
        return grade_views(views, validation, total=total, placed=frames)
    kept: Int64[np.ndarray, "K"] = np.flatnonzero(right)
    graded = grade_views(views.select(kept), validation.in_frames(kept, total), total=total, placed=kept)
    wrong = ", ".join(str(i) for i in np.flatnonzero(~right))
    return add_reason(graded, f"the points that other pictures share contradict the cameras of frame {wrong}")


def contradicted(views: Views, validation: Tracks) -> Bool[np.ndarray, "V"]:
    """Return which views have many validation observations, of which few fit."""
    errors = reprojection_errors(validation, CameraParameters.from_cameras(views.cameras))
    fits: Float32[np.ndarray, "O"] = (errors * min(1.0, 256 / views.cameras.width) < INLIER_PIXELS).astype(np.float32)
    seen = validation.count_per_frame(len(views))
    fitting = np.bincount(validation.frame_ids, weights=fits, minlength=len(views))
    return (seen >= MIN_OBSERVATIONS) & (fitting < MIN_FITTING * seen)
