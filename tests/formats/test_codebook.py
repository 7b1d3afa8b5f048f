import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from img2world.formats.codebook import find_levels, find_palette, nearest_level, nearest_vector


@pytest.mark.parametrize(
    "values",
    [
        np.float32([3.5]),
        np.full(1000, -7, np.float32),
        np.float32([1, np.nextafter(np.float32(1), np.float32(2))]),
        np.linspace(1, 1.0005, 5000, dtype=np.float32),
        np.float32([-20, 20]),
        np.float32([0, 1e-38, 1e-40]),
    ],
)
def test_few_or_nearly_equal_values_are_kept(values):
    levels = find_levels(values)
    assert levels.shape == (256,)
    assert (np.diff(levels) >= 0).all()
    found = levels[nearest_level(values, levels)]
    extent = float(values.max()) - float(values.min())
    np.testing.assert_allclose(found, values, rtol=1e-6, atol=extent / 400 if len(values) > 3 else extent / 16_000)


@pytest.mark.parametrize("kind", ["normal", "uniform", "exponential", "two clusters"])
def test_levels_are_as_good_as_those_of_scipy(kind):
    """The mean squared error is at most a fifth above k-means of SciPy on all values."""
    rng = np.random.default_rng(1)
    values = {
        "normal": rng.normal(size=6000),
        "uniform": rng.uniform(-1, 1, 6000),
        "exponential": rng.exponential(size=6000),
        "two clusters": np.concatenate([rng.normal(0, 0.01, 3000), rng.normal(9, 0.3, 3000)]),
    }[kind].astype(np.float32)
    levels = find_levels(values)
    ours = np.mean((levels[nearest_level(values, levels)] - values) ** 2)
    start = np.quantile(values, np.linspace(0, 1, 256))
    centers, labels = kmeans2(values.astype(float), start, iter=15, minit="matrix", seed=1)
    assert ours < 1.2 * np.mean((centers[labels] - values) ** 2)


def test_the_nearest_level_is_the_nearest():
    rng = np.random.default_rng(2)
    levels, values = np.sort(rng.normal(size=256)).astype(np.float32), rng.normal(size=(50, 3)).astype(np.float32)
    expected = np.abs(values[..., None] - levels).min(-1)
    np.testing.assert_array_equal(np.abs(levels[nearest_level(values, levels)] - values), expected)


def test_a_palette_that_is_large_enough_holds_every_vector():
    vectors = np.random.default_rng(3).normal(size=(50, 9)).astype(np.float32)
    palette, labels = find_palette(vectors, 64)
    np.testing.assert_array_equal(palette[labels], vectors)


def test_the_nearest_vector_is_the_nearest():
    rng = np.random.default_rng(4)
    vectors, centers = rng.normal(size=(300, 9)).astype(np.float32), rng.normal(size=(20, 9)).astype(np.float32)
    distances = np.linalg.norm(vectors[:, None] - centers, axis=2)
    found = distances[np.arange(300), nearest_vector(vectors, centers)]
    np.testing.assert_allclose(found, distances.min(1), rtol=1e-6)


def test_palettes_are_nearly_as_good_as_those_of_scipy():
    """Two levels cost at most a seventh of quality, for the square root of the time."""
    vectors = np.random.default_rng(5).normal(size=(8000, 9)).astype(np.float32)
    vectors[:, 3:] *= 0.3
    palette, labels = find_palette(vectors, 256)
    assert len(palette) <= 256
    assert labels.max() < len(palette)
    ours = np.mean((palette[labels] - vectors) ** 2)
    centers, theirs = kmeans2(vectors, 256, iter=10, minit="points", seed=1)
    assert ours < 1.15 * np.mean((centers[theirs] - vectors) ** 2)
    again = find_palette(vectors, 256)
    np.testing.assert_array_equal(again[0], palette)


@pytest.mark.parametrize("count", [2, 5, 300])
def test_equal_vectors_share_a_palette(count):
    vectors = np.zeros((1000, 9), np.float32)
    vectors[:3] = 1
    palette, labels = find_palette(vectors, count)
    assert len(palette) <= count
    np.testing.assert_allclose(palette[labels], vectors, atol=0.7 if count < 5 else 1e-6)
