from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from img2world.core import camera_paths
from img2world.core.alignment import similarity
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.gaussians import Gaussians
from img2world.render import render


def orbit_cameras(count=7):
    poses = camera_paths.orbit(count, elevation=0.3)
    intrinsics = np.repeat(intrinsics_from_fov(0.9, 48, 32)[None], count, 0)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=48, height=32)


def transform():
    matrix = np.eye(4)
    matrix[:3, :3] = 1.7 * Rotation.from_rotvec([0.3, -0.8, 0.1]).as_matrix()
    matrix[:3, 3] = [1, -2, 0.5]
    return matrix


def test_a_moved_world_is_found_from_its_cameras():
    cameras = orbit_cameras()
    np.testing.assert_allclose(similarity(cameras, cameras.transformed(transform())), transform(), atol=1e-5)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_centres_in_a_row_or_in_one_place_are_enough(spread):
    cameras = orbit_cameras()
    poses = cameras.world_from_cam.copy()
    poses[:, :3, 3] = spread * np.linspace(-1, 1, len(poses))[:, None] * [1, 0.5, 0]
    row = replace(cameras, world_from_cam=poses.astype(np.float32))
    found = similarity(row, row.transformed(transform()))
    expected = transform() if spread else transform() / [1.7, 1.7, 1.7, 1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_world_moved_with_its_cameras_looks_the_same():
    rng = np.random.default_rng(0)
    splats = Gaussians(
        means=rng.normal(scale=0.2, size=(200, 3)).astype(np.float32),
        quats=rng.normal(size=(200, 4)).astype(np.float32),
        log_scales=rng.normal(-3, 0.3, size=(200, 3)).astype(np.float32),
        logit_opacities=rng.normal(size=200).astype(np.float32),
        sh=rng.normal(scale=0.3, size=(200, 4, 3)).astype(np.float32),
    )
    cameras = orbit_cameras(2)
    before = render(splats, cameras)
    after = render(splats.transformed(transform().astype(np.float32)), cameras.transformed(transform()))
    np.testing.assert_allclose(after.rgb, before.rgb, atol=2e-3)
    np.testing.assert_allclose(after.depth, 1.7 * before.depth, rtol=1e-3, atol=1e-3)
