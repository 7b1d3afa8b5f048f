import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.meshing.depth_maps import depth_maps, signed_distances
from img2world.meshing.grids import BoxGrid, FrustumGrid
from img2world.meshing.reconstruct import remove_unseen_faces
from img2world.meshing.surface import Surface, clean_surface
from img2world.meshing.volume import extract_surface, fuse, smooth_volume

CENTER, RADIUS = np.array([0.05, -0.1, 0.02]), 0.3
SIZE = 128


def rays(cameras: Cameras) -> np.ndarray:
    """Return the rays through the pixels, scaled to z = 1, [H, W, 3]."""
    intrinsics = cameras.intrinsics[0].astype(float)
    x = (np.arange(cameras.width) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(cameras.height) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack(np.broadcast_arrays(x[None], y[:, None], 1.0), -1)


def ball_views(count: int):
    """Return exact depth maps of a ball from all sides."""
    i = np.arange(count) + 0.5
    poses = on_sphere(np.pi * (1 + 5**0.5) * i, np.arcsin(0.98 * (1 - 2 * i / count)))
    intrinsics = np.tile(intrinsics_from_fov(1.0, SIZE, SIZE), (count, 1, 1))
    cameras = Cameras(world_from_cam=poses, intrinsics=intrinsics, width=SIZE, height=SIZE)
    directions, depth = rays(cameras), np.zeros((count, SIZE, SIZE), np.float32)
    for k, pose in enumerate(cameras.cam_from_world.astype(float)):
        center = pose[:3, :3] @ CENTER + pose[:3, 3]
        a, b = (directions**2).sum(-1), directions @ center
        inner = b * b - a * (center @ center - RADIUS**2)
        depth[k] = np.where(inner > 0, (b - np.sqrt(inner.clip(0))) / a, 0)
    alpha = (depth > 0).astype(np.float32)
    rgb = np.repeat(alpha[..., None], 3, -1)
    return depth_maps(zip(rgb, alpha, depth, strict=True), cameras=cameras, weights=np.ones(count, np.float32))


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def test_a_ball_is_reconstructed_watertight_and_in_place():
    grid = BoxGrid(low=(-0.3, -0.45, -0.33), step=0.7 / 80, shape=(81, 81, 81))
    volume, seen = fuse(ball_views(30), grid, truncation=4.0, solid=True)
    index, faces = extract_surface(smooth_volume(volume, seen, 0.8, solid=True), seen, solid=True)
    vertices = grid.to_world(index)
    # The only error of the depth is its pixels, which make the outline up to half of one larger.
    off = np.linalg.norm(vertices - CENTER, axis=1) - RADIUS
    assert np.abs(off).max() < 0.6 * grid.step
    assert np.abs(off).mean() < 0.2 * grid.step
    # Positive if the faces point outwards.
    assert signed_volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}


def test_skipping_cells_far_from_the_surface_changes_nothing():
    """Near the surface the values are those of the full grid, elsewhere their signs are."""
    views = ball_views(12)
    grid = BoxGrid(low=(-0.3, -0.45, -0.33), step=0.7 / 30, shape=(31, 31, 31))
    volume, _ = fuse(views, grid, truncation=3.0, solid=True)
    index = np.indices(grid.shape).reshape(3, -1).T
    distances, weights = signed_distances(grid.to_world(index), (3 * grid.pitch(index)).astype(np.float32), views)
    distances[weights == 0] = -1
    near = np.abs(distances) < 0.99
    np.testing.assert_allclose(volume.reshape(-1)[near], distances[near], atol=1e-6)
    np.testing.assert_array_equal(np.sign(volume.reshape(-1)[~near]), np.sign(distances[~near]))


def test_a_solid_that_touches_the_border_is_closed():
    volume, seen = np.full((8, 8, 8), -1, np.float32), np.ones((8, 8, 8), bool)
    index, faces = extract_surface(volume, seen, solid=True)
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}
    assert index.min() > 0
    assert signed_volume(index.astype(float), faces) > 0


@pytest.mark.parametrize("solid", [True, False])
def test_no_surface_is_not_an_error(solid):
    volume, seen = np.ones((8, 8, 8), np.float32), np.ones((8, 8, 8), bool)
    assert [len(part) for part in extract_surface(volume, seen, solid=solid)] == [0, 0]
    volume[:, :, 4:] = -1
    seen[:, :, 3:] = solid
    assert (len(extract_surface(volume, seen, solid=solid)[1]) > 0) == solid


def step_views(count: int = 7):
    """Return depth maps of a plate at z = 0 before a wall at z = 1, from cameras side by side that look along +Z."""
    cameras = Cameras(
        world_from_cam=np.stack([np.eye(4, dtype=np.float32)] * count),
        intrinsics=np.tile(intrinsics_from_fov(1.0, SIZE, SIZE), (count, 1, 1)),
        width=SIZE,
        height=SIZE,
    )
    cameras.world_from_cam[:, 2, 3] = -1
    cameras.world_from_cam[:, 0, 3] = np.linspace(-0.15, 0.15, count)
    directions = rays(cameras)
    near = np.abs(directions[..., :2][None] + cameras.centers_in_world[:, None, None, :2]).max(-1) < 0.25
    depth = np.where(near, 1.0, 2.0).astype(np.float32)
    rgb = np.where(near[..., None], (1.0, 0, 0), (0, 0, 1.0)).astype(np.float32)
    weights = np.ones(count, np.float32)
    return depth_maps(zip(rgb, np.ones_like(depth), depth, strict=True), cameras=cameras, weights=weights)


def test_an_open_surface_has_no_sheets_between_near_and_far():
    pose = np.eye(4)
    pose[2, 3] = -1
    grid = FrustumGrid(world_from_cam=pose, low=(-0.5, -0.5, 0.7), step=0.01, depth_ratio=1.02, shape=(101, 101, 60))
    maps = step_views()
    volume, seen = fuse(maps, grid, truncation=3.0, solid=False)
    surface = Surface(*extract_surface(smooth_volume(volume, seen, 0.8, solid=False), seen, solid=False))
    index, faces = clean_surface(remove_unseen_faces(surface, grid, maps), solid=False)
    z = grid.to_world(index)[:, 2]
    off = np.minimum(np.abs(z), np.abs(z - 1))
    # The plate's rim may be as thick as twice the truncation, 6 steps of 2 %, and a step of rounding.
    assert off.max() < 0.14
    assert np.quantile(off, 0.9) < 0.02
    depths = z[faces]
    assert (np.ptp(depths, axis=1) < 0.09).all()
    assert (np.abs(z) < 0.02).sum() > 500
    assert (np.abs(z - 1) < 0.02).sum() > 500
    # Faces point towards the cameras, which are at negative z.
    a, b, c = grid.to_world(index)[faces].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] < 0).mean() > 0.95
