import numpy as np
import pytest

from img2world.core.camera_paths import dolly, on_sphere
from img2world.core.cameras import Cameras
from img2world.video.diffusion.camera_conventions import cameras_from_sana_wm, sana_wm_from_cameras

COS, SIN = 0.8, 0.6  # a turn of 36.87 degrees, exact in decimals
INTRINSICS = np.array([[50, 0, 33], [0, 40, 21], [0, 0, 1]], np.float32)


@pytest.fixture
def cameras():
    """Return the input camera, and one that has moved right, up and forward and turned to the right."""
    poses = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    poses[0, :3, 3] = [0, 0, -1]
    # Columns are the camera's right, down and forward axes: forward has turned towards +X, right away from it.
    poses[1, :3, :3] = [[COS, 0, SIN], [0, 1, 0], [-SIN, 0, COS]]
    poses[1, :3, 3] = [0.3, -0.1, -0.8]
    return Cameras(world_from_cam=poses, intrinsics=np.stack([INTRINSICS, INTRINSICS]), width=64, height=48)


def test_the_first_camera_of_sana_wm_is_the_identity(cameras):
    c2w, intrinsics = sana_wm_from_cameras(cameras, scale=2.0)
    np.testing.assert_allclose(c2w[0], np.eye(4), atol=1e-7)
    expected = [[COS, 0, SIN, 0.6], [0, 1, 0, -0.2], [-SIN, 0, COS, 0.4], [0, 0, 0, 1]]
    np.testing.assert_allclose(c2w[1], expected, atol=1e-6)
    np.testing.assert_allclose(intrinsics, [[50, 40, 33, 21]] * 2)


def test_axes_agree_with_the_keys_of_sana_wm():
    cam_utils = pytest.importorskip("diffusers.pipelines.sana_wm.cam_utils")
    intrinsics = np.tile(INTRINSICS, (5, 1, 1))
    forward = Cameras(world_from_cam=dolly(5, distance=0.4), intrinsics=intrinsics, width=64, height=48)
    theirs = cam_utils.action_string_to_c2w("w-4", translation_speed=0.1)
    np.testing.assert_allclose(sana_wm_from_cameras(forward, scale=1.0)[0], theirs, atol=1e-6)
    # Their key l looks to the right, i looks up.
    ours = on_sphere(np.array([0.0, -np.radians(4)]), np.zeros(2))
    turned = Cameras(world_from_cam=ours, intrinsics=intrinsics[:2], width=64, height=48)
    theirs = cam_utils.action_string_to_c2w("l-1", rotation_speed_deg=4.0)
    np.testing.assert_allclose(sana_wm_from_cameras(turned, scale=1.0)[0][:, :3, :3], theirs[:, :3, :3], atol=1e-6)
    raised = on_sphere(np.zeros(2), np.array([0.0, -np.radians(4)]))
    turned = Cameras(world_from_cam=raised, intrinsics=intrinsics[:2], width=64, height=48)
    theirs = cam_utils.action_string_to_c2w("i-1", rotation_speed_deg=4.0)
    np.testing.assert_allclose(sana_wm_from_cameras(turned, scale=1.0)[0][:, :3, :3], theirs[:, :3, :3], atol=1e-6)


def test_cameras_that_sana_wm_returns_are_those_it_was_given(cameras):
    c2w, _ = sana_wm_from_cameras(cameras, scale=2.0)
    back = cameras_from_sana_wm(c2w, cameras, scale=2.0)
    np.testing.assert_allclose(back.world_from_cam, cameras.world_from_cam, atol=1e-6)
    np.testing.assert_array_equal(back.intrinsics, cameras.intrinsics)
    assert len(cameras_from_sana_wm(c2w[:1], cameras, scale=2.0)) == 1
