"""Given cameras: kept where they are right, graded down, adjusted or left out where they are wrong."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import look_at
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.rotation import rotation_about
from img2world.core.views import Views
from img2world.poses.auto import AutoPoses
from img2world.poses.given import GivenPoses
from img2world.tracking import features
from img2world.video.synthetic import SyntheticVideo

UNIT = 37.0
"""Units of the dataset in one of ours."""


@pytest.fixture(scope="module", autouse=True)
def detected_once():
    """Detect the features of a picture once: the cameras, which most tests are about, do not matter to them."""
    found, detect = {}, features._detect

    def remembered(rgb, mask, kind, max_features):
        assert mask is None
        key = (rgb.tobytes(), kind, max_features)
        if key not in found:
            found[key] = detect(rgb, mask, kind, max_features)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_detect", remembered)
        yield


@pytest.fixture(scope="module")
def dataset(make_cameras) -> Frames:
    """A textured room from an arc, in another unit and turned, as a dataset without order, depth and points."""
    angles = np.linspace(-0.6, 0.6, 9)
    poses = [look_at(np.array([np.sin(a), -0.2, -np.cos(a)]), np.zeros(3)) for a in angles]
    cameras = make_cameras(np.stack(poses), fov=1.0, width=240, height=180)
    frames = SyntheticVideo(kind="room", supersample=1).generate(None, cameras)
    turn = np.eye(4)
    turn[:3, :3] = UNIT * rotation_about(np.array([0.3, 1.0, 0.2]), 1.0)
    assert frames.cameras is not None
    return Frames(rgb=frames.rgb, times=frames.times, ordered=False, cameras=frames.cameras.transformed(turn))


@pytest.fixture(scope="module")
def right(dataset: Frames) -> Views:
    """The views of the dataset as it is."""
    return GivenPoses(max_features=1200).estimate(dataset, None)


def with_poses(frames: Frames, poses: np.ndarray) -> Frames:
    assert frames.cameras is not None
    return replace(frames, cameras=replace(frames.cameras, world_from_cam=poses.astype(np.float32)))


def test_right_cameras_are_kept_and_graded_a(dataset: Frames, right: Views, pose_errors):
    views = right
    assert views.report is not None
    assert (views.report.grade, views.report.placed, views.solver) == ("A", 9, "given")
    assert dataset.cameras is not None
    assert max(pose_errors(views.cameras, dataset.cameras)) < 0.01
    # The world is that of every solver.
    assert np.allclose(views.cameras.world_from_cam[0, :3, :3], np.eye(3), atol=1e-5)
    assert np.allclose(views.cameras.centers_in_world[0], [0, 0, -1], atol=1e-5)
    assert len(views.points) > 300
    depth = (views.points - views.cameras.centers_in_world[0]) @ views.cameras.world_from_cam[0, :3, 2]
    assert 0.5 < np.median(depth) < 4


def test_points_of_the_dataset_are_kept(dataset: Frames):
    assert dataset.cameras is not None
    points = (dataset.cameras.centers_in_world + UNIT * dataset.cameras.world_from_cam[:, :3, 2]).astype(np.float32)
    known = replace(dataset, points=points, point_colors=np.full(points.shape, 7, np.uint8))
    views = GivenPoses(max_features=1200).estimate(known, None)
    # The cameras are 1.02 units from the origin.
    assert np.abs(views.points).max() < 0.03
    assert (views.point_colors == 7).all()


@pytest.mark.parametrize("fault", ["order", "world", "noise"])
def test_wrong_cameras_are_found(dataset: Frames, fault: str):
    assert dataset.cameras is not None
    poses = dataset.cameras.world_from_cam.astype(np.float64)
    if fault == "order":
        poses = poses[[4, 7, 0, 2, 8, 1, 5, 3, 6]]
    elif fault == "world":
        poses[:, :3, 3] *= np.array([1, 1, -1])
    else:
        for i, pose in enumerate(poses):
            axis = np.random.default_rng(i).normal(size=3)
            pose[:3, :3] = rotation_about(axis, np.radians(8)) @ pose[:3, :3]
    report = GivenPoses(max_features=1200).estimate(with_poses(dataset, poses), None).report
    assert report is not None
    assert report.grade == "D"


def test_one_wrong_camera_is_left_out(dataset: Frames):
    assert dataset.cameras is not None
    poses = dataset.cameras.world_from_cam.astype(np.float64)
    poses[5, :3, :3] = poses[5, :3, :3] @ rotation_about(np.array([0.0, 1, 0]), np.radians(25))
    report = GivenPoses(max_features=1200).estimate(with_poses(dataset, poses), None).report
    assert report is not None
    assert report.frames == (0, 1, 2, 3, 4, 6, 7, 8)
    assert any("contradict the cameras of frame 5" in reason for reason in report.reasons)
    assert report.grade in ("B", "C")


def test_auto_refines_cameras_that_are_not_good(dataset: Frames, pose_errors):
    assert dataset.cameras is not None
    poses = dataset.cameras.world_from_cam.astype(np.float64)
    for i, pose in enumerate(poses):
        axis = np.random.default_rng(i).normal(size=3)
        pose[:3, :3] = rotation_about(axis, np.radians(1.0)) @ pose[:3, :3]
    wrong = with_poses(dataset, poses)
    given = GivenPoses(max_features=1200).estimate(wrong, None)
    refined = AutoPoses().estimate(wrong, None)
    assert refined.solver == "given, refined"
    assert given.report is not None
    assert refined.report is not None
    assert refined.report.placed == 9 > given.report.placed
    assert refined.report.grade < given.report.grade
    # Each camera was turned by one degree about another axis.
    assert pose_errors(refined.cameras, dataset.cameras)[0] < 0.4
    assert refined.report.heldout_px < 0.5 * given.report.heldout_px


def test_options_bound_points_and_features(dataset: Frames, right: Views):
    assert len(GivenPoses(max_features=300).estimate(dataset, None).points) < len(right.points)
    assert dataset.cameras is not None
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    known = replace(dataset, points=points, point_colors=np.zeros(points.shape, np.uint8))
    assert len(GivenPoses(max_points=50, time_limit=60.0).estimate(known, None).points) <= 50


def test_pictures_without_cameras_are_refused(dataset: Frames):
    with pytest.raises(PoseError, match="without cameras"):
        GivenPoses(max_features=1200).estimate(replace(dataset, cameras=None), None)
