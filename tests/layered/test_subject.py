import numpy as np
import pytest

from img2world.core.errors import ImageError
from img2world.core.image import Image
from img2world.core.subject import ObjectGeometry, SceneGeometry
from img2world.layered.subject import OBJECT_SIDE, AutoSubject


def test_kind_overrules_what_the_picture_looks_like(shapes, coffee):
    cut_out = shapes.ball_picture((255, 255, 255), alpha=True)
    scene = AutoSubject(kind="scene", model="none").find(cut_out)
    assert not scene.is_object
    assert "options" in scene.reason
    # A picture without a free object is one as a whole.
    whole = AutoSubject(kind="object", model="none").find(coffee.subject.image)
    np.testing.assert_array_equal(whole.alpha, np.full(coffee.subject.image.rgb.shape[:2], 255))
    assert "options" in whole.reason
    # An object that is found keeps its outline.
    np.testing.assert_array_equal(AutoSubject(kind="object").find(cut_out).alpha, cut_out.alpha)


def test_geometry_is_that_of_what_was_found(ball, coffee):
    assert isinstance(ball.subject.geometry, ObjectGeometry)
    assert isinstance(coffee.subject.geometry, SceneGeometry)
    np.testing.assert_array_equal(ball.subject.alpha, ball.subject.image.alpha)
    assert coffee.subject.alpha is None
    assert coffee.subject.geometry.sky.mean() < 0.05  # a table
    assert np.median(coffee.subject.geometry.inverse_depth) == pytest.approx(1, abs=0.05)


def test_a_ball_is_predicted_as_a_ball_in_the_frame_of_its_cut_out(ball):
    geometry = ball.subject.geometry
    assert geometry.front.shape == geometry.thickness.shape == (OBJECT_SIDE, OBJECT_SIDE)
    y, x = np.mgrid[:OBJECT_SIDE, :OBJECT_SIDE] + 0.5 - OBJECT_SIDE / 2
    radius = np.hypot(x, y) / OBJECT_SIDE
    center, rim = radius < 0.1, (radius > 0.3) & (radius < 0.35)
    assert geometry.front[center].mean() < geometry.front[rim].mean() - 0.05
    assert geometry.thickness[center].mean() > geometry.thickness[rim].mean() + 0.05


def test_what_stands_out_is_lifted_off_a_scene_or_is_the_object(coffee):
    assert AutoSubject(model="none").find(coffee.subject.image).foreground == ()
    (cup,) = coffee.subject.foreground
    assert 0.3 < (cup.alpha > 127).mean() < 0.6
    as_object = AutoSubject(kind="object").find(coffee.subject.image)
    np.testing.assert_array_equal(as_object.alpha, cup.alpha)


@pytest.mark.parametrize("width", [1, 3])
def test_a_wire_is_refused_in_one_line(width):
    alpha = np.zeros((400, 400), np.uint8)
    alpha[20:380, 200 : 200 + width] = 255
    with pytest.raises(ImageError, match="too thin"):
        AutoSubject().find(Image(rgb=np.full((400, 400, 3), 90, np.uint8), alpha=alpha))


def test_a_strip_of_a_picture_is_a_scene_without_things():
    rgb = np.random.default_rng(0).integers(0, 256, (900, 24, 3)).astype(np.uint8)
    rgb[300:600, 4:20] = 255
    assert AutoSubject(kind="scene").find(Image(rgb=rgb)).foreground == ()
