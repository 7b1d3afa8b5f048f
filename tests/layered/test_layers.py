from itertools import product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import Img2WorldError
from img2world.layered.layers import (
    SEEN,
    grid_faces,
    layer_from_depth,
    layer_of_grid,
    rays_in_cam,
    stretch_blur,
)


def camera(width: int = 12, height: int = 9) -> Cameras:
    """A turned camera whose principal point is off center."""
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = Rotation.from_euler("yxz", (0.5, -0.2, 0.1)).as_matrix()
    pose[:3, 3] = (0.3, -0.4, 0.2)
    intrinsics = intrinsics_from_fov(0.9, width, height)
    intrinsics[:2, 2] += (0.7, -1.1)
    return Cameras(world_from_cam=pose[None], intrinsics=intrinsics[None], width=width, height=height)


@pytest.mark.parametrize("margins", [(0, 0), (3, 2)])
def test_rays_project_to_pixel_centers(margins):
    here = camera()
    rays = rays_in_cam(here, *margins)
    x, y = np.meshgrid(
        *(np.arange(-margin, side + margin) + 0.5 for margin, side in zip(margins, (12, 9), strict=True))
    )
    projected = rays @ here.intrinsics[0].T
    np.testing.assert_allclose(projected, np.stack([x, y, np.ones_like(x)], -1), atol=1e-4)


def test_faces_are_those_of_cells_whose_corners_are_all_used():
    used = np.random.default_rng(0).random((7, 6)) < 0.8
    expected = set()
    for row, column in product(range(6), range(5)):
        a, b, c, d = (int(np.ravel_multi_index((row + i, column + j), used.shape)) for i, j in product((0, 1), (0, 1)))
        if used[row : row + 2, column : column + 2].all():
            expected |= {frozenset((a, b, c)), frozenset((b, c, d))}
    faces = grid_faces(used)
    assert {frozenset(face) for face in faces.tolist()} == expected
    assert len(faces) == len(expected)
    # All have one orientation.
    y, x = np.divmod(faces, 6)
    edges = [(x[:, i] - x[:, 0], y[:, i] - y[:, 0]) for i in (1, 2)]
    assert len(set(edges[0][0] * edges[1][1] - edges[0][1] * edges[1][0])) == 1


def test_lifted_depth_projects_back_and_keeps_its_distance():
    here = camera()
    rng = np.random.default_rng(1)
    depth = rng.uniform(0.5, 2, (13, 16)).astype(np.float32)
    alpha = np.zeros((13, 16), np.float32)
    alpha[4:8, 5:9] = 1
    texture, seen = rng.random((13, 16, 3), np.float32), np.full((13, 16), SEEN, np.uint8)
    layer = layer_from_depth(here, depth, texture, seen, alpha=alpha)
    world_from_cam = here.world_from_cam[0].astype(float)
    in_cam = (layer.vertices_in_world - world_from_cam[:3, 3]) @ world_from_cam[:3, :3]
    np.testing.assert_allclose(in_cam[:, 2].reshape(13, 16), depth, atol=1e-5)
    pixels = (in_cam @ here.intrinsics[0].T)[:, :2] / in_cam[:, 2:]
    np.testing.assert_allclose(pixels + 2, layer.texture_xy, atol=1e-4)  # a margin of 2 pixels
    # The mesh reaches one pixel beyond the outline, where the alpha test cuts it.
    rows, columns = np.divmod(np.unique(layer.faces), 16)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 8, 4, 9)


def test_blur_is_none_on_a_plane_and_follows_the_stretch_of_a_slope():
    here = Cameras(
        world_from_cam=np.eye(4, dtype=np.float32)[None],
        intrinsics=intrinsics_from_fov(0.02, 40, 40)[None],
        width=40,
        height=40,
    )
    rays, focal = rays_in_cam(here), float(here.intrinsics[0, 0, 0])
    np.testing.assert_array_equal(stretch_blur(rays * np.float32(1.3), here, 1.0), 0)
    # Depth grows by `rise` pixel widths per row: a cell is as long as the hypotenuse.
    rise = 12.0
    depth = (1 + rise / focal * (np.arange(40) - 20)[:, None] * np.ones(40)).astype(np.float32)
    blur = stretch_blur(rays * depth[..., None], here, 1.0)
    expected = 0.5 * np.hypot(1, rise) - 1.5
    np.testing.assert_allclose(blur[15:25, 15:25], expected, rtol=0.12)  # the maximum of 3 rows, rays nearly parallel
    flat = stretch_blur(rays * depth[..., None], here, 0.25)
    np.testing.assert_allclose(flat[15:25, 15:25], 0.5 * 0.25 * np.hypot(1, rise) - 1.5, atol=0.2)
    across = stretch_blur(rays * depth.T[..., None], here, 0.25)
    np.testing.assert_allclose(across[15:25, 15:25], expected, rtol=0.12)


def test_vertices_that_are_not_finite_are_refused():
    here, shape = camera(), (9, 12)
    points = rays_in_cam(here).copy()
    points[3, 4] = np.nan
    texture, seen = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.uint8)
    with pytest.raises(Img2WorldError, match="vertices_in_world holds nan"):
        layer_of_grid(here, points, texture, seen, alpha=np.ones(shape, np.float32), blur=np.zeros(shape, np.float32))
