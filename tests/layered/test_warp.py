from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import Img2WorldError
from img2world.layered.layers import Layer, LayeredImage, grid_faces
from img2world.layered.warp import BLUR_STEPS, Warper
from img2world.render.triangles import rasterize_triangles


def camera(width=50, height=38, *, turn=0.0):
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = Rotation.from_euler("yx", (turn, 0.4 * turn)).as_matrix()
    pose[:3, 3] = -1.2 * pose[:3, 2]
    return Cameras(
        world_from_cam=pose[None], intrinsics=intrinsics_from_fov(1.0, width, height)[None], width=width, height=height
    )


def bumpy_layer(seed, rows=21, columns=27, *, depth=0.0, blur=0.0):
    """A rough sheet of many colors with holes, whose texture has other proportions than its grid."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-0.7, 0.7, columns), np.linspace(-0.5, 0.5, rows))
    z = depth + 0.1 * rng.standard_normal((rows, columns))
    height, width = 33, 40
    u, v = np.meshgrid(np.linspace(-1.5, width + 1.5, columns), np.linspace(-1.5, height + 1.5, rows))
    return Layer(
        vertices_in_world=np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32),
        faces=grid_faces(np.ones((rows, columns), bool)),
        alphas=rng.uniform(0.2, 1.2, rows * columns).astype(np.float32),
        texture_xy=np.stack([u, v], -1).reshape(-1, 2).astype(np.float32),
        blur=(blur * rng.random(rows * columns)).astype(np.float32),
        texture=rng.random((height, width, 3), np.float32),
        seen=rng.integers(0, 3, (height, width)).astype(np.uint8),
    )


def read(texture, x, y):
    """The texture at one position in pixels, interpolated linearly between pixel centers, in float64."""
    height, width = texture.shape[:2]
    x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = texture[top, left] * (1 - x + left) + texture[top, right] * (x - left)
    lower = texture[bottom, left] * (1 - x + left) + texture[bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


def reference(warper, here, supersample):
    """Draw the warper's meshes sample by sample with NumPy: rgb, alpha, depth and seen of each pixel."""
    fine = here.resized(here.width * supersample, here.height * supersample)
    cam_from_world = fine.cam_from_world[0]
    vertices_in_cam = warper.vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    hits = rasterize_triangles(vertices_in_cam, warper.faces, warper.alphas, fine)
    rgb, alpha = np.zeros((here.height, here.width, 3)), np.zeros((here.height, here.width))
    depth, seen = np.zeros(alpha.shape), np.zeros(alpha.shape, int)
    for row, column in np.ndindex(alpha.shape):
        block = np.s_[row * supersample : (row + 1) * supersample, column * supersample : (column + 1) * supersample]
        colors, known = [], []
        for face, barycentric in zip(
            hits.face[block].ravel(), hits.barycentric[block].reshape(-1, 2).astype(float), strict=True
        ):
            if face < 0:
                continue
            layer = int(np.searchsorted(warper.face_ends, face, side="right"))
            weights = np.array([1 - barycentric.sum(), *barycentric])
            x, y, level, _ = weights @ warper.texture_coordinates[warper.faces[face]]
            levels = warper.levels[layer]
            sharper = min(int(level), len(levels) - 1)
            blurrier = min(sharper + 1, len(levels) - 1)
            sharp, blurred = read(levels[sharper], x, y)[:3], read(levels[blurrier], x, y)[:3]
            colors.append(sharp + (level - sharper) * (blurred - sharp))
            height, width = warper.seen[layer].shape
            known.append(warper.seen[layer][int(np.clip(y, 0, height - 1)), int(np.clip(x, 0, width - 1))])
        if colors:
            rgb[row, column], seen[row, column] = np.mean(colors, 0), min(known)
            depth[row, column] = hits.depth[block][hits.face[block] >= 0].min()
        alpha[row, column] = len(colors) / supersample**2
    return rgb, alpha, depth, seen


@pytest.fixture
def layered_image():
    return LayeredImage(
        layers=(bumpy_layer(0, blur=9.0), bumpy_layer(1, 15, 18, depth=0.1), bumpy_layer(2, depth=0.3, blur=2.0)),
        is_object=False,
    )


@pytest.mark.parametrize(("supersample", "turn"), [(1, 0.0), (2, 0.3), (3, -0.5)])
def test_matches_a_plain_reference(layered_image, supersample, turn):
    warper, here = Warper(layered_image), camera(turn=turn)
    rgb, alpha, depth, seen = reference(warper, here, supersample)
    warped = warper.draw(here, supersample=supersample)
    assert 0.2 < (alpha > 0).mean() < 0.99
    # The vertices are transformed by NumPy there, in another order: a sample on an edge may fall to its other side.
    same = warped.alpha == alpha.astype(np.float32)
    assert same.mean() > 0.995
    # Positions in a texture of 40 pixels are float32, and differ by 1e-5 of a pixel; neighbours may be black and white.
    close = (np.abs(warped.rgb - rgb) < 1e-4).all(-1) & (np.abs(warped.depth - depth) < 1e-5) & (warped.seen == seen)
    assert close[same].mean() > 0.995


