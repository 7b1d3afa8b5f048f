from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.meshing.depth_maps import DepthMaps, depth_maps, signed_distances, surface_colors
from img2world.render.extension import native_module

SIZE = 128


def cameras_at(poses: np.ndarray) -> Cameras:
    intrinsics = np.tile(intrinsics_from_fov(1.0, SIZE, SIZE), (len(poses), 1, 1))
    return Cameras(world_from_cam=poses.astype(np.float32), intrinsics=intrinsics, width=SIZE, height=SIZE)


def seen_from_origin(depth: np.ndarray, alpha: np.ndarray) -> DepthMaps:
    """Return the depth map of one camera at the origin that looks along +Z."""
    rgb = np.zeros((SIZE, SIZE, 3), np.float32)
    weights = np.ones(1, np.float32)
    return depth_maps([(rgb, alpha, depth)], cameras=cameras_at(np.eye(4)[None]), weights=weights)


def noise_maps(count: int = 7) -> DepthMaps:
    """Return views from all sides with random pixels: unknown, empty, near and far."""
    rng = np.random.default_rng(0)
    shape = (count, SIZE, SIZE)
    depth = rng.uniform(0.6, 1.4, shape).astype(np.float32)
    depth[rng.random(shape) < 0.2], depth[rng.random(shape) < 0.2] = 0, np.inf
    weights = rng.uniform(0.5, 1, count).astype(np.float32)
    weights[2] = 0
    alpha = rng.uniform(0.5, 1, (*shape, 1))
    rgba = np.concatenate([rng.uniform(0, 1, (*shape, 3)) * alpha, alpha], -1)
    return DepthMaps(
        cameras=cameras_at(on_sphere(np.arange(count) * 1.0, np.linspace(-1, 1, count))),
        rgba=np.round(255 * rgba).astype(np.uint8),
        depth=depth,
        tilt=rng.uniform(0.1, 1.2, shape).astype(np.float32),
        weights=weights,
    )


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Points around the origin, some outside all views; their number is no multiple of a SIMD vector."""
    return np.random.default_rng(1).normal(0, 0.6, (5003, 3))


def sampled(points: np.ndarray, maps: DepthMaps, i: int):
    """Return row, column and camera coordinates of points in view i, in float64, and where its depth is known."""
    intrinsics = maps.cameras.intrinsics[i].astype(float)
    in_cam = (points - maps.cameras.world_from_cam[i, :3, 3]) @ maps.cameras.world_from_cam[i, :3, :3].astype(float)
    pixels = (in_cam @ intrinsics.T)[:, :2] / in_cam[:, 2:]
    column, row = np.floor(pixels.clip(-1e6, 1e6)).astype(int).T
    inside = (in_cam[:, 2] > 0.01) & (column >= 0) & (row >= 0) & (column < SIZE) & (row < SIZE)
    row, column = row * inside, column * inside
    return row, column, in_cam, inside & (maps.depth[i, row, column] > 0)


def assert_nearly_all_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare up to rounding, which may move a few points to the next pixel or across the truncation."""
    off = np.abs(found - expected) > 2e-4
    assert off.mean() < 0.003
    assert expected.std() > 0.1


def test_distances_are_the_weighted_mean_of_all_views(points):
    maps, truncation = noise_maps(), np.linspace(0.05, 0.4, len(points)).astype(np.float32)
    sums, total = np.zeros(len(points)), np.zeros(len(points))
    for i in range(len(maps)):
        row, column, in_cam, known = sampled(points, maps, i)
        tilt = maps.tilt[i, row, column].astype(float)
        distance = (maps.depth[i, row, column] - in_cam[:, 2]) * tilt / truncation
        weight = maps.weights[i] * tilt * (known & (distance > -1))
        sums += weight * distance.clip(-1, 1)
        total += weight
    distances, weights = signed_distances(points, truncation, maps)
    assert_nearly_all_close(weights, total)
    assert_nearly_all_close(distances, sums / np.maximum(total, 1e-9))


