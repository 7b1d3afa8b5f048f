"""Similarity of pictures by their own features: VLAD with a codebook made of the same pictures.

Source: Jégou, Douze, Schmid and Pérez, "Aggregating local descriptors into a compact image representation", CVPR 2010,
with the normalization within clusters of Arandjelović and Zisserman, "All about VLAD", CVPR 2013.
"""

import numpy as np
from jaxtyping import Float32, Int64

from img2world.poses.match_store import Features

NUM_WORDS = 64
"""Clusters of descriptors in the codebook."""

NUM_ITERATIONS = 8
"""Steps of k-means for the codebook."""

NUM_TRAINING = 30_000
"""Descriptors that the codebook is made of."""

NUM_LARGEST = 1500
"""Features of a picture that describe it: the largest, which are found again from other distances."""


def similarities(features: list[Features], *, seed: int) -> Float32[np.ndarray, "V V"]:
    """Return the cosine between the VLAD vectors of each two pictures; -1 on the diagonal."""
    largest = [_root_descriptors(each) for each in features]
    random = np.random.default_rng(seed)
    pool = np.concatenate(largest)
    if not len(pool):
        return np.full((len(features), len(features)), -1, np.float32)
    words = make_codebook(pool[np.sort(random.permutation(len(pool))[:NUM_TRAINING])], random)
    vectors = np.stack([_aggregate(each, words) for each in largest])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return cosines


def _root_descriptors(features: Features) -> Float32[np.ndarray, "N 128"]:
    """Return the descriptors of a picture's largest features, of unit length."""
    order = np.argsort(-features.scales, kind="stable")[:NUM_LARGEST]
    # COLMAP has already taken the square roots.
    descriptors = features.descriptors[order].astype(np.float32)
    return descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-6)


def make_codebook(
    descriptors: Float32[np.ndarray, "N 128"], random: np.random.Generator
) -> Float32[np.ndarray, "W 128"]:
    """Return the centres of clusters of descriptors, by k-means."""
    words = descriptors[np.sort(random.permutation(len(descriptors))[:NUM_WORDS])]
    for _ in range(NUM_ITERATIONS):
        nearest = _nearest_words(descriptors, words)
        counts = np.bincount(nearest, minlength=len(words))
        order = np.argsort(nearest, kind="stable")
        used = np.flatnonzero(counts)
        sums = np.add.reduceat(descriptors[order], (np.cumsum(counts) - counts)[used])
        words = words.copy()
        words[used] = sums / counts[used, None]
    return words


def _nearest_words(
    descriptors: Float32[np.ndarray, "N 128"], words: Float32[np.ndarray, "W 128"]
) -> Int64[np.ndarray, "N"]:
    """Return the index of the word that is nearest to each descriptor."""
    return (descriptors @ words.T - (words**2).sum(1) / 2).argmax(1)


def _aggregate(
    descriptors: Float32[np.ndarray, "N 128"], words: Float32[np.ndarray, "W 128"]
) -> Float32[np.ndarray, "D"]:
    """Return the VLAD vector of one picture: the sums of the differences from each word, normalized."""
    sums = np.zeros_like(words)
    nearest = _nearest_words(descriptors, words)
    np.add.at(sums, nearest, descriptors - words[nearest])
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
    return sums.reshape(-1) / max(float(np.linalg.norm(sums)), 1e-6)
