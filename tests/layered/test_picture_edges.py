"""Things that the edge of the picture cuts off go on beyond it."""

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras
from img2world.core.image import Image
from img2world.core.subject import Foreground, ObjectGeometry
from img2world.layered.build import build_layers, input_camera
from img2world.layered.layers import CONTINUED, SEEN
from img2world.layered.object_layers import frame_around
from img2world.layered.picture_edges import extend_beyond_picture
from img2world.layered.warp import Warper
from tests.layered.test_foreground_layers import SIDE, ball_scene


def make_thing(alpha: np.ndarray, size: int = 32) -> Foreground:
    """A thing whose front slopes, 1 frame width deeper at its right edge than at its left."""
    slope = np.repeat((np.arange(size, dtype=np.float32) + 0.5)[None] / size - 0.5, size, 0)
    geometry = ObjectGeometry(
        front=slope,
        thickness=np.full((size, size), 0.1, np.float32),
        predicted_error=np.zeros((size, size), np.float32),
        symmetry_planes=np.eye(37, dtype=np.float32)[36],
        elevation=0.0,
    )
    return Foreground(alpha=alpha, geometry=geometry)


def test_a_complete_thing_is_left_as_it_is():
    alpha = np.zeros((60, 80), np.uint8)
    alpha[20:40, 1:30] = 255
    image, thing = Image(rgb=np.zeros((60, 80, 3), np.uint8)), make_thing(alpha)
    extended = extend_beyond_picture(image, thing)
    assert extended.image is image
    assert extended.thing is thing
    assert (extended.left, extended.top) == (0, 0)


def test_a_cut_thing_continues_with_its_own_outline_and_colors_and_without_twins():
    alpha = np.zeros((60, 80), np.uint8)
    alpha[20:40, :30] = 255
    alpha[10:20, 4:30] = 255  # This part ends before the picture does.
    rgb = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    extended = extend_beyond_picture(Image(rgb=rgb), make_thing(alpha))
    assert (extended.left, extended.top) == (16, 0)
    assert extended.image.rgb.shape == (60, 96, 3)
    np.testing.assert_array_equal(extended.thing.alpha[:, 16:], alpha)
    np.testing.assert_array_equal(extended.image.rgb[:, 16:], rgb)
    assert (extended.thing.alpha[20:40, :16] == 255).all()
    np.testing.assert_array_equal(extended.image.rgb[30, 15::-1], rgb[30, :16])
    spaced = np.zeros((60, 80), np.uint8)
    spaced[40:50, :30] = spaced[20:40, 20:30] = spaced[10:20, 4:30] = 255
    extended = extend_beyond_picture(Image(rgb=rgb), make_thing(spaced))
    assert (extended.thing.alpha[40:50, :16] == 255).all()
    assert not extended.thing.alpha[:40, :16].any()


def test_the_shape_keeps_its_size_and_is_mirrored_beyond_the_picture():
    alpha = np.zeros((60, 80), np.uint8)
    alpha[20:40, :40] = 255
    thing = make_thing(alpha)
    extended = extend_beyond_picture(Image(rgb=np.zeros((60, 80, 3), np.uint8)), thing)
    (left, _, side), (_, _, old_side) = frame_around(extended.thing.alpha), frame_around(alpha)
    assert side == pytest.approx(1.4 * old_side, rel=0.03)

    def depth(x: float) -> float:
        """In pixels of the picture, at a column of it."""
        front = extended.thing.geometry.front
        return side * float(np.interp((x + 16 - left) / side * 32 - 0.5, np.arange(32), front[16]))

    for x in (5, 20, 35):
        assert depth(x) == pytest.approx(x - 20, abs=1.0)
    for x in (6, 15):
        assert depth(-x) == pytest.approx(depth(x), abs=1.0)


def test_a_moved_camera_does_not_see_the_cut():
    subject = ball_scene((8, 100))
    camera, warper = input_camera(subject, SIDE), Warper(build_layers(subject, SIDE))
    # The ball, far from the pivot, moves to the right with the camera; where the picture ended is then in the frame.
    pose = on_sphere(np.radians([25.0]), np.zeros(1))
    here = Cameras(world_from_cam=pose, intrinsics=camera.intrinsics, width=SIDE, height=SIDE)
    warped = warper.draw(here)
    red = warped.rgb[100, :, 0] > 0.6
    assert red.sum() > 42
    assert red[: red.sum()].all()
    assert (warped.seen[100, :8] == CONTINUED).all()
    assert (warped.seen[100, 25:35] == SEEN).all()
