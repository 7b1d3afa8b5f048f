from dataclasses import replace

import numpy as np
import pytest

from img2world.core.errors import ExportError
from img2world.meshing.viewpoints import MAX_OWN_CAMERAS, object_viewpoints, opaque_extent, scene_viewpoints


def test_the_extent_contains_the_balls_and_ignores_a_floater(balls_scene, balls):
    extent = opaque_extent(balls_scene.gaussians)
    low = np.min([np.array(ball.center) - ball.radius for ball in balls], axis=0)
    high = np.max([np.array(ball.center) + ball.radius for ball in balls], axis=0)
    assert (extent.low <= low + 1e-3).all()
    assert (extent.high >= high - 1e-3).all()
    np.testing.assert_allclose([extent.low, extent.high], [low, high], atol=0.03)
    means = balls_scene.gaussians.means.copy()
    means[7] = (50, 0, 0)
    scales = balls_scene.gaussians.log_scales.copy()
    scales[8] = 3
    strayed = opaque_extent(replace(balls_scene.gaussians, means=means, log_scales=scales))
    np.testing.assert_allclose([strayed.low, strayed.high], [extent.low, extent.high], atol=0.03)


def test_nothing_opaque_has_no_extent(balls_scene):
    gaussians = replace(balls_scene.gaussians, logit_opacities=np.full(6000, -1, np.float32))
    with pytest.raises(ExportError, match="opaque"):
        opaque_extent(gaussians)


def test_ring_cameras_show_the_whole_box_from_all_sides(balls_scene):
    extent = opaque_extent(balls_scene.gaussians)
    points = object_viewpoints(balls_scene, extent, 100)
    assert len(points.cameras) == len(points.weights)
    assert (points.cameras.width, points.cameras.height) == (100, 100)
    own = len(balls_scene.cameras)
    corners = np.array(np.meshgrid(*zip(extent.low, extent.high, strict=True))).reshape(3, -1).T
    for pose, intrinsics in zip(points.cameras.cam_from_world[own:], points.cameras.intrinsics[own:], strict=True):
        in_cam = corners @ pose[:3, :3].T + pose[:3, 3]
        pixels = (in_cam @ intrinsics.T)[:, :2] / in_cam[:, 2:]
        assert pixels.min() > 0
        assert pixels.max() < 100
    # No direction is farther than 35° from a camera.
    centers = points.cameras.centers_in_world[own:] - extent.center
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert (directions @ centers.T).max(1).min() > np.cos(np.radians(35))


def test_own_cameras_keep_their_focal_length_in_square_images(balls_scene):
    extent = opaque_extent(balls_scene.gaussians)
    first = object_viewpoints(balls_scene, extent, 192).cameras
    assert first.intrinsics[0, 0, 0] == pytest.approx(2 * balls_scene.cameras.intrinsics[0, 0, 0])
    np.testing.assert_allclose(first.intrinsics[0, :2, 2], [96, 96])
    np.testing.assert_array_equal(first.world_from_cam[:12], balls_scene.cameras.world_from_cam)


def test_many_cameras_are_thinned_evenly(balls_scene):
    many = replace(balls_scene, cameras=balls_scene.cameras.select(list(range(12)) * 20))
    points = scene_viewpoints(many, 192)
    assert len(points.cameras) == MAX_OWN_CAMERAS
    assert (points.cameras.width, points.cameras.height) == (192, 160)
