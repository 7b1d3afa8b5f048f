from functools import cache

import cv2
import numpy as np
import pytest
from skimage import data

from img2world.core.errors import ImageError
from img2world.core.image import Image
from img2world.layered.foreground import (
    add_salient_parts,
    find_foreground,
    find_object,
    fit_backdrop,
    flood_smooth,
    has_clear_outline,
    refine_outline,
)


@cache
def photo_foreground(name: str) -> list:
    """Return what stands out in a sample photo."""
    return find_foreground(Image(rgb=getattr(data, name)()), "builtin")


@pytest.mark.parametrize("background", [(255, 255, 255), (128, 128, 128), (30, 60, 110)])
def test_object_in_front_of_a_plain_background_is_found(background, shapes):
    picture = shapes.ball_picture(background)
    alpha, _ = find_object(picture, "builtin")
    truth = shapes.disc(160, 48)
    assert alpha is not None
    mask = alpha > 127
    assert (mask & truth).sum() / (mask | truth).sum() > 0.96


def test_gradient_backdrop_with_soft_shadow_is_not_the_object(shapes):
    picture = shapes.ball_picture((200, 200, 200))
    y, x = np.mgrid[:160, :160]
    backdrop = 235 - 40 * (y / 160) ** 2
    shadow = 30 * np.exp(-(((x - 80) / 45) ** 2 + ((y - 135) / 10) ** 2))
    truth = shapes.disc(160, 48)
    rgb = np.where(truth[..., None], picture.rgb, (backdrop - shadow)[..., None]).astype(np.uint8)
    alpha, _ = find_object(Image(rgb=rgb), "builtin")
    assert alpha is not None
    mask = alpha > 127
    assert (mask & truth).sum() / (mask | truth).sum() > 0.93


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea", "rocket", "brick", "hubble_deep_field"])
def test_photos_without_a_free_object_are_scenes(name):
    picture = getattr(data, name)()
    rgb = picture if picture.ndim == 3 else np.dstack([picture] * 3)
    assert find_object(Image(rgb=rgb), "builtin")[0] is None


def test_transparent_picture_is_refused():
    empty = Image(rgb=np.zeros((40, 40, 3), np.uint8), alpha=np.zeros((40, 40), np.uint8))
    with pytest.raises(ImageError, match="transparent"):
        find_object(empty, "builtin")


def test_own_alpha_wins_over_the_background(shapes):
    picture = shapes.ball_picture((255, 255, 255), alpha=True)
    half = picture.alpha.copy()
    half[:80] = 0
    alpha, reason = find_object(Image(rgb=picture.rgb, alpha=half), "builtin")
    np.testing.assert_array_equal(alpha, half)
    assert "alpha" in reason


def test_a_ring_keeps_its_hole_and_a_patch_of_the_background_color_is_no_hole(shapes):
    ring = shapes.disc(160, 56) & ~shapes.disc(160, 28)
    rgb = np.where(ring[..., None], (200, 60, 30), (240, 240, 240)).astype(np.uint8)
    alpha, _ = find_object(Image(rgb=rgb), "builtin")
    np.testing.assert_array_equal(alpha[shapes.disc(160, 25)], 0)
    speck = shapes.disc(160, 1.5)
    rgb = np.where((shapes.disc(160, 56) & ~speck)[..., None], (200, 60, 30), (240, 240, 240)).astype(np.uint8)
    alpha, _ = find_object(Image(rgb=rgb), "builtin")
    assert alpha[speck].min() > 200


def test_parts_with_the_color_of_the_background_are_found_by_the_network():
    """A cup in front of a wall of its own color."""
    photo = data.coffee()
    truth, *_ = photo_foreground("coffee")
    opacity = truth[..., None] / np.float32(255)
    paint = np.median(photo[truth == 255], axis=0)
    picture = Image(rgb=np.round(opacity * photo + (1 - opacity) * paint).astype(np.uint8))
    overlaps = {}
    for model in ("none", "builtin"):
        alpha, _ = find_object(picture, model)
        assert alpha is not None
        overlaps[model] = ((alpha > 127) & (truth > 127)).sum() / ((alpha > 127) | (truth > 127)).sum()
    assert overlaps["none"] < 0.9
    assert overlaps["builtin"] > 0.95


