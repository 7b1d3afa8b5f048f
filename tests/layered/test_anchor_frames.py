import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.layered.anchor_frames import anchored_noise, camera_features, conditioning_maps, frame_noise
from img2world.layered.layers import CONTINUED, SEEN
from img2world.layered.warp import Warped

SIZE = 64


def cameras(*azimuths):
    poses = on_sphere(np.array(azimuths, float), np.zeros(len(azimuths)))
    intrinsics = np.repeat(intrinsics_from_fov(0.9, SIZE, SIZE)[None], len(azimuths), 0)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=SIZE, height=SIZE)


def wall(*, depth=1.0):
    """A frame that shows a plain wall, its left half seen."""
    seen = np.full((SIZE, SIZE), CONTINUED, np.uint8)
    seen[:, : SIZE // 2] = SEEN
    return Warped(
        rgb=np.full((SIZE, SIZE, 3), 0.25, np.float32),
        alpha=np.ones((SIZE, SIZE), np.float32),
        depth=np.full((SIZE, SIZE), depth, np.float32),
        seen=seen,
    )


def test_noise_is_normal_and_without_a_pattern():
    noise = frame_noise(wall(), cameras(0.0))
    assert noise.shape == (3, SIZE, SIZE)
    # 12288 numbers: five standard errors of mean and deviation.
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert abs(noise.std() - 1) < 5 / np.sqrt(2 * noise.size)
    channels = np.corrcoef(noise.reshape(3, -1))
    assert np.abs(channels[np.triu_indices(3, 1)]).max() < 5 / SIZE
    assert not np.array_equal(noise, frame_noise(wall(), cameras(0.0), seed=1))


def test_views_of_one_point_have_the_same_noise():
    here, there = cameras(0.0, 0.5).select([0]), cameras(0.0, 0.5).select([1])
    rng = np.random.default_rng(0)
    cell = 0.01
    # Middles of cubes, where the rounding of a pose does not matter.
    places = (np.floor(rng.uniform(-30, 30, (500, 1, 3))) + 0.5) * cell
    again = []
    for camera in (here, there):
        to_cam, to_world = camera.cam_from_world[0], camera.world_from_cam[0]
        in_cam = places @ to_cam[:3, :3].T + to_cam[:3, 3]
        again.append((in_cam @ to_world[:3, :3].T + to_world[:3, 3]).astype(np.float32))
    assert not np.array_equal(again[0], again[1])
    np.testing.assert_array_equal(anchored_noise(again[0], cell), anchored_noise(again[1], cell))
    others = anchored_noise((places + cell).astype(np.float32), cell)
    assert abs(np.corrcoef(others.ravel(), anchored_noise(again[0], cell).ravel())[0, 1]) < 0.15


def test_maps_hold_origin_and_position_of_pixels():
    both = cameras(0.0, np.pi / 2)
    maps = conditioning_maps(wall(), both.select([0]), both.select([0]), is_object=False)
    assert maps.shape == (12, SIZE, SIZE)
    np.testing.assert_allclose(maps[:3], -0.5)
    np.testing.assert_array_equal(maps[3, :, : SIZE // 2], 1)
    np.testing.assert_array_equal(maps[3] + maps[4], 1)
    np.testing.assert_allclose(maps[10], 0, atol=1e-6)  # the wall is where the first camera looks at
    np.testing.assert_allclose(maps[8, 0, 0], -maps[8, 0, -1], atol=1e-6)
    # The wall before the second camera stands across it.
    beside = conditioning_maps(wall(), both.select([1]), both.select([0]), is_object=True)
    np.testing.assert_allclose(beside[8], 0, atol=1e-6)
    assert np.ptp(beside[10]) > 0.5
    assert (beside[11] == 1).all()


def test_camera_features_are_relative_to_the_first_camera():
    turned = cameras(0.3, 1.0)
    numbers = camera_features(turned)
    np.testing.assert_allclose(numbers[0, :12], [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], atol=1e-6)
    straight = camera_features(cameras(0.0, 0.7))
    np.testing.assert_allclose(numbers[1], straight[1], atol=1e-6)
    np.testing.assert_allclose(numbers[:, 12], np.log(np.tan(0.45)), rtol=1e-6)
