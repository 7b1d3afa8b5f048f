import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.layered.layers import INVENTED, SEEN, LayeredImage, layer_from_depth
from img2world.layered.texture_baking import ColorChange, bake_changes
from img2world.layered.warp import Warper

SIZE = 48


def camera(azimuth=0.0):
    pose = on_sphere(np.array([azimuth]), np.zeros(1))
    return Cameras(world_from_cam=pose, intrinsics=intrinsics_from_fov(0.8, SIZE, SIZE)[None], width=SIZE, height=SIZE)


def wall(seen, depth=1.0, alpha=1.0):
    shape = (SIZE, SIZE)
    return layer_from_depth(
        camera(),
        np.full(shape, depth, np.float32),
        np.full((*shape, 3), 0.5, np.float32),
        seen,
        alpha=np.full(shape, alpha, np.float32) if np.isscalar(alpha) else alpha,
    )


def change_of(here, depth, color):
    change = np.zeros((SIZE, SIZE, 3), np.float32)
    change[..., color] = 0.25
    return ColorChange(camera=here, depth=depth, change=change)


def test_seen_texture_keeps_its_bits_and_the_rest_takes_the_change():
    seen = np.full((SIZE, SIZE), SEEN, np.uint8)
    seen[:, SIZE // 2 :] = INVENTED
    layer = wall(seen)
    changed = bake_changes(layer, [change_of(camera(), np.ones((SIZE, SIZE), np.float32), 0)])
    np.testing.assert_array_equal(changed.texture[:, : SIZE // 2], layer.texture[:, : SIZE // 2])
    np.testing.assert_allclose(changed.texture[:, SIZE // 2 + 2 :, 0], 0.75, atol=1e-5)
    np.testing.assert_array_equal(changed.texture[..., 1:], layer.texture[..., 1:])
    np.testing.assert_array_equal(changed.seen, layer.seen)


def test_frame_changes_only_visible_surfaces():
    seen = np.full((SIZE, SIZE), INVENTED, np.uint8)
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[:, : SIZE // 2] = 1
    before, behind = wall(seen, depth=0.8, alpha=alpha), wall(seen, depth=1.2)
    warped = Warper(LayeredImage(layers=(before, behind), is_object=False)).draw(camera(), supersample=1)
    one = change_of(camera(), warped.depth, 2)
    assert bake_changes(before, [one]).texture[20, 10, 2] == pytest.approx(0.75)
    far = bake_changes(behind, [one]).texture
    assert far[20, 40, 2] == pytest.approx(0.75)
    change = np.repeat(np.where(warped.depth[..., None] < 1, np.float32(0.25), np.float32(0)), 3, -1)
    hidden = ColorChange(camera=camera(), depth=warped.depth, change=change)
    np.testing.assert_allclose(bake_changes(behind, [hidden]).texture[:, SIZE // 2 + 2 :], 0.5, atol=1e-6)


def test_frontal_view_has_the_largest_weight():
    seen = np.full((SIZE, SIZE), INVENTED, np.uint8)
    layer = wall(seen)
    layered = LayeredImage(layers=(layer,), is_object=False)
    changes = [
        change_of(here, Warper(layered).draw(here, supersample=1).depth, color)
        for color, here in ((0, camera()), (1, camera(1.1)))
    ]
    red, green, _ = bake_changes(layer, changes).texture[SIZE // 2, SIZE // 2] - 0.5
    assert red > 2 * green > 0
    assert red + green == pytest.approx(0.25, abs=1e-3)
