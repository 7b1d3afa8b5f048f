"""Conversion between the solvers' camera parameters and the package's cameras."""

import numpy as np

from img2world.core.camera_paths import orbit
from img2world.poses.camera_parameters import CameraParameters


def test_cameras_survive_the_round_trip(make_cameras):
    cameras = make_cameras(orbit(7, elevation=0.3), 0.9, 200, 150)
    cameras.intrinsics[:, 0, 2] += np.arange(7)
    parameters = CameraParameters.from_cameras(cameras)
    assert len(parameters) == 7
    again = parameters.to_cameras(200, 150)
    assert np.allclose(again.world_from_cam, cameras.world_from_cam, atol=1e-6)
    assert np.array_equal(again.intrinsics, cameras.intrinsics)
    assert (again.width, again.height) == (200, 150)


def test_centers_and_rotations_are_those_of_the_inverse_poses(make_cameras):
    cameras = make_cameras(orbit(5, elevation=-0.4))
    parameters = CameraParameters.from_cameras(cameras)
    inverse = np.linalg.inv(cameras.world_from_cam.astype(np.float64))
    assert np.allclose(parameters.rotations, inverse[:, :3, :3], atol=1e-6)
    assert np.allclose(parameters.centers, cameras.world_from_cam[:, :3, 3], atol=1e-6)
    assert np.allclose(parameters.principal_point, 128)
