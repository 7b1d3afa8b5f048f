import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.metrics import compare, compare_depth, find_flip, flicker, mean_of, silhouettes
from evaluation.rendering import RenderedAsset
from img2world.core.errors import MissingPackageError
from img2world.core.frames import Frames
from img2world.layered.object_layers import object_camera


def disc(shift: int, size: int = 48) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.hypot(x - size / 2 - shift, y - size / 2) < size / 4


def truth_of(masks: np.ndarray, color=(200, 30, 30)) -> RenderedAsset:
    count, size = len(masks), masks.shape[1]
    camera = object_camera(size).select([0] * count)
    rgb = np.where(masks[..., None], np.uint8(color), np.uint8(255))
    depth = np.where(masks, np.float32(1), 0).astype(np.float32)
    return RenderedAsset(cameras=camera, rgb=rgb, alpha=(masks * 255).astype(np.uint8), depth=depth)


def video_of(truth: RenderedAsset, **changes) -> Frames:
    arrays = {"rgb": truth.rgb, "alpha": truth.alpha, "depth": truth.depth, **changes}
    return Frames(times=np.arange(len(truth.rgb)) / 12.0, **arrays)


def test_the_truth_is_perfect():
    truth = truth_of(np.stack([disc(shift) for shift in (0, 3, 6)]))
    facts = compare(video_of(truth), truth, is_object=True, radius=0.2)
    assert facts["psnr"] == 100
    assert facts["object_psnr"] == 100
    assert_allclose([facts[name] for name in ("ssim", "iou", "flicker", "delta1")], 1, atol=1e-6)
    assert facts["abs_rel"] == facts["depth_mae"] == 0


def test_the_first_frame_is_the_photo_and_does_not_count():
    truth = truth_of(np.stack([disc(0), disc(3)]))
    rgb = truth.rgb.copy()
    rgb[0] = 0
    assert compare(video_of(truth, rgb=rgb, alpha=None), truth, is_object=False, radius=1.0)["psnr"] == 100


def test_figures_of_a_video_that_stands_still_are_those_worked_out_by_hand():
    masks = np.stack([disc(0), disc(8)])
    truth = truth_of(masks, color=(0, 0, 0))
    still = np.repeat(truth.rgb[:1], 2, 0)
    facts = compare(
        video_of(truth, rgb=still, alpha=np.repeat(truth.alpha[:1], 2, 0)), truth, is_object=True, radius=0.2
    )
    both, either = (masks[0] & masks[1]).sum(), (masks[0] | masks[1]).sum()
    assert_allclose(facts["iou"], both / either)
    # All pixels in just one of the discs are black instead of white.
    assert_allclose(facts["object_psnr"], -10 * np.log10((either - both) / either), rtol=1e-6)
    assert_allclose(facts["psnr"], -10 * np.log10((either - both) / masks[0].size), rtol=1e-6)
    assert facts["flicker"] == 0


def test_flicker_counts_change_against_that_of_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.integers(50, 200, (4, 8, 8, 3)).astype(np.uint8)
    assert flicker(truth, truth) == 1
    small = (truth // 4).astype(np.uint8)
    assert_allclose(flicker((small * 2).astype(np.uint8), small), 2)


def test_depth_is_compared_after_one_scale_and_also_as_it_is():
    truth = np.linspace(1, 2, 100, dtype=np.float32).reshape(10, 10)
    facts = compare_depth(3 * truth, truth, radius=0.5)
    assert_allclose([facts["abs_rel"], facts["delta1"]], [0, 1], atol=1e-6)
    assert_allclose(facts["depth_mae"], 2 * truth.mean() / 0.5, rtol=1e-6)
    # The median keeps to the 60 pixels that are right.
    partly = truth.copy()
    partly[:4] *= 0.5
    assert compare_depth(partly, truth, radius=None)["delta1"] == 0.6
    assert compare_depth(np.zeros_like(truth), truth, radius=None) == {}


def test_a_video_without_alpha_is_cut_out_from_white():
    truth = truth_of(np.stack([disc(0), disc(5)]))
    assert (silhouettes(video_of(truth, alpha=None)) == (truth.alpha > 0)).all()


def test_flip_sees_nothing_in_equal_pictures_and_says_when_it_is_missing(monkeypatch):
    pytest.importorskip("flip_evaluator")
    flip = find_flip()
    picture = np.random.default_rng(0).random((32, 32, 3), np.float32)
    assert flip(picture, picture) == 0
    assert 0.1 < flip(picture, np.zeros_like(picture)) <= 1
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(MissingPackageError, match="flip-evaluator"):
        find_flip()


def test_means_leave_out_what_a_row_lacks():
    rows = [{"psnr": 10.0, "iou": 0.5}, {"psnr": 20.0}, {"psnr": float("nan")}]
    assert mean_of(rows) == {"psnr": 15.0, "iou": 0.5}
