from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from img2world.core.motion import Motion
from img2world.core.rotation import matrix_from_quat
from img2world.core.scene import Scene
from tests.moving import DURATION, moving_scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return moving_scene()


def motion_of(scene: Scene) -> Motion:
    assert scene.motion is not None
    return scene.motion


def test_moving_and_then_transforming_is_transforming_and_then_moving(scene):
    target_from_source = np.eye(4)
    target_from_source[:3, :3] = 1.7 * Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix()
    target_from_source[:3, 3] = [0.3, -2, 1]
    matrix = target_from_source.astype(np.float32)
    there = scene.gaussians.transformed(matrix)
    moved = motion_of(scene).transformed(target_from_source)
    for time in (0.0, 0.7, DURATION):
        expected = scene.at(time).transformed(matrix)
        means, quats = moved.move(there.means, there.quats, time)
        np.testing.assert_allclose(means, expected.means, atol=2e-6)
        # Between keys, a rotation that is slerped in one frame is slerped in the other.
        np.testing.assert_allclose(
            matrix_from_quat(quats.astype(np.float64)), matrix_from_quat(expected.quats.astype(np.float64)), atol=1e-5
        )


def test_gaussians_appear_and_disappear(scene):
    motion = motion_of(scene)
    ball = slice(-40, None)
    for time, there in ((0.0, 0.0), (0.75, 0.0), (1.0, 0.5), (1.25, 1.0), (2.0, 1.0)):
        assert motion.fade == 0.5
        np.testing.assert_allclose(motion.presence(time)[ball], there, atol=1e-6)
        np.testing.assert_allclose(motion.presence(time)[:-40], 1)
        opacities = scene.at(time).opacities
        np.testing.assert_allclose(opacities[ball], there * scene.gaussians.opacities[ball], atol=2e-6)
        np.testing.assert_allclose(opacities[:-40], scene.gaussians.opacities[:-40], atol=1e-6)


def test_some_move_as_they_do_among_all(scene):
    index = np.arange(3, 160, 7)
    some = replace(scene, gaussians=scene.gaussians.select(index), motion=motion_of(scene).select(index))
    for name in ("means", "quats", "logit_opacities"):
        np.testing.assert_array_equal(getattr(some.at(1.1), name), getattr(scene.at(1.1), name)[index])


def test_windows_survive_saving(scene, tmp_path):
    scene.save(tmp_path / "scene.safetensors")
    loaded = Scene.load(tmp_path / "scene.safetensors")
    np.testing.assert_array_equal(motion_of(loaded).windows, motion_of(scene).windows)
