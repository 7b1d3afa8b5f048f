import numpy as np
import pytest

pytest.importorskip("numba")

from training.camera_effects import MAX_LIGHT, develop, quantize, take_photo, tone_curve


@pytest.fixture
def linear():
    return (np.random.default_rng(0).random((48, 64, 3)) ** 2 * 1.5).astype(np.float32)


def test_development_follows_its_formula(linear):
    gain, power, saturation = np.array([1.1, 0.9, 1.4]), 0.6, 1.2
    cover = np.random.default_rng(1).random((48, 64)).astype(np.float32)
    toned = (linear * gain) ** power
    toned = np.where(toned > 0.8, 0.8 + 0.2 * np.tanh((toned - 0.8) / 0.2), toned)
    gray = toned.mean(-1, keepdims=True)
    expected = (gray + (toned - gray) * saturation) * cover[..., None] + 1 - cover[..., None]
    # The curve is interpolated linearly.
    np.testing.assert_allclose(develop(linear, gain, tone_curve(power), saturation, cover), expected, atol=1e-4)


def test_light_beyond_the_tone_curve_is_clipped():
    beyond = np.array([[[-1.0, MAX_LIGHT, 1e6]]], np.float32)
    out = develop(beyond, np.ones(3), tone_curve(0.5), 1.0, np.ones((1, 1), np.float32))
    np.testing.assert_allclose(out[0, 0], [0, 1, 1], atol=1e-3)


def test_noise_is_normal_and_determined_by_its_seed():
    gray = np.full((128, 128, 3), 0.5, np.float32)
    noise = quantize(gray, 0.0, 0.04, 7) / 255.0 - 0.5
    assert noise.std() == pytest.approx(0.04, rel=0.02)
    assert abs(noise.mean()) < 0.002
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
    assert (np.abs(noise) < 0.06).mean() == pytest.approx(0.866, abs=0.015)  # Within 1.5 standard deviations.
    assert (quantize(gray, 0.0, 0.04, 8) != quantize(gray, 0.0, 0.04, 7)).mean() > 0.8


def test_images_are_rounded_and_vignetted(linear):
    y, x = np.mgrid[-1:1:48j, -1:1:64j]
    expected = linear * (1 - 0.2 * (x * x + y * y))[..., None]
    difference = quantize(linear, 0.2, 0.0, 0) - (expected.clip(0, 1) * 255 + 0.5).astype(np.uint8).astype(int)
    assert np.abs(difference).max() <= 1  # Rounding may go either way.
    assert (difference != 0).mean() < 1e-3


def test_generator_determines_the_photo_and_objects_are_on_white(linear):
    alpha = np.zeros((48, 64), np.float32)
    alpha[10:40, 10:40] = 1
    seen = set()
    for seed in range(12):
        one, other = (take_photo(linear, np.random.default_rng(seed), alpha=alpha) for _ in range(2))
        np.testing.assert_array_equal(one, other)
        assert one[alpha == 0].mean() > 235  # White with noise and blur.
        seen.add(one.tobytes())
    assert len(seen) == 12
