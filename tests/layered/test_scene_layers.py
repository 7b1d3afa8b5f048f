from dataclasses import replace

import cv2
import numpy as np
import pytest

from img2world.core.camera_paths import arc
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.image import Image
from img2world.core.subject import SceneGeometry, Subject
from img2world.layered.depth_slices import Part, slice_depth
from img2world.layered.layers import CONTINUED, DETAIL, HORIZONTAL_MARGIN, SEEN, VERTICAL_MARGIN, LayeredImage
from img2world.layered.layout import Layout
from img2world.layered.mirror import Mirror, mirror_along_lines
from img2world.layered.scene_layers import (
    SCENE_FOV,
    erode_outline,
    extend_part,
    margins_of,
    parts_of_layout,
    scene_camera,
    scene_layers,
)
from img2world.layered.warp import Warper


def plain_mirror(color) -> Mirror:
    """The mirror image of a picture in which no line meets an edge."""
    return mirror_along_lines(np.zeros_like(color), margins_of(color))


def test_scene_is_the_photo_in_front_and_has_no_gaps_beside(coffee):
    picture, camera = coffee.subject.image, coffee.camera
    small = cv2.resize(picture.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA) / 255
    poses = arc(8, half_azimuth=0.12)
    front = coffee.look(poses[0])
    assert np.abs(front.rgb - small).mean() < 0.02
    assert (front.seen == SEEN).all()
    side = coffee.look(poses[2])
    assert side.alpha.min() == 1
    assert 0 < (side.seen == CONTINUED).mean() < 0.15
    assert side.depth.min() > 0.3
    # The nearer lower part moves less on the screen than the farther upper part around the turning point.
    assert side.depth[-10:].mean() < side.depth[:10].mean()


def test_beyond_the_picture_a_part_is_its_mirror_image_at_the_depth_of_the_edge():
    rng = np.random.default_rng(0)
    color = rng.random((60, 80, 3), np.float32)
    camera = Cameras(
        world_from_cam=np.eye(4, dtype=np.float32)[None],
        intrinsics=intrinsics_from_fov(1.0, 80, 60)[None],
        width=80,
        height=60,
    )
    ones = np.ones((60, 80), np.float32)
    shallow = np.repeat(np.linspace(0.5, 1, 80, dtype=np.float32)[None], 60, 0)
    part = Part(inverse_depth=shallow, shown=ones, extent=ones, given=ones)
    fine = np.round(255 * color).astype(np.uint8).repeat(DETAIL, 0).repeat(DETAIL, 1)
    layer = extend_part(camera, color, plain_mirror(color), part, fine=fine)
    horizontal, vertical = round(HORIZONTAL_MARGIN * 80), round(VERTICAL_MARGIN * 80)
    assert layer.texture.shape == (60 + 2 * vertical, 80 + 2 * horizontal, 3)
    np.testing.assert_allclose(layer.texture[vertical:-vertical, horizontal:-horizontal], color, atol=1e-5)
    beside = layer.texture[vertical:-vertical, :horizontal]
    np.testing.assert_allclose(
        beside[:, ::-1], layer.texture[vertical:-vertical, horizontal : 2 * horizontal], atol=1e-4
    )
    assert layer.detail is not None
    assert np.abs(layer.detail[DETAIL * vertical, DETAIL * horizontal - 1] - color[0, 0]).max() < 0.01
    origin = np.full(layer.seen.shape, CONTINUED)
    origin[vertical:-vertical, horizontal:-horizontal] = SEEN
    np.testing.assert_array_equal(layer.seen, origin)
    depth = layer.vertices_in_world[:, 2].reshape(layer.seen.shape)
    np.testing.assert_allclose(depth[:, :horizontal], 2, rtol=1e-5)
    np.testing.assert_allclose(depth[:, -horizontal:], 1, rtol=1e-5)


