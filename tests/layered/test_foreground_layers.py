"""A ball on a plane, of which everything is known."""

import cv2
import numpy as np
import pytest

from img2world.core.camera_paths import arc
from img2world.core.cameras import Cameras
from img2world.core.image import Image
from img2world.core.subject import Foreground, ObjectGeometry, SceneGeometry, Subject
from img2world.layered.build import build_layers, input_camera
from img2world.layered.foreground_layers import layers_of_thing, place, push_behind
from img2world.layered.layers import CONTINUED, SEEN
from img2world.layered.object_layers import OBJECT_FRACTION
from img2world.layered.warp import Warper

SIDE = 200
FIELD = np.full((SIDE, SIDE), 2.0, np.float32)


def ball_geometry(size: int = 64) -> ObjectGeometry:
    """The front and thickness of a ball in the frame of its cut-out."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    depth = np.sqrt(np.maximum((OBJECT_FRACTION / 2) ** 2 - x**2 - y**2, 0)).astype(np.float32)
    return ObjectGeometry(
        front=-depth,
        thickness=2 * depth,
        predicted_error=np.zeros_like(depth),
        symmetry_planes=np.eye(37, dtype=np.float32)[36],
        elevation=0.0,
    )


def ball_scene(center: tuple[int, int], radius: int = 30) -> Subject:
    """A red ball on a plain of green and blue stripes, which recedes upward."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = np.hypot(x - center[0], y - center[1]) < radius
    stripes = np.where((x // 10 % 2 == 0)[..., None], (40, 140, 60), (50, 70, 160))
    rgb = np.where(inside[..., None], (220, 40, 30), stripes).astype(np.uint8)
    thing = Foreground(alpha=np.where(inside, 255, 0).astype(np.uint8), geometry=ball_geometry())
    rising = np.repeat(np.linspace(0.3, 1.5, 24, dtype=np.float32)[:, None], 24, 1)
    field = SceneGeometry(inverse_depth=rising, sky=np.zeros((24, 24), np.float32))
    return Subject(image=Image(rgb=rgb), alpha=None, reason="", geometry=field, foreground=(thing,))


def test_a_thing_stands_where_it_touches_the_ground():
    subject = ball_scene((100, 90))
    camera = input_camera(subject, SIDE)
    # The ground comes nearer farther down; the ball touches it at its lowest point, row 120.
    ground = np.repeat(np.linspace(6, 1, SIDE, dtype=np.float32)[:, None], SIDE, 1)
    thing = place(camera, subject.image, subject.foreground[0], ground)
    size = len(thing.front)
    middle = 0.5 * (thing.front + thing.back)[size // 2, size // 2]
    assert middle == pytest.approx(ground[119, 100], rel=0.03)
    # It is as thick as it is wide: 60 pixels.
    width = 60 / camera.intrinsics[0, 0, 0] * middle
    assert (thing.back - thing.front)[size // 2, size // 2] == pytest.approx(width, rel=0.08)


def test_a_thing_that_the_picture_cuts_off_is_nearer_than_what_is_behind_it():
    subject = ball_scene((100, 190))
    thing = place(input_camera(subject, SIDE), subject.image, subject.foreground[0], FIELD)
    inside = thing.cut.alpha > 0.5
    assert np.median(thing.back[inside]) < 2


def test_the_scene_is_pushed_behind_its_things_and_kept_elsewhere():
    subject = ball_scene((100, 90))
    camera = input_camera(subject, SIDE)
    thing = place(camera, subject.image, subject.foreground[0], FIELD)
    pushed = push_behind(np.minimum(FIELD, 1.0), [thing])
    size = len(thing.front)
    assert pushed[90, 100] > thing.front[size // 2, size // 2]
    np.testing.assert_array_equal(pushed[:50], 1.0)
    np.testing.assert_array_equal(pushed[:, :60], 1.0)


def test_the_photo_is_unchanged_from_its_own_camera_and_the_ball_moves_before_its_background():
    subject = ball_scene((100, 90))
    camera = input_camera(subject, SIDE)
    layered = build_layers(subject, SIDE)
    warper = Warper(layered)

    def look(pose):
        here = Cameras(world_from_cam=pose[None], intrinsics=camera.intrinsics, width=SIDE, height=SIDE)
        return warper.draw(here)

    poses = arc(8, half_azimuth=0.15)
    front, side = look(poses[0]), look(poses[2])
    assert (front.seen == SEEN).mean() > 0.999
    assert np.abs(front.rgb - subject.image.rgb / 255).mean() < 0.02
    red = side.rgb[..., 0] > 0.6
    assert red.sum() == pytest.approx(np.pi * 30**2, rel=0.15)  # It turns, and is as wide as before.
    assert side.depth[red].mean() < np.median(side.depth[60:120, :40])
    # The background slides behind it, and has none of its red where it was hidden.
    near, around = (cv2.dilate(red.astype(np.uint8), np.ones((n, n), np.uint8)) > 0 for n in (5, 25))
    continued = around & ~near & (side.seen == CONTINUED)
    assert continued.sum() > 50
    assert side.rgb[continued][:, 0].max() < 0.4


def test_layers_are_the_photo_in_front_and_plain_behind():
    subject = ball_scene((100, 90))
    camera = input_camera(subject, SIDE)
    front, back = layers_of_thing(camera, place(camera, subject.image, subject.foreground[0], FIELD))
    assert (front.seen == SEEN).all()
    assert (back.seen == 0).all()
    assert len(front.faces) == len(back.faces)
