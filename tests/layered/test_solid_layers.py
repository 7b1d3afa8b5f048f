import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.cuboid import Cuboid
from img2world.layered.layers import INVENTED, SEEN, LayeredImage, rays_in_cam
from img2world.layered.object_layers import object_camera
from img2world.layered.revolution import Revolution
from img2world.layered.solid_layers import COLUMNS, ROWS, find_visible, render_depth, solid_layers, wrap_colors
from img2world.layered.solids import around_axis, up_in_cam
from img2world.layered.warp import Warper

SIZE = 128
CAMERA = object_camera(SIZE)

HEIGHTS = np.linspace(-0.15, 0.15, 40)
CAN = Revolution(elevation=np.radians(15), heights=HEIGHTS, radii=np.full(40, 0.1))
LATITUDES = np.linspace(-np.pi / 2, np.pi / 2, 100)
BALL = Revolution(elevation=np.radians(15), heights=0.15 * np.sin(LATITUDES), radii=0.15 * np.cos(LATITUDES))
CRATE = Cuboid(elevation=np.radians(15), yaw=0.5, sizes=(0.26, 0.2, 0.24), offset=(0.004, -0.003))


def test_rendered_depth_of_a_ball_is_that_of_the_sphere():
    depth, hit = render_depth(BALL.surface(ROWS, COLUMNS), CAMERA)
    rays = rays_in_cam(CAMERA).astype(float)
    # |depth * ray - center| = radius, for a center on the optical axis.
    squared, along = (rays**2).sum(-1), INPUT_DISTANCE * rays[..., 2]
    discriminant = along**2 - squared * (INPUT_DISTANCE**2 - 0.15**2)
    truth = np.where(discriminant > 0, (along - np.sqrt(np.maximum(discriminant, 0))) / squared, np.nan)
    assert (hit & (discriminant > 0)).sum() > 0.98 * (hit | (discriminant > 0)).sum()
    inner = discriminant > 0.1 * discriminant.max()
    np.testing.assert_allclose(depth[inner], truth[inner], atol=1e-3)


def test_only_the_side_towards_the_camera_is_visible():
    points = CAN.surface(ROWS, COLUMNS)
    depth, hit = render_depth(points, CAMERA)
    visible = find_visible(points, depth, hit.astype(np.float32), CAMERA)
    middle = slice(ROWS // 2 - 5, ROWS // 2 + 5)  # rows of the side, not of its caps
    normals = around_axis(CAN.elevation, np.linspace(0, 2 * np.pi, COLUMNS))
    facing = -(normals * points[ROWS // 2]).sum(1) / np.linalg.norm(points[ROWS // 2], axis=1)
    assert visible[middle][:, facing > 0.3].all()
    assert not visible[middle][:, facing < 0.1].any()
    assert not find_visible(points, depth, np.zeros_like(depth), CAMERA).any()


@pytest.mark.parametrize("shape", [CAN, CRATE])
def test_front_is_the_photo_and_the_closed_shape_lies_just_behind_it(shape):
    rgb = np.random.default_rng(0).uniform(0.3, 0.7, (SIZE, SIZE, 3)).astype(np.float32)
    hit = np.isfinite(shape.depths(CAMERA)[0])
    front, closed = solid_layers(shape, rgb, hit.astype(np.float32), CAMERA)
    np.testing.assert_array_equal(front.texture, rgb)
    assert (front.seen == SEEN).all()
    assert (closed.seen == INVENTED).all()
    assert closed.texture.min() > 0.29  # only colors of the photo
    assert closed.texture.max() < 0.71
    warper = Warper(LayeredImage(layers=(front, closed), is_object=True))
    drawn = warper.draw(CAMERA, supersample=1)
    inner = drawn.alpha > 0
    assert (drawn.seen[inner] == SEEN).mean() > 0.97
    for pose in orbit(5):
        here = Cameras(
            world_from_cam=pose[None].astype(np.float32), intrinsics=CAMERA.intrinsics, width=SIZE, height=SIZE
        )
        alpha = warper.draw(here, supersample=1).alpha
        assert 0.5 < alpha.sum() / hit.sum() < 2
        assert alpha[[0, -1]].max() == alpha[:, [0, -1]].max() == 0


def test_hoops_close_behind_and_features_stay_in_front(shapes):
    points = CAN.surface(ROWS, COLUMNS)
    depth, hit = render_depth(points, CAMERA)
    rgb = np.full((SIZE, SIZE, 3), (0.2, 0.3, 0.7), np.float32)
    height = shapes.heights_seen(CAN, CAMERA)
    rgb[np.abs(height) < 0.03] = (0.9, 0.8, 0.1)  # a hoop
    rgb[(height > 0.06) & (np.abs(np.arange(SIZE) - 64) < 6)] = (1, 0, 0)  # a feature of the front
    visible = find_visible(points, depth, hit.astype(np.float32), CAMERA)
    behind = wrap_colors(points, visible, rgb, CAMERA)[:, :20]
    along = (points[:, 0] - (0, 0, INPUT_DISTANCE)) @ up_in_cam(CAN.elevation)
    np.testing.assert_allclose(behind[np.abs(along) < 0.02].mean((0, 1)), (0.9, 0.8, 0.1), atol=0.1)
    np.testing.assert_allclose(behind[np.abs(along - 0.09) < 0.02].mean((0, 1)), (0.2, 0.3, 0.7), atol=0.1)


def test_a_shape_that_the_photo_does_not_show_has_its_mean_color():
    points = CAN.surface(ROWS, COLUMNS)
    rgb = np.random.default_rng(0).random((SIZE, SIZE, 3), np.float32)
    colors = wrap_colors(points, np.zeros(points.shape[:2], bool), rgb, CAMERA)
    np.testing.assert_allclose(colors, np.broadcast_to(rgb.mean((0, 1)), colors.shape), atol=1e-6)
