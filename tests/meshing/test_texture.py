import numpy as np
import pytest

from img2world.core.cameras import Cameras
from img2world.core.views import Views
from img2world.meshing.surface import Surface
from img2world.meshing.texture import bake_texture
from img2world.meshing.unwrap import Charts
from img2world.render.texels import TexelEquations
from img2world.render.triangles import rasterize_triangles

SIZE = 24
"""Pixels of a camera that sees a square of side 1 exactly, from a distance of 1."""


def front_camera(x: float = 0.0) -> Cameras:
    pose = np.eye(4, dtype=np.float32)[None].copy()
    pose[0, :3, 3] = x, 0, -1
    intrinsics = np.array([[[SIZE, 0, SIZE / 2], [0, SIZE, SIZE / 2], [0, 0, 1]]], np.float32)
    return Cameras(world_from_cam=pose, intrinsics=intrinsics, width=SIZE, height=SIZE)


@pytest.fixture
def square() -> tuple[Surface, Charts]:
    """A square that faces -Z and fills the texture."""
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    faces = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    return Surface(corners, faces), Charts(np.arange(4), faces, (corners[:, :2] + 0.5).astype(np.float32))


def views_of(pictures: list[np.ndarray], cameras: Cameras, **maps) -> Views:
    rgb = np.stack(pictures)
    nothing = {
        "points": np.zeros((0, 3), np.float32),
        "point_colors": np.zeros((0, 3), np.uint8),
        "solver": "commanded",
    }
    return Views(rgb=rgb, cameras=cameras, confidence=np.ones(len(rgb), np.float32), **nothing, **maps)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)


def test_equations_are_those_of_bilinear_sampling(square):
    """Compare with the matrix built entry by entry."""
    surface, charts = square
    rng = np.random.default_rng(0)
    shifted = surface.vertices + np.array([0.013, 0.021, 1])
    hits = rasterize_triangles(shifted.astype(np.float32), charts.faces, np.ones(4, np.float32), front_camera())
    weight, rgb = rng.random((SIZE, SIZE), np.float32), rng.random((SIZE, SIZE, 3), np.float32)
    height, width = 9, 7
    equations = TexelEquations(width, height)
    equations.add_view(hits, weight, rgb, charts.faces, charts.uvs)
    samples = np.zeros((SIZE * SIZE, height * width))
    for pixel, (face, (second, third)) in enumerate(
        zip(hits.face.ravel(), hits.barycentric.reshape(-1, 2), strict=True)
    ):
        if face < 0:
            continue
        place = np.array([1 - second - third, second, third]) @ charts.uvs[charts.faces[face]] * (width, height) - 0.5
        place = place.clip(0, np.array([width, height]) - 1.001)
        column, row = place.astype(int)
        x, y = place - (column, row)
        for dx, dy, part in ((0, 0, (1 - x) * (1 - y)), (1, 0, x * (1 - y)), (0, 1, (1 - x) * y), (1, 1, x * y)):
            samples[pixel, (row + dy) * width + column + dx] += part
    weighted = samples * weight.reshape(-1, 1)
    matrix, target = samples.T @ weighted, weighted.T @ rgb.reshape(-1, 3)
    np.testing.assert_allclose(equations.target.reshape(-1, 3), target, atol=1e-4)
    np.testing.assert_allclose(equations.diagonal.ravel(), np.diag(matrix), atol=1e-4)
    for values, offset in ((equations.right, 1), (equations.down, width), (equations.down_right, width + 1)):
        np.testing.assert_allclose(values.ravel()[:-offset], np.diag(matrix, offset), atol=1e-4)
    # The last texel of a row has no neighbor to its lower left one column on.
    np.testing.assert_allclose(equations.down_left.ravel()[1:-width], np.diag(matrix, width - 1)[1:-1], atol=1e-4)


def test_a_picture_as_fine_as_the_texture_is_reproduced(square):
    picture = noise(1)
    texture = bake_texture(*square, np.zeros((4, 3), np.float32), views_of([picture], front_camera()), SIZE)
    inner = (slice(4, -4),) * 2  # the outline does not count
    assert np.abs(texture[inner].astype(int) - picture[inner]).max() <= 2


def test_colors_of_the_vertices_fill_what_no_view_sees(square):
    picture = np.full((SIZE, SIZE, 3), 200, np.uint8)
    alpha = np.zeros((1, SIZE, SIZE), np.uint8)
    views = views_of([picture], front_camera(), alpha=alpha)
    texture = bake_texture(*square, np.full((4, 3), 0.25, np.float32), views, SIZE)
    np.testing.assert_array_equal(texture, 64)


def test_the_first_view_outweighs_others(square):
    cameras = Cameras(
        world_from_cam=np.repeat(front_camera().world_from_cam, 4, 0),
        intrinsics=np.repeat(front_camera().intrinsics, 4, 0),
        width=SIZE,
        height=SIZE,
    )
    pictures = [np.full((SIZE, SIZE, 3), level, np.uint8) for level in (200, 100, 100, 100)]
    texture = bake_texture(*square, np.zeros((4, 3), np.float32), views_of(pictures, cameras), SIZE)
    assert texture[SIZE // 2, SIZE // 2, 0] == pytest.approx((200 + 0.09 * 100) / 1.09, abs=1)


def test_a_hidden_surface_takes_no_color_from_what_hides_it(square):
    """A plate in front covers the left half of the first view; the second view sees all of the square."""
    surface, charts = square
    plate = np.array([[-0.3, -0.3, -0.5], [0.0, -0.3, -0.5], [0.0, 0.3, -0.5], [-0.3, 0.3, -0.5]])
    vertices = np.concatenate([surface.vertices, plate])
    faces = np.concatenate([surface.faces, surface.faces + 4])
    uvs = np.concatenate([charts.uvs * (0.5, 1), charts.uvs * (0.5, 1) + (0.5, 0)]).astype(np.float32)
    whole = Surface(vertices, faces), Charts(np.arange(8), faces, uvs)
    picture = np.full((SIZE, SIZE, 3), 250, np.uint8)
    picture[:, : SIZE // 2] = 10  # the plate is dark
    views = views_of([picture], front_camera())
    texture = bake_texture(*whole, np.full((8, 3), 0.5, np.float32), views, 2 * SIZE)
    behind = texture[SIZE - 6 : SIZE + 6, 6:14].astype(int)
    assert behind.min() > 100
    assert texture[SIZE, SIZE + SIZE // 2, 0] < 40


def test_equations_refuse_what_does_not_fit(square):
    """Native code trusts what it is given."""
    surface, charts = square
    hits = rasterize_triangles(
        (surface.vertices + np.array([0, 0, 1])).astype(np.float32),
        charts.faces,
        np.ones(4, np.float32),
        front_camera(),
    )
    weight, rgb = np.ones((SIZE, SIZE), np.float32), np.ones((SIZE, SIZE, 3), np.float32)
    with pytest.raises(ValueError, match="1x8"):
        TexelEquations(1, 8)
    with pytest.raises(ValueError, match="point at vertices"):
        TexelEquations(8, 8).add_view(hits, weight, rgb, charts.faces + 1, charts.uvs)
    with pytest.raises(ValueError, match="pixels see face"):
        TexelEquations(8, 8).add_view(hits, weight, rgb, charts.faces[:1], charts.uvs)
