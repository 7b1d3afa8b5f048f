"""Quantization by codebooks: numbers by 256 levels, vectors by a palette."""

import numpy as np
from jaxtyping import Float, Float32, Integer

LEVELS = 256
BINS = 1 << 14
"""Steps in which values are counted before levels are placed."""

ITERATIONS = 10

SAMPLE = 40
"""Vectors for each palette entry, of which the entry is the mean; more would hardly move it."""

SEED = 0


def find_levels(values: Float[np.ndarray, "*B"]) -> Float32[np.ndarray, "256"]:
    """Return 256 ascending levels to which values are rounded with a small mean squared error.

    Source: Lloyd 1982, "Least squares quantization in PCM", on a histogram.
    """
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.full(LEVELS, low, np.float32)
    # Unlike np.histogram, this works for neighboring floats.
    bins = ((values.astype(np.float64) - low) * (BINS / (high - low))).astype(np.int32).clip(0, BINS - 1)
    weights = np.bincount(bins.ravel(), minlength=BINS).astype(np.float64)
    centers = low + (np.arange(BINS) + 0.5) * ((high - low) / BINS)
    # The cube root of the density is where the best levels lie (Panter and Dite 1951).
    density = np.cumsum(np.cbrt(np.convolve(weights, np.ones(9) / 9, "same")))
    levels = np.interp((np.arange(LEVELS) + 0.5) / LEVELS * density[-1], density, centers)
    total, moment = np.concatenate([[0], np.cumsum(weights)]), np.concatenate([[0], np.cumsum(weights * centers)])
    for _ in range(ITERATIONS):
        bounds = np.searchsorted(centers, np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]]))
        count, mass = np.diff(total[bounds]), np.diff(moment[bounds])
        levels = np.where(count > 0, mass / np.maximum(count, 1), levels)
    return np.sort(levels).astype(np.float32)


def nearest_level(values: Float[np.ndarray, "*B"], levels: Float32[np.ndarray, "256"]) -> Integer[np.ndarray, "*B"]:
    """Return the index of the nearest of ascending levels."""
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values).astype(np.uint8)


def find_palette(
    vectors: Float32[np.ndarray, "N D"], size: int
) -> tuple[Float32[np.ndarray, "P D"], Integer[np.ndarray, "N"]]:
    """Return a palette of at most `size` vectors, and the index in it for each vector.

    K-means in two levels: a few hundred clusters, and a palette of its own in each, larger where there are more
    vectors. It takes the square root of the time of one level. The same vectors give the same palette.
    """
    generator = np.random.default_rng(SEED)
    if size >= len(vectors):
        return vectors.copy(), np.arange(len(vectors))
    coarse = max(1, round(np.sqrt(size)))
    sample = vectors[np.sort(generator.choice(len(vectors), min(len(vectors), SAMPLE * coarse), replace=False))]
    clusters = nearest_vector(vectors, _means(sample, coarse, generator))
    counts = np.bincount(clusters, minlength=coarse)
    members = np.split(np.argsort(clusters, kind="stable"), np.cumsum(counts)[:-1])
    palette, labels = [], np.empty(len(vectors), np.int64)
    used, left = 0, len(vectors)
    for rows in members:
        if len(rows) == 0:
            continue
        # What rounding takes from one cluster goes to the next.
        own = min(len(rows), max(1, round((size - used) * len(rows) / left)))
        left -= len(rows)
        inside = vectors[rows]
        chosen = inside[:: max(1, len(inside) // (SAMPLE * own))]
        centers = _means(chosen, own, generator)
        labels[rows] = used + nearest_vector(inside, centers)
        palette.append(centers)
        used += len(centers)
    return np.concatenate(palette), labels


def nearest_vector(
    vectors: Float32[np.ndarray, "N D"], centers: Float32[np.ndarray, "P D"]
) -> Integer[np.ndarray, "N"]:
    """Return the index of the nearest center of each vector."""
    half_squares = 0.5 * (centers * centers).sum(1)
    step = max(1, (1 << 22) // len(centers))
    return np.concatenate(
        [(half_squares - vectors[i : i + step] @ centers.T).argmin(1) for i in range(0, len(vectors), step)]
    )


def _means(
    vectors: Float32[np.ndarray, "N D"], count: int, generator: np.random.Generator
) -> Float32[np.ndarray, "P D"]:
    """Return the means of `count` clusters of vectors, by Lloyd's algorithm."""
    if count >= len(vectors):
        return vectors.copy()
    centers = vectors[generator.choice(len(vectors), count, replace=False)].copy()
    for _ in range(ITERATIONS):
        labels = nearest_vector(vectors, centers)
        order = np.argsort(labels, kind="stable")
        sizes = np.bincount(labels, minlength=count)
        full = sizes > 0
        starts = np.concatenate([[0], np.cumsum(sizes[full])[:-1]])
        centers[full] = np.add.reduceat(vectors[order], starts) / sizes[full, None]
    return centers
