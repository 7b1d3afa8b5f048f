import numpy as np
import pytest

pytest.importorskip("numba")

from img2world.depth.network import Channel
from training.geo_metrics import held_out_views, mean_depth_map, object_errors, scene_errors


def test_scene_errors_after_aligning_the_scale():
    truth = np.zeros((8, 8), np.float32)
    predicted = truth.copy()
    predicted[0] = np.log(1.5)
    errors = scene_errors(predicted, truth, np.ones((8, 8), bool))
    assert errors["absrel"] == pytest.approx(0.5 / 8)
    assert errors["delta1"] == pytest.approx(7 / 8)


def test_object_errors_are_in_radii():
    maps = np.zeros((10, 8, 8), np.float32)
    known = np.zeros((8, 8), bool)
    known[1:7, 1:7] = True
    maps[Channel.MASK] = np.where(known, 1, -1)
    maps[Channel.MASK, 1] = -1
    maps[Channel.OBJECT_FRONT] = 0.1
    hidden = np.full((8, 8), 0.5, np.float32)
    errors = object_errors(maps, np.zeros((8, 8), np.float32), hidden, known)
    assert errors["iou"] == pytest.approx(30 / 36)
    # The predicted solid is thin and within the true one.
    assert errors["solid_iou"] == pytest.approx(np.log1p(np.exp(-2)) / 0.5, rel=1e-5)
    assert errors["front_mae"] == pytest.approx(0.1 / (0.5 * np.hypot(5 / 8, 0.5)), rel=1e-5)


def test_mean_depth_map_is_the_mean_of_scenes():
    views = [view for view in held_out_views(12, textures=6) if not view.is_object and view.known.all()]
    assert views
    centered = [view.front.clip(None, 4.6) - np.median(view.front.clip(None, 4.6)) for view in views]
    np.testing.assert_allclose(mean_depth_map(views), np.mean(centered, 0), atol=1e-5)