def test_frontal_texture_is_reproduced():
    # One cell per pixel, drawn so that the sample positions are the pixel centers of the texture.
    here = camera(40, 30)
    rng = np.random.default_rng(5)
    texture, seen = rng.random((30, 40, 3), np.float32), rng.integers(0, 3, (30, 40)).astype(np.uint8)
    x, y = np.meshgrid(np.arange(41.0), np.arange(31.0))
    focal, depth = here.intrinsics[0, 0, 0], 1.2
    corners = np.stack([(x - 20) / focal * depth, (y - 15) / focal * depth, np.zeros_like(x)], -1)
    layer = Layer(
        vertices_in_world=corners.reshape(-1, 3).astype(np.float32),
        faces=grid_faces(np.ones((31, 41), bool)),
        alphas=np.ones(31 * 41, np.float32),
        texture_xy=np.stack([x, y], -1).reshape(-1, 2).astype(np.float32),
        blur=np.zeros(31 * 41, np.float32),
        texture=texture,
        seen=seen,
    )
    warped = Warper(LayeredImage(layers=(layer,), is_object=False)).draw(here, supersample=1)
    np.testing.assert_allclose(warped.rgb, texture, atol=2e-5)
    np.testing.assert_array_equal(warped.seen, seen)
    np.testing.assert_allclose(warped.depth, depth, rtol=1e-6)
    assert (warped.alpha == 1).all()


@pytest.mark.parametrize(("blur", "weights"), [(0.0, (1, 0)), (0.75, (0.5, 0.5)), (1.5, (0, 1)), (99.0, (0, 0))])
def test_blur_interpolates_between_blurred_copies(blur, weights):
    sheet = bumpy_layer(3)
    sheet = replace(sheet, alphas=np.ones_like(sheet.alphas), blur=np.full_like(sheet.blur, blur))
    rows = {}
    for value in (0.0, blur, BLUR_STEPS[1], BLUR_STEPS[-1]):
        layer = replace(sheet, blur=np.full_like(sheet.blur, value))
        rows[value] = Warper(LayeredImage(layers=(layer,), is_object=False)).draw(camera()).rgb
    expected = weights[0] * rows[0.0] + weights[1] * rows[BLUR_STEPS[1]] if sum(weights) else rows[BLUR_STEPS[-1]]
    np.testing.assert_allclose(rows[blur], expected, atol=1e-5)
    assert np.abs(rows[0.0] - rows[BLUR_STEPS[1]]).mean() > 0.05


def test_threads_do_not_change_a_bit(layered_image, monkeypatch):
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("IMG2WORLD_THREADS", str(threads))
        warped = Warper(layered_image).draw(camera(400, 300, turn=0.2))
        results.append(b"".join(getattr(warped, name).tobytes() for name in ("rgb", "alpha", "depth", "seen")))
    assert results[0] == results[1] == results[2]


def test_images_of_every_size_are_drawn_completely(layered_image):
    # Bands have a number of rows that depends on the width.
    warper = Warper(layered_image)
    for width, height in ((1, 1), (9000, 2), (3, 700)):
        here = camera(width, height)
        warped, whole = warper.draw(here, supersample=2), warper.draw(here, supersample=1)
        assert warped.rgb.shape == (height, width, 3)
        assert abs((warped.alpha > 0.5).mean() - (whole.alpha > 0.5).mean()) < 0.1


def test_view_away_from_all_layers_is_empty(layered_image):
    behind = replace(camera(), world_from_cam=camera(turn=np.pi).world_from_cam)
    away = replace(behind, world_from_cam=behind.world_from_cam + np.float32([[0, 0, 0, 50]] * 3 + [[0] * 4]))
    warped = Warper(layered_image).draw(away)
    for values in (warped.rgb, warped.alpha, warped.depth, warped.seen):
        assert not values.any()


def test_invalid_layers_and_cameras_are_refused(layered_image):
    layer = layered_image.layers[0]
    with pytest.raises(Img2WorldError, match="texture_coordinates holds nan"):
        Warper(LayeredImage(layers=(replace(layer, texture_xy=layer.texture_xy * np.nan),), is_object=False))
    with pytest.raises(ValueError, match="there are 567"):
        Warper(LayeredImage(layers=(replace(layer, faces=layer.faces + np.int32(9)),), is_object=False))
    with pytest.raises(ValueError, match="2 cameras"):
        Warper(layered_image).draw(camera().select([0, 0]))
