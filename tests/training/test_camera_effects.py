import numpy as np
import pytest

pytest.importorskip("numba")

from training.camera_effects import BRIGHTEST, developed, eight_bits, photographed, tone_curve


@pytest.fixture
def linear():
    return (np.random.default_rng(0).random((48, 64, 3)) ** 2 * 1.5).astype(np.float32)


def test_development_is_what_its_formula_says(linear):
    gain, power, saturation = np.array([1.1, 0.9, 1.4]), 0.6, 1.2
    cover = np.random.default_rng(1).random((48, 64)).astype(np.float32)
    toned = (linear * gain) ** power
    toned = np.where(toned > 0.8, 0.8 + 0.2 * np.tanh((toned - 0.8) / 0.2), toned)
    gray = toned.mean(-1, keepdims=True)
    expected = (gray + (toned - gray) * saturation) * cover[..., None] + 1 - cover[..., None]
    # The curve is straight between its entries.
    np.testing.assert_allclose(developed(linear, gain, tone_curve(power), saturation, cover), expected, atol=1e-4)


def test_light_beyond_the_tone_curve_is_white_and_below_it_black():
    beyond = np.array([[[-1.0, BRIGHTEST, 1e6]]], np.float32)
    out = developed(beyond, np.ones(3), tone_curve(0.5), 1.0, np.ones((1, 1), np.float32))
    np.testing.assert_allclose(out[0, 0], [0, 1, 1], atol=1e-3)


def test_noise_is_normal_and_its_own_for_each_number():
    gray = np.full((128, 128, 3), 0.5, np.float32)
    noise = eight_bits(gray, 0.0, 0.04, 7) / 255.0 - 0.5
    assert noise.std() == pytest.approx(0.04, rel=0.02)
    assert abs(noise.mean()) < 0.002
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
    assert (np.abs(noise) < 0.06).mean() == pytest.approx(0.866, abs=0.015)  # within 1.5 deviations
    assert (eight_bits(gray, 0.0, 0.04, 8) != eight_bits(gray, 0.0, 0.04, 7)).mean() > 0.8


def test_pictures_are_rounded_and_darker_towards_their_corners(linear):
    y, x = np.mgrid[-1:1:48j, -1:1:64j]
    expected = linear * (1 - 0.2 * (x * x + y * y))[..., None]
    difference = eight_bits(linear, 0.2, 0.0, 0) - (expected.clip(0, 1) * 255 + 0.5).astype(np.uint8).astype(int)
    assert np.abs(difference).max() <= 1  # where rounding falls either way
    assert (difference != 0).mean() < 1e-3


def test_the_same_generator_gives_the_same_picture_and_an_objects_is_before_white(linear):
    alpha = np.zeros((48, 64), np.float32)
    alpha[10:40, 10:40] = 1
    seen = set()
    for seed in range(12):
        one, other = (photographed(linear, np.random.default_rng(seed), alpha=alpha) for _ in range(2))
        np.testing.assert_array_equal(one, other)
        assert one[alpha == 0].mean() > 235  # white with noise and blur
        seen.add(one.tobytes())
    assert len(seen) == 12
