import cv2
import numpy as np
from skimage import data

from img2world.core.subject import SceneGeometry
from img2world.depth.predict import predict_scene
from img2world.layered.layout import (
    MAX_DEPTH,
    MIN_DEPTH,
    bounded,
    compressed,
    find_layout,
    place_parts,
    segment,
    sky_from_prediction,
)


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


def test_depths_approach_their_bounds_without_a_crease():
    # A floor that comes twice as near as the bound: its inverse depth grows evenly from row to row.
    depth = np.repeat(np.linspace(0.2, 2 / MIN_DEPTH, 96, dtype=np.float32)[:, None], 64, 1)
    found = bounded(depth)
    assert 1 / MAX_DEPTH < found.min() < found.max() < 1 / MIN_DEPTH
    assert (np.diff(found, axis=0) > 0).all()
    np.testing.assert_array_equal(found[(depth > 0.7) & (depth < 1.4)], depth[(depth > 0.7) & (depth < 1.4)])


def test_a_plane_is_still_a_plane_between_the_bounds():
    y, x = np.mgrid[:96, :64] / 64
    found = compressed((0.4 + 2 * y + 0.5 * x).astype(np.float32))
    assert 1 / MAX_DEPTH <= found.min() < found.max() <= 1 / MIN_DEPTH + 1e-6
    for axis in (0, 1):
        np.testing.assert_allclose(np.diff(found, n=2, axis=axis), 0, atol=1e-6)


def test_a_house_stands_upright_on_the_ground():
    y, x = np.mgrid[:128, :192] / 192
    truth = np.maximum(0.8 + 0.4 * (np.abs(x - 0.5) < 0.2), 3 * (y - 0.2)).astype(np.float32)
    rgb = np.full((128, 192, 3), 128, np.uint8)
    ground = place_parts(rgb, geometry(cv2.GaussianBlur(truth, (0, 0), 5)), None, None).ground_inverse_depth
    np.testing.assert_allclose(np.ptp(ground[:76, 96]), 0, atol=1e-5)
    np.testing.assert_allclose(ground[20, 96], 1.2, rtol=0.05)
    np.testing.assert_allclose(np.diff(ground[118:, 96], n=2), 0, atol=1e-5)


def test_outline_of_a_predicted_sky_follows_the_colors():
    y, x = np.mgrid[:128, :192]
    above = y < 68 - 8 * (abs(x - 100) < 12)  # A tower stands before the sky.
    rgb = np.where(above[..., None], (120, 160, 220), (60, 70, 40)).astype(np.uint8)
    rgb[20:24, 30:36] = 40  # A bird.
    predicted = cv2.GaussianBlur((y < 64).astype(np.float32), (0, 0), 4)
    predicted[16:28, 26:40] = 0
    sky = sky_from_prediction(predicted, rgb)
    assert sky is not None
    assert ((sky > 0.5) == above).mean() > 0.985
    assert (sky[62:68, 92:108] < 0.5).all()
    assert (sky[16:28, 26:40] > 0.5).all()


def test_sky_continues_behind_the_subject():
    shape = (128, 128)
    subject, predicted = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    subject[20:110, 50:80], predicted[:64] = 1, 1
    predicted[subject > 0] = 0
    rgb = np.full((*shape, 3), (120, 160, 220), np.uint8)
    rgb[64:] = (60, 70, 40)
    layout = place_parts(rgb, geometry(np.ones(shape, np.float32), sky=predicted), None, subject)
    assert layout.sky is not None
    assert layout.sky[:56].min() > 0.9
    assert layout.sky[72:].max() < 0.1


def test_colors_of_sky_count_only_beside_a_predicted_sky():
    shape = (128, 128)
    rgb = np.full((*shape, 3), 200, np.uint8)
    rgb[64:] = 60
    rgb[:80, :50] = 190  # A plain wall reaches farther down than the sky.
    by_color, predicted = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    by_color[:64], by_color[:80, :50] = 1, 1
    predicted[:64, 60:] = 1
    layout = place_parts(rgb, geometry(np.ones(shape, np.float32), sky=predicted), by_color, None)
    assert layout.sky is not None
    assert layout.sky[:56, 70:].min() > 0.9
    assert layout.sky[:, :40].max() < 0.1
    np.testing.assert_allclose(layout.ground_inverse_depth[:, :40], 1, atol=0.02)


def test_ground_is_smoother_than_the_prediction_and_the_subject_is_not():
    shape = (128, 128)
    rng = np.random.default_rng(0)
    depth = np.exp(cv2.GaussianBlur(rng.normal(0, 1, shape).astype(np.float32), (0, 0), 1.5))
    layout = place_parts(np.full((*shape, 3), 128, np.uint8), geometry(depth), None, None)
    roughness = [np.abs(np.diff(values, axis=1)).mean() for values in (layout.ground_inverse_depth, depth)]
    assert roughness[0] < 0.5 * roughness[1]
    assert np.abs(np.diff(layout.subject_inverse_depth, axis=1)).mean() > 1.5 * roughness[0]


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
    known = np.full(shape, 0.6, np.float32)
    known[subject > 0.5] = 1.4
    rgb = np.round(255 * np.repeat(subject[..., None], 3, -1)).astype(np.uint8)
    layout = place_parts(rgb, geometry(known), None, subject)
    np.testing.assert_allclose(layout.ground_inverse_depth, 0.6, atol=0.02)
    np.testing.assert_allclose(layout.subject_inverse_depth, 1.4, atol=0.04)


def test_subject_is_never_behind_the_ground():
    shape = (64, 64)
    subject = np.zeros(shape, np.float32)
    subject[20:50, 20:50] = 1
    known = np.ones(shape, np.float32)
    known[subject > 0.5] = 0.6
    rgb = np.round(255 * np.repeat(subject[..., None], 3, -1)).astype(np.uint8)
    layout = place_parts(rgb, geometry(known), None, subject)
    assert (layout.subject_inverse_depth >= layout.ground_inverse_depth).all()


def test_a_close_up_is_not_folded():
    """The same ramp is folded to a plane in a scene, and stays as predicted, but smooth, in a close-up."""
    y, x = np.mgrid[:72, :96].astype(np.float32)
    bump = (0.6 + 0.5 * np.exp(-((x - 48) ** 2 + (y - 36) ** 2) / 400)).astype(np.float32)
    rgb = np.full((72, 96, 3), 128, np.uint8)
    scene, close_up = (
        find_layout(rgb, geometry(bump), is_close_up=flag).ground_inverse_depth for flag in (False, True)
    )
    assert np.corrcoef(close_up.ravel(), bump.ravel())[0, 1] > 0.98
    assert np.ptp(scene[10:60], axis=0).max() < np.ptp(close_up[10:60], axis=0).max()
