"""Cameras of what moves: given ones of fixed viewpoints and of single views, and those of one time for all times."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.moving_scenes import make_scene, render_scene, ring_of_cameras
from img2world.core.errors import PoseError, RejectedError
from img2world.core.frames import Frames
from img2world.poses.auto import AutoPoses
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.coverage import seen_sides
from img2world.poses.given import GivenPoses
from img2world.poses.sparse_model import SparseModel
from img2world.poses.timed import _for_all_times
from img2world.poses.triangulation import project
from img2world.tracking.hull_points import hull_points

TIMES, COUNT, SIZE = (0.0, 0.4, 0.8), 6, 64


@pytest.fixture(scope="module")
def moving() -> Frames:
    """A box that opens, seen by six cameras at three times, on white without alpha, with cameras of another world."""
    cameras = ring_of_cameras(COUNT, SIZE)
    index = np.tile(np.arange(COUNT), len(TIMES))
    seen = render_scene(make_scene("hinged box", 0), cameras.select(index), np.repeat(TIMES, COUNT))
    turn = np.diag([5.0, -5.0, -5.0, 1.0])
    turn[:3, 3] = [2, -3, 1]
    return Frames(
        rgb=seen.views.rgb,
        times=seen.times,
        ordered=False,
        viewpoints=index,
        is_timed=True,
        cameras=cameras.transformed(turn).select(index),
    )


@pytest.fixture(scope="module")
def views(moving):
    return AutoPoses().estimate(moving, None)


def test_given_cameras_are_confirmed_by_outlines_at_several_times(moving, views, pose_errors):
    assert (len(views), views.solver) == (18, "given")
    assert views.times.tolist() == moving.times.tolist()
    assert np.array_equal(views.cameras.world_from_cam[:COUNT], views.cameras.world_from_cam[-COUNT:])
    first = np.arange(COUNT)
    assert max(pose_errors(views.cameras.select(first), moving.cameras.select(first))) < 0.01
    assert views.report.grade in ("A", "B")
    assert views.report.frames == tuple(range(18))
    # The object is cut out of its plain background, and points lie in it at the first time.
    assert views.alpha is not None
    assert 0.02 < (views.alpha > 127).mean() < 0.3
    for i in range(COUNT):
        _, pixels, inside = views.cameras.project(i, views.points)
        column, row = pixels[inside].astype(int).T
        assert inside.all()
        assert (views.alpha[i, row, column] > 0).mean() > 0.95


def test_cameras_in_the_wrong_order_are_refused_by_the_outlines(moving):
    order = np.tile([3, 0, 4, 1, 5, 2], len(TIMES))
    wrong = replace(moving, cameras=moving.cameras.select(order))
    report = AutoPoses().estimate(wrong, None).report
    assert report is not None
    assert report.grade == "D"
    assert "outlines" in report.reasons[-1]


def test_a_viewpoint_that_misses_a_time_keeps_the_others(moving):
    fewer = AutoPoses().estimate(moving.select(np.delete(np.arange(18), [7, 14])), None)
    assert len(fewer) == 16
    assert fewer.times is not None
    assert np.bincount(np.searchsorted(TIMES, fewer.times)).tolist() == [6, 5, 5]


def test_one_view_at_each_time_keeps_its_camera_unchecked(moving):
    single = replace(moving.select(np.array([0, 7, 14])), viewpoints=None)
    kept = AutoPoses().estimate(single, None)
    assert np.array_equal(kept.points, GivenPoses().estimate(single, None).points)
    assert kept.report is None
    assert kept.times is not None
    assert kept.times.tolist() == list(TIMES)
    assert len(kept.points) > 100


def test_without_cameras_and_viewpoints_nothing_can_be_found(moving):
    with pytest.raises(PoseError, match="neither cameras nor fixed viewpoints"):
        AutoPoses().estimate(replace(moving, cameras=None, viewpoints=None), None)


def test_two_viewpoints_without_cameras_are_too_few(moving):
    two = moving.select(np.flatnonzero(moving.viewpoints < 2))
    with pytest.raises(RejectedError, match="no cameras could be found for 2 viewpoints"):
        AutoPoses().estimate(replace(two, cameras=None), None)


def test_sides_that_no_camera_sees_are_told(views):
    assert seen_sides(replace(views, times=None)) == {}
    assert seen_sides(views) == pytest.approx({"times": 3, "sides_seen": 1, "sides_seen_at_a_time": 1}, abs=0.01)
    # Cameras 0 and 3 are opposite, and each sees 120 of 360 degrees.
    seen = seen_sides(views.select(np.array([0, 9])))
    assert seen["sides_seen"] == pytest.approx(2 / 3, abs=0.01)
    assert seen["sides_seen_at_a_time"] == pytest.approx(1 / 3, abs=0.01)


def test_the_finer_hull_is_inside_the_outlines_and_closer_to_them(views):
    hull = hull_points(views.select(np.arange(COUNT)))
    assert hull is not None
    assert hull.agreement > 0.8
    other = views.select(np.arange(COUNT))
    moved = hull_points(replace(other, cameras=other.cameras.select(np.roll(np.arange(COUNT), 1))))
    assert moved is None or moved.agreement < hull.agreement


def test_a_model_of_one_time_serves_all_times():
    rng = np.random.default_rng(0)
    cameras = CameraParameters.from_cameras(ring_of_cameras(3, SIZE))
    # Frames are two times of three viewpoints; the model has the first and the last at the second time.
    viewpoints, index = np.array([0, 1, 2, 0, 1, 2]), np.array([3, 4, 5])
    points = rng.normal(0, 0.1, (5, 3))
    frame_ids = np.tile([0, 1], 5)
    model = SparseModel(
        placed=np.array([0, 2]),
        cam_from_world=cameras.cam_from_world[[0, 2]],
        points=points,
        point_errors=np.zeros(5),
        intrinsics=np.tile(np.diag([60.0, 60.0, 1.0]), (2, 1, 1)),
        distorted_xy=np.zeros((0, SIZE, SIZE, 2), np.float32),
        maps=np.array([-1, -1]),
        observation_frame_ids=frame_ids,
        observation_xy=rng.random((10, 2)) * SIZE,
        observation_starts=np.arange(0, 10, 2),
    )
    grown = _for_all_times(model, np.array([True, True]), index, np.array([0, 2, 3, 5]), viewpoints)
    assert np.array_equal(grown.cam_from_world, cameras.cam_from_world[[0, 2, 0, 2]])
    assert np.array_equal(grown.points, points)
    assert grown.num_observations.tolist() == [0, 0, 5, 5]
    assert np.array_equal(grown.observation_xy, model.observation_xy)
    assert project(points, grown.camera_parameters, grown.tracks).shape == (10, 2)
