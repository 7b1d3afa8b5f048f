import numpy as np
from skimage import data

from img2world.core.subject import SceneGeometry
from img2world.depth.predict import predict_scene
from img2world.layered.layout import MAX_DEPTH, MIN_DEPTH, place_parts, segment


def geometry(inverse_depth, sky=None):
    """The geometry of a scene, without sky unless given."""
    return SceneGeometry(inverse_depth=inverse_depth, sky=np.zeros_like(inverse_depth) if sky is None else sky)


def test_depths_are_bounded_and_parts_kept():
    rgb = data.rocket()
    sky, subject = segment(rgb)
    layout = place_parts(rgb, predict_scene(rgb), sky, subject)
    for values in (layout.ground_inverse_depth, layout.subject_inverse_depth):
        assert values.dtype == np.float32
        assert 1 / MAX_DEPTH - 1e-3 <= values.min() <= values.max() <= 1.1 / MIN_DEPTH
    assert layout.subject is subject


def test_sky_is_far_and_a_wall_keeps_its_depth():
    shape = (128, 128)
    rgb = np.full((*shape, 3), 200, np.uint8)
    rgb[64:] = 60
    upper = np.zeros(shape, np.float32)
    upper[:64] = 1
    depth = np.where(upper > 0, 0.8, 1.2).astype(np.float32)
    for found in (None, upper):
        seen = place_parts(rgb, geometry(depth, sky=upper), found, None)
        assert seen.sky is not None
        assert seen.sky[:56].min() > 0.9 > 0.1 > seen.sky[72:].max()
        np.testing.assert_allclose(seen.ground_inverse_depth[80:], 1.2, atol=0.01)
        np.testing.assert_allclose(seen.sky_inverse_depth[:40], 1 / MAX_DEPTH, atol=0.01)
        wall = place_parts(rgb, geometry(depth), found, None)
        # What the layout takes for a sky may be a wall to the network, and then is one surface with the rest.
        assert wall.sky is None
        np.testing.assert_allclose(wall.ground_inverse_depth[:40], 0.8, atol=0.01)


def test_uncertain_sky_keeps_its_depth():
    shape = (128, 128)
    rgb = np.full((*shape, 3), 200, np.uint8)
    depth = np.ones(shape, np.float32)
    petal = np.zeros(shape, np.float32)
    petal[20:50, 40:70] = 0.4
    seen = place_parts(rgb, geometry(depth, sky=petal), None, None)
    assert seen.sky is None
    np.testing.assert_allclose(seen.ground_inverse_depth, 1, atol=1e-3)


def test_ground_continues_behind_the_subject():
    shape = (96, 128)
    subject = np.zeros(shape, np.float32)
    subject[20:90, 50:80] = 1
    known = np.full(shape, 0.5, np.float32)
    known[subject > 0.5] = 1.8
    rgb = np.round(255 * np.repeat(subject[..., None], 3, -1)).astype(np.uint8)
    layout = place_parts(rgb, geometry(known), None, subject)
    np.testing.assert_allclose(layout.ground_inverse_depth, 0.5, atol=0.02)
    np.testing.assert_allclose(layout.subject_inverse_depth, 1.8, atol=0.04)


def test_subject_is_never_behind_the_ground():
    shape = (64, 64)
    subject = np.zeros(shape, np.float32)
    subject[20:50, 20:50] = 1
    known = np.ones(shape, np.float32)
    known[subject > 0.5] = 0.6
    rgb = np.round(255 * np.repeat(subject[..., None], 3, -1)).astype(np.uint8)
    layout = place_parts(rgb, geometry(known), None, subject)
    assert (layout.subject_inverse_depth >= layout.ground_inverse_depth).all()
