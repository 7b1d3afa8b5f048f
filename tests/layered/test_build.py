import numpy as np

from img2world.layered.build import build_layers, input_camera
from img2world.layered.layers import SEEN
from img2world.layered.warp import Warper


def test_input_camera_sees_the_photo_alone(ball, coffee):
    for made in (ball, coffee):
        camera = input_camera(made.subject, max(made.camera.width, made.camera.height))
        warped = Warper(made.layered).draw(camera, supersample=1)
        assert (warped.seen[warped.alpha > 0] == SEEN).mean() > 0.98
    assert (ball.camera.width, ball.camera.height) == (96, 96)
    assert (coffee.camera.width, coffee.camera.height) == (160, 106)


def test_plain_layers_have_the_shapes_of_the_textured_ones(coffee):
    plain = build_layers(coffee.subject, 160, textured=False)
    assert len(plain.layers) == len(coffee.layered.layers)
    changed = 0
    for one, other in zip(plain.layers, coffee.layered.layers, strict=True):
        for name in ("vertices_in_world", "faces", "alphas", "texture_xy", "blur", "seen"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        changed += (one.texture != other.texture).any(-1).sum()
    assert changed > 0
