"""What the page of a run draws, compared with projections of the cameras themselves."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from img2world.core.views import Views
from img2world.viewer.live_scene import bounds, frusta, frustum_depth, message, overview
from img2world.viewer.packed_splats import unpack


def read(content: bytes):
    size = int.from_bytes(content[:4], "little")
    world = json.loads(content[4 : 4 + size])
    return world, unpack(world["splats"], zlib.decompress(content[4 + size :]))


@pytest.fixture
def views(cameras):
    """An object of three hundred points between twelve cameras."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((len(cameras), cameras.height, cameras.width), np.uint8)
    return Views(
        rgb=np.repeat(pictures[..., None], 3, -1),
        alpha=pictures,
        cameras=cameras,
        confidence=np.ones(len(cameras), np.float32),
        points=rng.uniform(-0.3, 0.3, (300, 3)).astype(np.float32),
        point_colors=rng.integers(0, 256, (300, 3), np.uint8),
        solver="truth",
    )


@pytest.fixture
def scene(scenes):
    return scenes.scene_of(scenes.three_blobs(), is_object=True)


def test_a_scene_is_followed_by_its_cameras(scene):
    world, gaussians = read(message(scene))
    assert (world["kind"], world["tone"], world["is_object"]) == ("scene", "light", True)
    assert world["drawn"] == len(scene.gaussians)
    np.testing.assert_allclose(gaussians.means[: world["drawn"]], scene.gaussians.means, atol=1e-5)
    pose = scene.cameras.world_from_cam[0]
    np.testing.assert_allclose(world["camera"]["rotation"], pose[:3, :3].ravel(), atol=1e-6)
    # What remains are the cameras, at their places.
    rest = gaussians.means[world["drawn"] :]
    nearest = np.linalg.norm(rest[:, None] - scene.cameras.centers_in_world, axis=2).min(0)
    assert nearest.max() < 0.1


def test_views_are_points_and_cameras_alone_are_lines(views):
    world, gaussians = read(message(views))
    assert (world["kind"], world["drawn"]) == ("cameras", len(views.points))
    np.testing.assert_allclose(gaussians.means[: world["drawn"]], views.points, atol=1e-5)
    assert read(message(replace(views, alpha=None)))[0]["tone"] == "dark"
    alone, _ = read(message(views.cameras))
    assert (alone["drawn"], alone["tone"]) == (0, "dark")


def test_edges_of_a_camera_end_at_the_corners_of_its_picture(cameras):
    one = cameras.select([0])
    gaussians = frusta(one, 0.1, (0.5, 0.6, 1.0))
    depth, pixels, _ = one.project(0, gaussians.means)
    # The first four edges run from the eye to the corners.
    corners = [[0, 0], [96, 0], [96, 80], [0, 80]]
    for edge, corner in enumerate(corners):
        np.testing.assert_allclose(pixels[4 * edge : 4 * edge + 4], np.tile(corner, (4, 1)), atol=1e-3)
    assert depth.max() <= 0.1
    # The mark lies above the picture.
    assert pixels[-8:, 1].max() < 0


@pytest.mark.parametrize("has_points", [True, False])
def test_the_overview_sees_all_cameras_and_what_they_see(views, has_points):
    points = views.points if has_points else np.zeros((0, 3), np.float32)
    center, size = bounds(views.cameras, points)
    camera = overview(views.cameras, center, size)
    seen = np.concatenate([views.cameras.centers_in_world, views.points])
    # The page leaves an eighth of this picture free at each side.
    _, _, inside = camera.project(0, seen, 0.125 * camera.width)
    assert inside.all()
    # From behind and above the first camera.
    first = views.cameras.centers_in_world[0]
    eye = camera.centers_in_world[0]
    assert np.linalg.norm(eye - center) > np.linalg.norm(first - center)
    assert eye[1] < first[1]


def test_cameras_far_from_each_other_and_equal_ones_have_a_sensible_size(cameras):
    _, size = bounds(cameras, np.zeros((0, 3), np.float32))
    assert 0.03 * size <= frustum_depth(cameras, size) <= 0.12 * size
    same = replace(cameras, world_from_cam=np.repeat(cameras.world_from_cam[:1], 12, 0))
    assert frustum_depth(same, 1.0) == pytest.approx(0.03)
    assert frustum_depth(cameras.select([0]), 1.0) == pytest.approx(0.12)
    read(message(cameras.select([0])))


def test_points_far_away_do_not_make_all_else_small(views):
    center, size = bounds(views.cameras, views.points)
    far = np.concatenate([views.points, np.full((5, 3), 1e4, np.float32)])
    moved, larger = bounds(views.cameras, far)
    assert np.linalg.norm(moved - center) < 0.2 * size
    assert larger < 1.3 * size
