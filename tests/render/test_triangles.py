import numpy as np
import pytest

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import Img2WorldError
from img2world.render.triangles import rasterize_triangles

QUAD = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def camera(width=40, height=30):
    pose = np.eye(4, dtype=np.float32)[None]
    return Cameras(
        world_from_cam=pose, intrinsics=intrinsics_from_fov(1.0, width, height)[None], width=width, height=height
    )


def rays(cam):
    """Return the slopes x / z and y / z of the rays through the pixel centres."""
    focal, center = cam.intrinsics[0, 0, 0], cam.intrinsics[0, :2, 2]
    x, y = np.meshgrid(np.arange(cam.width) + 0.5, np.arange(cam.height) + 0.5)
    return (x - center[0]) / focal, (y - center[1]) / focal


def test_slanted_quad_has_the_depth_of_its_plane():
    # The ray (u, v, 1) meets the plane z = 2 + 0.5 x at z = 2 / (1 - 0.5 u).
    corners = np.array(
        [[x, y, 2 + 0.5 * x] for x, y in ((-0.6, -0.5), (0.6, -0.5), (0.6, 0.5), (-0.6, 0.5))], np.float32
    )
    cam = camera()
    hits = rasterize_triangles(corners, QUAD, np.ones(4, np.float32), cam)
    u, v = rays(cam)
    depth = 2 / (1 - 0.5 * u)
    inside = (np.abs(u * depth) < 0.6) & (np.abs(v * depth) < 0.5)
    assert inside.sum() > 100
    np.testing.assert_array_equal(hits.face >= 0, inside)
    # Depth is a ratio of float32 sums of three terms.
    np.testing.assert_allclose(hits.depth[inside], depth[inside], rtol=2e-6)
    assert (hits.depth[~inside] == 0).all()


def test_attributes_are_perspective_correct():
    # A floor running away from the camera: an attribute interpolated linearly in the image would be far off.
    corners = np.array([[-3, 1, 1], [3, 1, 1], [3, 1, 20], [-3, 1, 20]], np.float32)
    cam = camera()
    hits = rasterize_triangles(corners, QUAD, np.ones(4, np.float32), cam)
    seen = hits.face >= 0
    second, third = np.moveaxis(hits.barycentric[seen], -1, 0)
    weights = np.stack([1 - second - third, second, third], -1)
    points = np.einsum("pk,pkc->pc", weights, corners[QUAD[hits.face[seen]]])
    u, v = rays(cam)
    assert seen.sum() > 100
    np.testing.assert_allclose(points[:, 0] / points[:, 2], u[seen], atol=1e-5)
    np.testing.assert_allclose(points[:, 1] / points[:, 2], v[seen], atol=1e-5)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_nearer_face_is_seen_whatever_the_order(order):
    square = np.array([[-9, -9, 1], [9, -9, 1], [9, 9, 1], [-9, 9, 1]], np.float32)
    vertices = np.concatenate([square * 5, square * 3])
    faces = np.concatenate([[QUAD, QUAD + 4][i] for i in order])
    hits = rasterize_triangles(vertices, faces, np.ones(8, np.float32), camera())
    np.testing.assert_allclose(hits.depth, 3, rtol=1e-6)


def test_equal_depths_go_to_the_first_face():
    square = np.array([[-9, -9, 4], [9, -9, 4], [9, 9, 4], [-9, 9, 4]], np.float32)
    faces = np.concatenate([QUAD, QUAD])
    hits = rasterize_triangles(square, faces, np.ones(4, np.float32), camera())
    assert hits.face.max() == 1


def test_faces_that_share_an_edge_leave_no_gap():
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 9), np.linspace(-2, 2, 9)), -1).reshape(-1, 2)
    inner = np.abs(grid).max(1) < 2
    grid[inner] += rng.uniform(-0.15, 0.15, (inner.sum(), 2))
    vertices = np.column_stack([grid, np.full(81, 2.0)]).astype(np.float32)
    first = (np.arange(8)[:, None] * 9 + np.arange(8)).ravel()
    faces = np.concatenate([first[:, None] + [0, 1, 10], first[:, None] + [0, 10, 9]]).astype(np.int32)
    hits = rasterize_triangles(vertices, faces, np.ones(81, np.float32), camera())
    assert (hits.face >= 0).all()


def test_faces_are_cut_away_where_alpha_is_low():
    square = np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 2]], np.float32)
    cam = camera(64, 64)
    hits = rasterize_triangles(square, QUAD, np.array([0, 1, 1, 0], np.float32), cam)
    u, v = rays(cam)
    inside = (np.abs(2 * u) < 1) & (np.abs(2 * v) < 1)
    np.testing.assert_array_equal(hits.face >= 0, inside & (u > 0))


def test_threads_do_not_change_a_bit(monkeypatch):
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(300, 3)).astype(np.float32) + np.array([0, 0, 3], np.float32)
    faces = rng.integers(0, 300, (500, 3)).astype(np.int32)
    alphas = rng.uniform(0.3, 1, 300).astype(np.float32)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("IMG2WORLD_THREADS", str(threads))
        results.append(rasterize_triangles(vertices, faces, alphas, camera(200, 150)))
    assert (results[0].face >= 0).sum() > 1000
    for other in results[1:]:
        for expected, actual in zip(results[0], other, strict=True):
            assert expected.tobytes() == actual.tobytes()


def test_faces_behind_the_camera_and_empty_meshes_are_not_drawn():
    square = np.array([[-1, -1, -2], [1, -1, 2], [1, 1, 2], [-1, 1, 0.001]], np.float32)
    assert (rasterize_triangles(square, QUAD, np.ones(4, np.float32), camera()).face == -1).all()
    empty = rasterize_triangles(np.zeros((0, 3), np.float32), QUAD[:0], np.zeros(0, np.float32), camera())
    assert (empty.face == -1).all()


def test_bad_values_are_named():
    vertices = np.zeros((3, 3), np.float32)
    vertices[1, 2] = np.nan
    with pytest.raises(Img2WorldError, match=r"vertices_in_cam holds nan at index \(1, 2\)"):
        rasterize_triangles(vertices, QUAD[:0], np.ones(3, np.float32), camera())
    with pytest.raises(ValueError, match="faces point at vertices 0 to 3"):
        rasterize_triangles(np.zeros((3, 3), np.float32), QUAD, np.ones(3, np.float32), camera())