def test_salient_parts_are_added_but_gaps_and_neighbors_are_not(shapes):
    body = shapes.disc(320, 120)
    belly, gap, neighbor = (np.zeros((320, 320), bool) for _ in range(3))
    belly[140:280, 90:150] = True  # reaches the outline: no hole that could be closed by its shape
    gap[60:200, 200:203] = True
    neighbor[4:24, 4:24] = True
    saliency = np.where(body | neighbor, 0.97, 0.02).astype(np.float32)
    found = add_salient_parts(body & ~belly & ~gap, saliency)
    np.testing.assert_array_equal(found, body & ~gap)
    handle = shapes.disc(320, 40)
    np.testing.assert_array_equal(
        add_salient_parts(body & ~handle, np.where(handle, np.float32(0.3), saliency)), body & ~handle
    )


def test_backdrop_is_the_quadratic_that_made_it_despite_an_object_at_the_border():
    y, x = np.mgrid[-1:1:80j, -1:1:120j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    truth = terms @ np.array([[70, 3, -4], [5, 1, 0], [-8, 0, 2], [4, -1, 1], [-3, 1, 1], [6, 0, -2]])
    lab = truth.astype(np.float32)
    lab[60:, 50:66] += (-40, 30, 20)
    np.testing.assert_allclose(fit_backdrop(lab), truth, atol=1e-3)
    assert fit_backdrop(np.random.default_rng(0).uniform(0, 80, (80, 120, 3)).astype(np.float32)) is None


def test_flooding_follows_slopes_and_stops_at_steps():
    lightness = np.tile(np.linspace(20, 80, 120, dtype=np.float32), (60, 1))  # half a unit per pixel
    lightness[20:40, 30:90] += 15
    start = np.zeros(lightness.shape, bool)
    start[0] = True
    reached = flood_smooth(lightness, start)
    plateau = np.zeros_like(reached)
    plateau[20:40, 30:90] = True
    np.testing.assert_array_equal(reached, ~plateau)


@pytest.mark.parametrize(
    ("name", "inside", "outside"), [("coffee", (200, 250), (50, 550)), ("astronaut", (300, 200), (30, 400))]
)
def test_what_stands_out_in_a_photo_is_cut_out(name, inside, outside):
    (alpha, *_) = photo_foreground(name)
    assert (alpha[inside], alpha[outside]) == (255, 0)
    assert ((alpha > 5) & (alpha < 250)).mean() < 0.05


@pytest.mark.parametrize("name", ["brick", "hubble_deep_field", "grass"])
def test_nothing_stands_out_in_a_texture(name):
    picture = getattr(data, name)()
    assert find_foreground(Image(rgb=picture if picture.ndim == 3 else np.dstack([picture] * 3)), "builtin") == []


def test_an_outline_snaps_to_the_edge_of_the_picture(shapes):
    """Red on green of the same gray, which a filter guided by brightness could not tell apart."""
    inside = shapes.disc(160, 48)
    rgb = np.where(inside[..., None], (180, 60, 60), (60, 111, 60)).astype(np.uint8)
    coarse = cv2.GaussianBlur(shapes.disc(160, 50).astype(np.float32), (0, 0), 3)
    mask = refine_outline(coarse, rgb, band=6.0) > 127
    errors = [(found ^ inside).sum() / inside.sum() for found in (coarse > 0.5, mask)]
    assert errors[0] > 0.05
    assert errors[1] < 0.005


@pytest.mark.parametrize(("step", "clear"), [(90, True), (25, True), (6, False), (0, False)])
def test_an_outline_is_clear_where_the_picture_has_an_edge(step, clear):
    rng = np.random.default_rng(0)
    inside = np.hypot(*(np.mgrid[:200, :300] - np.array([100, 150])[:, None, None])) < 60
    rgb = np.clip(120 + rng.normal(0, 12, (200, 300, 3)) + step * inside[..., None], 0, 255).astype(np.uint8)
    assert has_clear_outline((255 * inside).astype(np.uint8), rgb) == clear


def test_a_face_that_fills_the_picture_stays_in_the_scene(photo_subject):
    """The network's outline runs through the fur, where nothing ends."""
    (cat, *_), (astronaut, *_) = photo_foreground("chelsea"), photo_foreground("astronaut")
    assert not has_clear_outline(cat, data.chelsea())
    assert has_clear_outline(astronaut, data.astronaut())
    subjects = [photo_subject(name) for name in ("chelsea", "astronaut")]
    assert [(subject.is_close_up, len(subject.foreground)) for subject in subjects] == [(True, 0), (False, 1)]
