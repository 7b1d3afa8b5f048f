import cv2
import numpy as np
import pytest

from evaluation.assets import AssetError
from evaluation.depth_benchmark import (
    BASELINES,
    PHOTO_SIDE,
    Pair,
    affine_errors,
    depth_spread,
    evaluate_depth,
    layers_predictor,
    order_score,
    read_marked,
    read_pairs,
    table_lines,
)
from evaluation.measured_depth import load_depth_cases


def test_marked_pairs_are_inside_and_not_only_lower_is_nearer():
    pairs = read_pairs()
    marked = [pair for each in pairs.values() for pair in each]
    assert len(pairs) >= 20
    assert len(marked) >= 40
    assert all(0 < value < 1 for pair in marked for value in (*pair.near, *pair.far))
    places = [pair.place for pair in marked]
    assert all(places.count(place) >= len(marked) // 4 for place in ("lower", "level", "upper"))


def test_order_of_two_points():
    inverse_depth = np.tile(np.array([1.0, 3.0], np.float32), (4, 1))  # The right half is nearer.
    right, left = (0.75, 0.5), (0.25, 0.5)
    assert order_score(inverse_depth, Pair(near=right, far=left)) == 1
    assert order_score(inverse_depth, Pair(near=left, far=right)) == 0
    assert order_score(np.ones_like(inverse_depth), Pair(near=left, far=right)) == 0.5


def test_errors_against_measured_depth():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.2, 2, (20, 30)).astype(np.float32)
    log_depth = -np.log(truth)
    log_depth[:3] = np.nan
    np.testing.assert_allclose(affine_errors(3 * truth + 1, log_depth), (0, 1), atol=1e-3)
    np.testing.assert_allclose(affine_errors(-truth, log_depth)[1], -1, atol=1e-6)
    assert affine_errors(np.ones_like(truth), log_depth) == (1, 0)
    # Independent noise as strong as the truth leaves an error of the square root of one half.
    noisy = truth + truth.std() * rng.standard_normal(truth.shape).astype(np.float32)
    assert affine_errors(noisy, log_depth)[0] == pytest.approx(0.5**0.5, abs=0.06)


def test_baselines_have_the_scores_that_are_known(tmp_path):
    photo = np.zeros((40, 60, 3), np.uint8)
    pairs = [Pair(near=(0.5, 0.9), far=(0.5, 0.1)), Pair(near=(0.5, 0.1), far=(0.5, 0.9))]
    rows = {name: evaluate_depth(predict, {"a": (photo, pairs)}, {}) for name, predict in BASELINES.items()}
    assert (rows["lower is nearer"]["lower"], rows["lower is nearer"]["upper"]) == (1, 0)
    assert (rows["constant"]["right"], rows["constant"]["spread"]) == (0.5, 1)
    assert depth_spread(np.linspace(1, 5, 101, dtype=np.float32)[None]) == pytest.approx(4.8 / 1.2)
    assert "| constant | 0.50 | 0.50 | 0.50 | 1.00 |" in list(table_lines(rows))


def test_depth_that_a_viewer_sees_is_that_of_a_scene_seen_from_above():
    y, x = np.mgrid[0:240, 0:320]
    floor = ((np.floor(x / 20) + np.floor(4000 / (y + 60.0))) % 2 * 90 + 80).astype(np.uint8)
    inverse_depth = layers_predictor()(np.dstack([floor] * 3))
    assert order_score(inverse_depth, Pair(near=(0.5, 0.95), far=(0.5, 0.1))) == 1


def test_missing_photos_are_named(tmp_path):
    with pytest.raises(AssetError, match="cannot be read"):
        read_marked(tmp_path)
    with pytest.raises(AssetError, match="measured depths"):
        load_depth_cases(tmp_path)


def test_large_photos_are_scaled_down(tmp_path):
    for name in read_pairs():
        cv2.imwrite(str(tmp_path / name), np.zeros((PHOTO_SIDE + 88, 300, 3), np.uint8))
    assert {max(rgb.shape) for rgb, _ in read_marked(tmp_path).values()} == {PHOTO_SIDE}