@pytest.mark.parametrize("min_cosine", [0.0, 0.5])
def test_colors_come_from_the_views_that_see_the_point(points, min_cosine):
    maps, tolerance = noise_maps(), np.linspace(0.05, 0.4, len(points)).astype(np.float32)
    normals = np.random.default_rng(2).normal(size=points.shape)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    sums, total = np.zeros(points.shape), np.zeros(len(points))
    for i in range(len(maps)):
        row, column, in_cam, known = sampled(points, maps, i)
        rays = maps.cameras.centers_in_world[i] - points
        cosine = np.einsum("mi,mi->m", rays, normals) / np.linalg.norm(rays, axis=1)
        distance = (maps.depth[i, row, column] - in_cam[:, 2]) * maps.tilt[i, row, column]
        weight = maps.weights[i] * np.maximum(cosine, 0) ** 4
        weight *= known & (cosine > min_cosine) & (np.abs(distance) < tolerance)
        rgba = maps.rgba[i, row, column].astype(float)
        sums += weight[:, None] * (rgba[:, :3] / rgba[:, 3:]).clip(0, 1)
        total += weight
    colors, weights = surface_colors(points, normals, tolerance, maps, min_cosine=min_cosine)
    assert_nearly_all_close(weights, total)
    assert_nearly_all_close(colors, sums / np.maximum(total, 1e-9)[:, None])
    assert (weights == 0).any()


def test_results_do_not_depend_on_threads_or_instruction_set(points, monkeypatch):
    maps, reach = noise_maps(), np.full(len(points), 0.2, np.float32)
    normals = np.tile([0.0, 0.6, 0.8], (len(points), 1))
    found = []
    for level in native_module().simd_levels():
        for threads in ("1", "3"):
            monkeypatch.setenv("IMG2WORLD_SIMD", level)
            monkeypatch.setenv("IMG2WORLD_THREADS", threads)
            arrays = (*signed_distances(points, reach, maps), *surface_colors(points, normals, reach, maps))
            found.append([array.tobytes() for array in arrays])
    assert all(result == found[0] for result in found)


def test_views_of_weight_zero_are_ignored_and_no_points_give_none(points):
    maps, reach = noise_maps(), np.full(len(points), 0.2, np.float32)
    unseen = replace(maps, weights=np.zeros(len(maps), np.float32))
    assert not signed_distances(points, reach, unseen)[1].any()
    assert [len(part) for part in signed_distances(points[:0], reach[:0], maps)] == [0, 0]


def test_pixels_at_a_depth_edge_belong_to_one_of_its_sides():
    """A near plate in front of a wall; the pixels at its edges mix the two."""
    depth = np.full((SIZE, SIZE), 2, np.float32)
    depth[30:90, 40:80] = 1
    depth[30:90, [39, 80]] = 1.8  # mostly the wall: a mean of inverse depths is 0.556, halfway is 0.75
    depth[30:90, [40, 79]] = 1.2
    row = seen_from_origin(depth, np.ones_like(depth)).depth[0, SIZE // 2]
    assert np.flatnonzero(row == 1).tolist() == list(range(40, 80))
    assert set(np.unique(row)) == {1, 2}


def test_the_silhouette_ends_where_the_picture_is_half_empty():
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[30:90, 40:80] = 1
    alpha[30:90, [39, 80]] = 0.4
    alpha[30:90, [38, 81]] = 0.1
    row = seen_from_origin((alpha > 0).astype(np.float32), alpha).depth[0, SIZE // 2]
    assert np.flatnonzero(row == 1).tolist() == list(range(40, 80))
    assert np.isinf(np.delete(row, np.arange(40, 80))).all()


def test_a_tilted_plane_is_no_edge_and_distances_to_it_are_perpendicular():
    """The distance of points above a floor is their height."""
    y = (np.arange(SIZE) + 0.5 - SIZE / 2)[:, None] / intrinsics_from_fov(1.0, SIZE, SIZE)[0, 0] + np.zeros(SIZE)
    floor = np.where(y > 0.1, 0.5 / np.maximum(y, 0.1), 0).astype(np.float32)
    maps = seen_from_origin(floor, (floor > 0).astype(np.float32))
    assert maps.is_hit(0)[80:-2, 2:-2].all()
    points = np.array([[0.0, 0.5 - height, 1.5] for height in (-0.05, 0.0, 0.05, 0.1)])
    distances, weights = signed_distances(points, np.full(4, 0.2, np.float32), maps)
    np.testing.assert_allclose(0.2 * distances, [-0.05, 0, 0.05, 0.1], atol=0.007)  # half a pixel at this angle
    assert (weights > 0).all()


def test_surface_points_are_moved_towards_the_camera():
    maps = seen_from_origin(np.full((SIZE, SIZE), 2, np.float32), np.ones((SIZE, SIZE), np.float32))
    points = maps.surface_points(0, stride=4, towards=0.5)
    assert len(points) == maps.is_hit(0)[::4, ::4].sum()
    ends = points * (2 / points[:, 2:])
    np.testing.assert_allclose(np.linalg.norm(ends - points, axis=1), 0.5)
