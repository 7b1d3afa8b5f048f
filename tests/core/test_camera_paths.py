import json

import numpy as np
import pytest

from img2world.core import camera_paths
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import CameraError

PATHS = {
    "orbit": camera_paths.orbit(12, elevation=0.4),
    "dynamic": camera_paths.dynamic_orbit(12, amplitude=0.3),
    "arc": camera_paths.arc(12, half_azimuth=0.2, half_elevation=0.05),
    "spiral": camera_paths.spiral(12, half_azimuth=0.2, half_elevation=0.1),
}


@pytest.mark.parametrize("name", PATHS)
def test_cameras_are_upright_and_see_the_origin_in_the_middle(name):
    for pose in PATHS[name].astype(np.float64):
        center_in_cam = np.linalg.inv(pose)[:3, 3]  # the world's origin
        np.testing.assert_allclose(center_in_cam, [0, 0, 1], atol=1e-6)
        right, down = pose[:3, 0], pose[:3, 1]
        assert abs(right[1]) < 1e-6  # +Y is down, so the horizon is level
        assert down[1] > 0
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1, abs=1e-6)


def test_paths_start_at_the_input_camera():
    input_pose = np.eye(4)
    input_pose[2, 3] = -1
    for poses in (camera_paths.orbit(5), camera_paths.arc(5, half_azimuth=0.3), camera_paths.dolly(5, distance=0.2)):
        np.testing.assert_allclose(poses[0], input_pose, atol=1e-6)


def test_positive_azimuth_is_to_the_right_and_positive_elevation_is_up():
    assert camera_paths.orbit_center(0.1, 0.0)[0] > 0
    assert camera_paths.orbit_center(0.0, 0.1)[1] < 0


def test_looking_along_up_is_refused():
    with pytest.raises(CameraError):
        camera_paths.look_at(np.array([0.0, -1, 0]), np.zeros(3))


def test_interpolation_meets_its_cameras_and_stays_between(tmp_path):
    poses = camera_paths.arc(5, half_azimuth=0.3)
    cameras = Cameras(
        world_from_cam=poses, intrinsics=np.repeat(intrinsics_from_fov(1.0, 8, 6)[None], 5, 0), width=8, height=6
    )
    dense = camera_paths.interpolate(cameras, 9)
    np.testing.assert_allclose(dense.world_from_cam[::2], poses, atol=1e-6)
    middle = dense.centers_in_world[1]
    np.testing.assert_allclose(middle, poses[:2, :3, 3].mean(0), atol=1e-6)


def test_a_path_is_read_from_json_and_npz(tmp_path):
    poses = camera_paths.orbit(3)
    intrinsics = intrinsics_from_fov(1.0, 8, 6)
    data = {"world_from_cam": poses.tolist(), "intrinsics": intrinsics.tolist(), "width": 8, "height": 6}
    (tmp_path / "path.json").write_text(json.dumps(data))
    np.savez(tmp_path / "path.npz", world_from_cam=poses, intrinsics=intrinsics, width=8, height=6)
    for name in ("path.json", "path.npz"):
        loaded = camera_paths.load_trajectory(tmp_path / name)
        np.testing.assert_array_equal(loaded.world_from_cam, poses)
        assert (loaded.width, loaded.height) == (8, 6)
    (tmp_path / "path.json").write_text("{}")
    with pytest.raises(CameraError, match=r"path\.json"):
        camera_paths.load_trajectory(tmp_path / "path.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npz", b""),
        ("a.npz", b"PK\3\4 cut"),
        ("a.json", b"[" * 100_000),
        ("a.json", b'{"world_from_cam":[],"intrinsics":[],"width":1e999,"height":3}'),
        ("a.json", b"[]"),
    ],
)
def test_broken_camera_files_get_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CameraError) as caught:
        camera_paths.load_trajectory(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_camera_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(camera_paths, "MAX_BYTES", 1000)
    np.savez_compressed(tmp_path / "a.npz", world_from_cam=np.zeros((100, 4, 4)))
    with pytest.raises(CameraError, match="unpacks to"):
        camera_paths.load_trajectory(tmp_path / "a.npz")


def test_a_path_of_distorted_lenses_is_read_without_distortion_and_warns(tmp_path):
    frames = [{"file_path": f"{i}.png", "transform_matrix": np.eye(4)[:3].tolist()} for i in (10, 2)]
    frames[1]["transform_matrix"][0][3] = 2.0
    table = {"camera_angle_x": 2 * np.arctan(0.5), "k1": 0.1, "frames": frames}
    (tmp_path / "a.json").write_text(json.dumps(table), encoding="utf-8-sig")
    with pytest.warns(UserWarning, match="distortion"):
        cameras = camera_paths.load_trajectory(tmp_path / "a.json", (80, 60))
    # 2 comes before 10.
    assert cameras.centers_in_world[:, 0].tolist() == [2, 0]
    assert cameras.intrinsics[0].tolist() == [[80, 0, 40], [0, 80, 30], [0, 0, 1]]


def test_mirrored_cameras_are_refused():
    poses = np.tile(np.diag([-1.0, 1, 1, 1]), (2, 1, 1)).astype(np.float32)
    intrinsics = np.tile(np.eye(3, dtype=np.float32), (2, 1, 1))
    with pytest.raises(CameraError, match="mirrored"):
        Cameras(world_from_cam=poses, intrinsics=intrinsics, width=9, height=9)
