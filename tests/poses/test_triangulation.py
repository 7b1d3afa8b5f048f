"""Triangulation against known points, OpenCV's projection and SciPy's optimiser."""

import cv2
import numpy as np
import pytest
from scipy.optimize import least_squares

from img2world.core.camera_paths import orbit
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.triangulation import (
    mean_track_errors,
    parallax_angles,
    project,
    reprojection_errors,
    triangulate,
    viewing_rays,
)
from img2world.tracking.tracks import Tracks


@pytest.fixture
def cameras(make_cameras):
    return make_cameras(orbit(12, elevation=0.2))


@pytest.fixture
def parameters(cameras) -> CameraParameters:
    return CameraParameters.from_cameras(cameras)


def test_points_are_recovered(cameras, parameters, observe, cloud):
    tracks = observe(cloud, cameras, length=6)
    assert np.allclose(triangulate(tracks, parameters), cloud, atol=1e-5)
    # The cameras are stored in float32.
    assert reprojection_errors(tracks, parameters).max() < 1e-3


def test_projection_is_that_of_opencv(cameras, parameters, observe, cloud):
    tracks = observe(cloud, cameras)
    xy = project(cloud, parameters, tracks).reshape(len(cloud), 12, 2)
    for view, pose in enumerate(parameters.cam_from_world):
        turn, _ = cv2.Rodrigues(pose[:, :3])
        expected, _ = cv2.projectPoints(cloud, turn, pose[:, 3], cameras.intrinsics[view].astype(np.float64), None)
        # OpenCV makes the rotation, which was float32, exactly orthogonal.
        assert np.allclose(xy[:, view], expected[:, 0], atol=1e-4)


def test_a_noisy_point_is_nearest_to_its_rays(cameras, parameters, observe, cloud):
    tracks = observe(cloud[:4], cameras, noise=3.0)
    rays, centers = viewing_rays(tracks, parameters), parameters.centers[tracks.frame_ids]
    assert np.allclose(np.linalg.norm(rays, axis=1), 1)
    for i, point in enumerate(triangulate(tracks, parameters)):
        mine = tracks.track_ids == i
        best = least_squares(lambda p, m=mine: np.cross(rays[m], p - centers[m]).ravel(), np.zeros(3))
        assert np.allclose(point, best.x, atol=1e-6)


def test_errors_are_distances_in_pixels(cameras, parameters, observe, cloud):
    tracks = observe(cloud, cameras)
    moved = tracks.xy.copy()
    moved[5] += [3.0, 4.0]  # One of twelve observations hardly moves the point.
    errors = reprojection_errors(Tracks(frame_ids=tracks.frame_ids, xy=moved, starts=tracks.starts), parameters)
    assert errors[5] == pytest.approx(5, abs=1)
    assert errors[12:].max() < 1e-3
    means = mean_track_errors(Tracks(frame_ids=tracks.frame_ids, xy=moved, starts=tracks.starts), parameters)
    assert means[0] == pytest.approx(errors[:12].mean())


def test_parallax_of_the_origin_is_the_angle_between_the_cameras(make_cameras, observe):
    cameras = make_cameras(orbit(12))
    tracks = observe(np.zeros((1, 3)), cameras.select(slice(0, 4)))
    angles = parallax_angles(tracks, CameraParameters.from_cameras(cameras))
    assert np.degrees(angles) == pytest.approx(90, abs=1e-3)


def test_a_point_behind_a_camera_has_a_finite_projection(parameters):
    tracks = Tracks(frame_ids=np.arange(3), xy=np.zeros((3, 2)), starts=np.array([0]))
    assert np.isfinite(project(np.array([[0.0, 0.0, -5.0]]), parameters, tracks)).all()


def test_no_tracks_have_no_errors(parameters):
    none = Tracks.empty()
    assert reprojection_errors(none, parameters).shape == (0,)
    assert mean_track_errors(none, parameters).shape == (0,)
    assert parallax_angles(none, parameters).shape == (0,)
