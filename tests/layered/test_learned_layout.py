import numpy as np
from skimage import data

from img2world.depth.predict import SceneGuess
from img2world.layered import learned_layout
from img2world.layered.layout import Layout, layout_of
from img2world.layered.learned_layout import FARTHEST, NEAREST, with_learned_depth


def told(inverse_depth, sky=None):
    """A guess whose depths are known."""
    shape = inverse_depth.shape
    return SceneGuess(inverse_depth=inverse_depth, sky=np.zeros(shape, np.float32) if sky is None else sky)


def parts(inverse_depth, *, sky=None, subject=None):
    """A layout before its depths are learned."""
    return Layout(
        ground=inverse_depth, sky=sky, subject=subject, subject_inverse_depth=inverse_depth,
        sky_inverse_depth=inverse_depth,
    )  # fmt: skip


def test_depths_are_bounded_and_parts_kept():
    rgb = data.rocket()
    layout = layout_of(rgb)
    learned = with_learned_depth(layout, rgb)
    for values in (learned.ground, learned.subject_inverse_depth):
        assert values.dtype == np.float32
        assert 1 / FARTHEST - 1e-3 <= values.min() <= values.max() <= 1.1 / NEAREST
    assert learned.subject is layout.subject


def test_a_sky_is_far_and_a_wall_is_where_it_is(monkeypatch):
    shape = (128, 128)
    rgb = np.full((*shape, 3), 200, np.uint8)
    rgb[64:] = 60
    upper = np.zeros(shape, np.float32)
    upper[:64] = 1
    depth = np.where(upper > 0, 0.8, 1.2).astype(np.float32)
    for found in (None, upper):
        layout = parts(depth, sky=found)
        monkeypatch.setattr(learned_layout, "guess_scene", lambda rgb: told(depth, sky=upper))
        seen = with_learned_depth(layout, rgb)
        assert seen.sky is not None
        assert seen.sky[:56].min() > 0.9 > 0.1 > seen.sky[72:].max()
        np.testing.assert_allclose(seen.ground[80:], 1.2, atol=0.01)
        np.testing.assert_allclose(seen.sky_inverse_depth[:40], 1 / FARTHEST, atol=0.01)
        monkeypatch.setattr(learned_layout, "guess_scene", lambda rgb: told(depth))
        wall = with_learned_depth(layout, rgb)
        # What the layout takes for a sky may be a wall to the network, and then is one surface with the rest.
        assert wall.sky is None
        np.testing.assert_allclose(wall.ground[:40], 0.8, atol=0.01)


def test_what_is_hardly_a_sky_keeps_its_depth(monkeypatch):
    shape = (128, 128)
    rgb = np.full((*shape, 3), 200, np.uint8)
    depth = np.ones(shape, np.float32)
    petal = np.zeros(shape, np.float32)
    petal[20:50, 40:70] = 0.4
    monkeypatch.setattr(learned_layout, "guess_scene", lambda rgb: told(depth, sky=petal))
    seen = with_learned_depth(parts(depth), rgb)
    assert seen.sky is None
    np.testing.assert_allclose(seen.ground, 1, atol=1e-3)


def test_what_is_behind_a_subject_joins_what_is_beside_it(monkeypatch):
    shape = (96, 128)
    subject = np.zeros(shape, np.float32)
    subject[20:90, 50:80] = 1
    known = np.full(shape, 0.5, np.float32)
    known[subject > 0.5] = 1.8
    monkeypatch.setattr(learned_layout, "guess_scene", lambda rgb: told(known))
    layout = parts(known, subject=subject)
    learned = with_learned_depth(layout, np.zeros((*shape, 3), np.uint8))
    np.testing.assert_allclose(learned.ground, 0.5, atol=0.01)
    np.testing.assert_allclose(learned.subject_inverse_depth, 1.8, atol=0.01)


def test_a_subject_is_never_behind_the_rest(monkeypatch):
    shape = (64, 64)
    subject = np.zeros(shape, np.float32)
    subject[20:50, 20:50] = 1
    known = np.ones(shape, np.float32)
    known[subject > 0.5] = 0.6
    monkeypatch.setattr(learned_layout, "guess_scene", lambda rgb: told(known))
    layout = parts(known, subject=subject)
    learned = with_learned_depth(layout, np.zeros((*shape, 3), np.uint8))
    assert (learned.subject_inverse_depth >= learned.ground).all()