def test_a_part_keeps_its_own_colors_at_its_outline():
    """Pixels there are blended with what is behind them, which is given, too."""
    red, blue = np.array([0.9, 0.1, 0.1], np.float32), np.array([0.1, 0.1, 0.9], np.float32)
    near = np.zeros((96, 96), bool)
    near[30:70, 30:70] = True
    rim = near.copy()
    rim[31:69, 31:69] = False
    color = np.where(near[..., None], red, blue)
    color[rim] = (red + blue) / 2
    camera = Cameras(
        world_from_cam=np.eye(4, dtype=np.float32)[None],
        intrinsics=intrinsics_from_fov(1.0, 96, 96)[None],
        width=96,
        height=96,
    )
    nearest = slice_depth(np.where(near, 1.0, 0.5).astype(np.float32))[-1]
    fine = np.round(255 * color).astype(np.uint8).repeat(DETAIL, 0).repeat(DETAIL, 1)
    front = extend_part(camera, color, plain_mirror(color), nearest, fine=fine)
    top, left = ((total - 96) // 2 for total in front.texture.shape[:2])
    shown = front.texture[top:-top, left:-left][rim]
    assert np.abs(shown - red).max() < 0.02


def test_camera_has_the_focal_length_of_the_photo_or_the_usual_field_of_view():
    rgb = np.zeros((300, 400, 3), np.uint8)
    known = scene_camera(Image(rgb=rgb, focal=500.0), 200)
    assert (known.width, known.height) == (200, 150)
    np.testing.assert_allclose(known.intrinsics[0], [[250, 0, 100], [0, 250, 75], [0, 0, 1]], rtol=1e-6)
    for shape in ((300, 400, 3), (400, 300, 3)):
        guessed = scene_camera(Image(rgb=np.zeros(shape, np.uint8)), 200)
        assert 2 * np.arctan(100 / guessed.intrinsics[0, 0, 0]) == pytest.approx(SCENE_FOV, rel=1e-6)
    np.testing.assert_array_equal(known.centers_in_world[0], (0, 0, -1))


def test_parts_show_every_pixel_once_and_hidden_parts_reach_behind():
    shape = (20, 30)
    sky, subject = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    sky[:8] = 1
    subject[5:15, 10:20] = 1
    sky[subject > 0] = 0
    depth = np.ones(shape, np.float32)
    full = Layout(
        ground_inverse_depth=depth,
        sky=sky,
        sky_inverse_depth=0.25 * depth,
        subject=subject,
        subject_inverse_depth=2 * depth,
    )
    for layout, count in ((full, 3), (replace(full, sky=None), 2), (replace(full, sky=None, subject=None), 1)):
        parts = parts_of_layout(layout)
        assert len(parts) == count
        assert [float(part.inverse_depth[0, 0]) for part in parts] == sorted(part.inverse_depth[0, 0] for part in parts)
        # Clipped: the subject hides the sky, whose alpha is less than 0 there.
        np.testing.assert_array_equal(sum(part.shown.clip(0, 1) for part in parts), 1)
        np.testing.assert_array_equal(np.maximum.reduce([part.extent for part in parts]), 1)
        assert all((part.extent >= part.shown).all() for part in parts)


def test_outline_is_left_out_unless_nothing_else_is_left():
    shown = np.zeros((64, 64), np.float32)
    shown[10:30, 10:30] = 1
    inner = np.zeros((64, 64), bool)
    inner[11:29, 11:29] = True
    np.testing.assert_array_equal(erode_outline(shown), inner)
    line = np.zeros((64, 64), np.float32)
    line[:, 20] = 1
    np.testing.assert_array_equal(erode_outline(line), line > 0)


def test_a_frame_from_the_camera_of_the_photo_is_the_photo():
    """Where nothing stands in front, to the last bit but one: fine stripes would show any blur or shift."""
    y, x = np.mgrid[:128, :192]
    rgb = np.stack([255 * (x // 2 % 2), 255 * (y // 2 % 2), (x + y) % 256], -1).astype(np.uint8)
    image = Image(rgb=rgb.repeat(2, 0).repeat(2, 1))
    flat = SceneGeometry(inverse_depth=np.ones((8, 12), np.float32), sky=np.zeros((8, 12), np.float32))
    subject = Subject(image=image, alpha=None, reason="", geometry=flat)
    camera = scene_camera(image, 192)
    frame = Warper(LayeredImage(layers=scene_layers(subject, 192), is_object=False)).draw(camera)
    assert np.abs(255 * frame.rgb - rgb)[2:-2, 2:-2].max() < 1
