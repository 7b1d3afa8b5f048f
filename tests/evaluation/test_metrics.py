import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.metrics import compare_depth, compare_frames, flicker, load_flip, mean_metrics, silhouettes
from evaluation.rendering import RenderedViews
from img2world.core.errors import MissingPackageError
from img2world.core.frames import Frames
from img2world.layered.object_layers import object_camera


def disc(shift: int, size: int = 48) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.hypot(x - size / 2 - shift, y - size / 2) < size / 4


def make_truth(masks: np.ndarray, color=(200, 30, 30)) -> RenderedViews:
    count, size = len(masks), masks.shape[1]
    camera = object_camera(size).select([0] * count)
    rgb = np.where(masks[..., None], np.uint8(color), np.uint8(255))
    depth = np.where(masks, np.float32(1), 0).astype(np.float32)
    return RenderedViews(cameras=camera, rgb=rgb, alpha=(masks * 255).astype(np.uint8), depth=depth)


def make_video(truth: RenderedViews, **changes) -> Frames:
    arrays = {"rgb": truth.rgb, "alpha": truth.alpha, "depth": truth.depth, **changes}
    return Frames(times=np.arange(len(truth.rgb)) / 12.0, **arrays)


def test_truth_has_perfect_metrics():
    truth = make_truth(np.stack([disc(shift) for shift in (0, 3, 6)]))
    metrics = compare_frames(make_video(truth), truth, is_object=True, radius=0.2)
    assert metrics["psnr"] == 100
    assert metrics["object_psnr"] == 100
    assert_allclose([metrics[name] for name in ("ssim", "iou", "flicker", "delta1")], 1, atol=1e-6)
    assert metrics["abs_rel"] == metrics["depth_mae"] == 0


def test_first_frame_does_not_count():
    truth = make_truth(np.stack([disc(0), disc(3)]))
    rgb = truth.rgb.copy()
    rgb[0] = 0
    assert compare_frames(make_video(truth, rgb=rgb, alpha=None), truth, is_object=False, radius=1.0)["psnr"] == 100


def test_metrics_of_a_still_video_match_hand_computed_values():
    masks = np.stack([disc(0), disc(8)])
    truth = make_truth(masks, color=(0, 0, 0))
    still = np.repeat(truth.rgb[:1], 2, 0)
    metrics = compare_frames(
        make_video(truth, rgb=still, alpha=np.repeat(truth.alpha[:1], 2, 0)), truth, is_object=True, radius=0.2
    )
    both, either = (masks[0] & masks[1]).sum(), (masks[0] | masks[1]).sum()
    assert_allclose(metrics["iou"], both / either)
    # Pixels in exactly one of the discs are black instead of white or white instead of black.
    assert_allclose(metrics["object_psnr"], -10 * np.log10((either - both) / either), rtol=1e-6)
    assert_allclose(metrics["psnr"], -10 * np.log10((either - both) / masks[0].size), rtol=1e-6)
    assert metrics["flicker"] == 0


def test_flicker_is_relative_to_that_of_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.integers(50, 200, (4, 8, 8, 3)).astype(np.uint8)
    assert flicker(truth, truth) == 1
    small = (truth // 4).astype(np.uint8)
    assert_allclose(flicker((small * 2).astype(np.uint8), small), 2)


def test_depth_is_compared_after_aligning_the_scale_and_without():
    truth = np.linspace(1, 2, 100, dtype=np.float32).reshape(10, 10)
    metrics = compare_depth(3 * truth, truth, radius=0.5)
    assert_allclose([metrics["abs_rel"], metrics["delta1"]], [0, 1], atol=1e-6)
    assert_allclose(metrics["depth_mae"], 2 * truth.mean() / 0.5, rtol=1e-6)
    # The median follows the 60 correct pixels.
    partly = truth.copy()
    partly[:4] *= 0.5
    assert compare_depth(partly, truth, radius=None)["delta1"] == 0.6
    assert compare_depth(np.zeros_like(truth), truth, radius=None) == {}


def test_silhouettes_without_alpha_come_from_white():
    truth = make_truth(np.stack([disc(0), disc(5)]))
    assert (silhouettes(make_video(truth, alpha=None)) == (truth.alpha > 0)).all()


def test_flip_is_zero_for_equal_images_and_reports_a_missing_package(monkeypatch):
    pytest.importorskip("flip_evaluator")
    flip = load_flip()
    image = np.random.default_rng(0).random((32, 32, 3), np.float32)
    assert flip(image, image) == 0
    assert 0.1 < flip(image, np.zeros_like(image)) <= 1
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(MissingPackageError, match="flip-evaluator"):
        load_flip()


def test_means_skip_missing_and_nan_values():
    rows = [{"psnr": 10.0, "iou": 0.5}, {"psnr": 20.0}, {"psnr": float("nan")}]
    assert mean_metrics(rows) == {"psnr": 15.0, "iou": 0.5}
