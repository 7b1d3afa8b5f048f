"""Measures of scenes that are known by construction."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.gaussians import Gaussians
from img2world.core.metric import asset_from_world, measured, transformed_views, up_direction, upright
from img2world.core.rotation import rotation_about
from img2world.core.scene import Scene
from img2world.core.views import Views


def cameras(poses: np.ndarray) -> Cameras:
    return Cameras(
        world_from_cam=poses.astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(0.8, 32, 32)[None], len(poses), 0),
        width=32,
        height=32,
    )


@pytest.fixture
def scene() -> Scene:
    """A pole from 0.1 above to 0.3 below the origin, and a speck of haze far above."""
    means = np.zeros((401, 3), np.float32)
    means[:400, 1] = np.linspace(-0.1, 0.3, 400)
    means[400, 1] = -5
    gaussians = Gaussians(
        means=means,
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (401, 1)),
        log_scales=np.full((401, 3), -5, np.float32),
        logit_opacities=np.array([4.0] * 400 + [-4.0], np.float32),
        sh=np.zeros((401, 1, 3), np.float32),
    )
    return Scene(
        gaussians=gaussians, cameras=cameras(orbit(12, elevation=0.4)), background=(1.0, 1.0, 1.0), is_object=True
    )


def test_height_ground_and_scale(scene):
    found = measured(scene, 1.7)
    assert np.allclose(found.up, [0, -1, 0], atol=1e-6)
    assert found.height == pytest.approx(0.4, rel=0.03)  # Without a hundredth at both ends.
    assert found.ground == pytest.approx(0.3, rel=0.03)
    assert found.metres_per_unit == pytest.approx(1.7 / found.height)
    assert measured(scene, 0.0).metres_per_unit == 0


def test_up_is_found_in_a_world_that_leans():
    lean = rotation_about(np.array([1.0, 0.3, 0.2]), 0.7)
    poses = orbit(9, elevation=0.6).astype(np.float64)
    poses[:, :3] = lean @ poses[:, :3]
    assert np.allclose(up_direction(cameras(poses)), lean @ [0, -1, 0], atol=1e-5)
    # Cameras side by side have one right side only; then their own up must do.
    still = np.tile(np.eye(4), (4, 1, 1))
    assert np.allclose(up_direction(cameras(still)), [0, -1, 0], atol=1e-6)


def test_assets_stand_on_the_ground(scene):
    """The object is 0.4 units high and stands off the origin, which the camera looks at."""
    moved = replace(scene, gaussians=scene.gaussians.transformed(shift(0.3, 0.1, -0.2)))

    def placed(height_m: float, size: float) -> np.ndarray:
        matrix = asset_from_world(moved, measured(moved, height_m), size)
        return moved.gaussians.means @ matrix[:3, :3].T + matrix[:3, 3]

    for points, longest in ((placed(0.0, 1.0), 1.0), (placed(0.0, 5.0), 5.0), (placed(0.0, 0.0), None)):
        low, high = np.percentile(points, [1, 99], axis=0)
        np.testing.assert_allclose((low + high)[[0, 2]] / 2, 0, atol=1e-3)
        assert high[1] == pytest.approx(0, abs=1e-3)  # +Y is down
        assert longest is None or (high - low).max() == pytest.approx(longest, rel=5e-3)
    in_metres = placed(1.7, 1.0)
    assert np.ptp(np.percentile(in_metres[:, 1], [1, 99])) == pytest.approx(1.7, rel=5e-3)
    kept = asset_from_world(moved, measured(moved, 0.0), 0.0)
    np.testing.assert_array_equal(kept[:3, :3], np.eye(3))


def test_a_scene_has_its_origin_below_the_first_camera(scene):
    around = replace(scene, is_object=False)
    matrix = asset_from_world(around, measured(around, 0.0), 1.0)
    np.testing.assert_array_equal(matrix[:3, :3], np.eye(3))
    eye = around.cameras.centers_in_world[0] + matrix[:3, 3]
    np.testing.assert_allclose(eye[[0, 2]], 0, atol=1e-6)
    assert eye[1] < 0  # above the ground


def shift(*offset: float) -> np.ndarray:
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, 3] = offset
    return matrix


def test_views_keep_what_they_show_when_their_world_is_scaled(scene):
    views = Views(
        rgb=np.zeros((12, 32, 32, 3), np.uint8),
        cameras=scene.cameras,
        confidence=np.ones(12, np.float32),
        depth=np.ones((12, 32, 32), np.float32),
        points=np.ones((5, 3), np.float32),
        point_colors=np.zeros((5, 3), np.uint8),
        solver="commanded",
    )
    matrix = np.diag([2.0, 2, 2, 1])
    matrix[:3, 3] = 1, 0, -3
    moved = transformed_views(views, matrix)
    np.testing.assert_allclose(
        moved.cameras.centers_in_world, 2 * scene.cameras.centers_in_world + (1, 0, -3), atol=1e-6
    )
    np.testing.assert_array_equal(moved.cameras.world_from_cam[:, :3, :3], scene.cameras.world_from_cam[:, :3, :3])
    np.testing.assert_array_equal(moved.points, np.tile([3, 2, -1], (5, 1)))
    assert (moved.depth == 2).all()


@pytest.mark.parametrize("angle", [0.05, 0.35, 1.2, np.pi])
def test_worlds_stand_upright_and_show_what_they_showed(angle):
    lean = np.eye(4)
    lean[:3, :3] = rotation_about(np.array([1.0, 0, 0]), angle)
    leaning = cameras(orbit(9, elevation=0.6)).transformed(lean)
    rng = np.random.default_rng(0)
    views = Views(
        rgb=np.zeros((9, 32, 32, 3), np.uint8),
        cameras=leaning,
        confidence=np.ones(9, np.float32),
        points=rng.uniform(-0.2, 0.2, (20, 3)).astype(np.float32),
        point_colors=np.zeros((20, 3), np.uint8),
        solver="commanded",
    )
    standing = upright(views)
    np.testing.assert_allclose(up_direction(standing.cameras), [0, -1, 0], atol=1e-5)

    def seen(these: Views) -> np.ndarray:
        inverse = these.cameras.cam_from_world
        return np.einsum("vij,pj->vpi", inverse[:, :3, :3], these.points) + inverse[:, None, :3, 3]

    np.testing.assert_allclose(seen(standing), seen(views), atol=1e-5)
    assert upright(standing).cameras.world_from_cam is standing.cameras.world_from_cam
