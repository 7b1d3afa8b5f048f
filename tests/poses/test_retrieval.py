"""Similarity of pictures, compared with what exhaustive matching says of made-up pictures."""

import numpy as np

from img2world.poses.match_store import Features
from img2world.poses.retrieval import similarities


def pictures_on_circle(count: int, *, seed: int) -> tuple[list[Features], np.ndarray]:
    """Pictures that see 60 of 600 things each, noisily, amid 40 things of their own; and how many each two share."""
    random = np.random.default_rng(seed)
    things = random.gamma(0.6, 1.0, (600, 128))
    seen = [(np.arange(60) + i * 600 // count) % 600 for i in range(count)]
    features = []
    for which in seen:
        own = random.gamma(0.6, 1.0, (40, 128))
        values = np.concatenate([things[which], own]) * random.uniform(0.8, 1.2, (100, 128))
        # RootSIFT as COLMAP stores it.
        values = np.sqrt(values / values.sum(1, keepdims=True)) * 512
        keypoints = np.tile(np.array([0, 0, 2, 0, 0, 2], np.float32), (100, 1))
        features.append(Features(keypoints=keypoints, descriptors=np.clip(values, 0, 255).astype(np.uint8)))
    shared = np.array([[len(np.intersect1d(a, b)) for b in seen] for a in seen])
    np.fill_diagonal(shared, 0)
    return features, shared


def test_pictures_that_share_things_are_found_among_all():
    features, shared = pictures_on_circle(60, seed=0)
    similarity = similarities(features, seed=0)
    assert similarity.shape == (60, 60)
    np.testing.assert_allclose(similarity, similarity.T, atol=1e-6)
    assert (np.diag(similarity) == -1).all()
    # Of the pairs that share half of what they see, nearly all are among the 8 most similar to one of the two.
    best = np.argsort(-similarity, axis=1)[:, :8]
    found = np.zeros_like(shared, bool)
    np.put_along_axis(found, best, True, axis=1)
    assert (found | found.T)[shared >= 30].mean() > 0.95
    assert found[shared == 0].mean() < 0.1


def test_the_same_pictures_give_the_same_bits_and_others_need_not():
    features, _ = pictures_on_circle(20, seed=1)
    again = similarities(features, seed=3)
    assert np.array_equal(similarities(features, seed=3), again)
    assert not np.array_equal(similarities(features, seed=4), again)


def test_pictures_without_features():
    empty = Features(keypoints=np.zeros((0, 6), np.float32), descriptors=np.zeros((0, 128), np.uint8))
    assert (similarities([empty, empty], seed=0) == -1).all()
    features, _ = pictures_on_circle(4, seed=2)
    similarity = similarities([*features, empty], seed=0)
    assert np.isfinite(similarity).all()
