from dataclasses import replace

import numpy as np
import pytest
import torch

from img2world.core.errors import SplatError
from img2world.render import render
from img2world.splat import OPTIMIZERS
from img2world.splat.metrics import evaluate, psnr
from img2world.splat.optimize import GaussianSplat, background_color

QUICK = {"steps": 60, "max_gaussians": 1500}


def test_it_is_registered():
    assert OPTIMIZERS["gaussians"] == f"{GaussianSplat.__module__}:{GaussianSplat.__name__}"


@pytest.mark.parametrize(
    ("num_views", "every", "held_out"),
    [(13, 8, [4, 12]), (36, 8, [4, 12, 20, 28]), (4, 8, [2]), (5, 8, [2]), (3, 8, []), (36, 0, []), (4, 1, [1, 2, 3])],
)
def test_held_out(num_views, every, held_out):
    mask = GaussianSplat(holdout_every=every).held_out(num_views)
    assert np.flatnonzero(mask).tolist() == held_out


def test_unseen_views_are_reconstructed(wall_views):
    backend = GaussianSplat(steps=250, max_gaussians=4000)
    scene = backend.optimize(wall_views)
    facts = evaluate(scene, wall_views, backend.held_out(len(wall_views)))
    assert facts["heldout_psnr"] > 30
    assert facts["heldout_ssim"] > 0.9
    assert facts["num_gaussians"] <= 4000
    assert not scene.is_object
    assert len(scene.cameras) == len(wall_views)


def test_points_alone_are_enough_to_learn_from(wall_views):
    backend = GaussianSplat(steps=250, max_gaussians=4000)
    views = replace(wall_views, depth=None)
    start, scene = (GaussianSplat(steps=1).optimize(views), backend.optimize(views))
    held_out = backend.held_out(len(views))
    before, after = (evaluate(each, views, held_out)["heldout_psnr"] for each in (start, scene))
    assert after > before + 5
    assert after > 22


def test_held_out_pictures_are_never_looked_at(wall_views):
    backend = GaussianSplat(**QUICK)
    rgb, depth = wall_views.rgb.copy(), wall_views.depth.copy()
    held_out = backend.held_out(len(wall_views))
    assert held_out.any()
    rgb[held_out], depth[held_out] = 0, 1
    first = backend.optimize(wall_views)
    second = backend.optimize(replace(wall_views, rgb=rgb, depth=depth))
    np.testing.assert_array_equal(first.gaussians.means, second.gaussians.means)


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(wall_views, monkeypatch):
    backend = GaussianSplat(steps=50, max_gaussians=1500, densify_gradient=1e-5)
    before = torch.get_num_threads()
    trained = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        monkeypatch.setenv("IMG2WORLD_THREADS", str(threads))
        trained.append(backend.optimize(wall_views, seed=3).gaussians)
    grown = len(trained[0]) > len(GaussianSplat(steps=1, max_gaussians=1500).optimize(wall_views).gaussians)
    assert grown  # Densification took part.
    torch.set_num_threads(before)
    for other in trained[1:]:
        for name, value in vars(trained[0]).items():
            assert value.tobytes() == getattr(other, name).tobytes()


def test_another_seed_gives_another_scene(wall_views):
    first, second = (GaussianSplat(**QUICK).optimize(wall_views, seed=seed).gaussians for seed in (0, 1))
    assert not np.array_equal(first.means, second.means)


def test_an_object_keeps_its_outline_on_any_background(wall_views):
    alpha = np.zeros(wall_views.rgb.shape[:3], np.uint8)
    alpha[:, 16:48, 16:48] = 255
    # A square window that moves with the camera is no real object, so only one camera is used.
    rgb = np.where(alpha[..., None] == 255, wall_views.rgb, 255).astype(np.uint8)
    pair = {
        "rgb": rgb[[2, 2]],
        "alpha": alpha[[2, 2]],
        "depth": wall_views.depth[[2, 2]],
        "cameras": wall_views.cameras.select([2, 2]),
        "confidence": wall_views.confidence[:2],
    }
    scene = GaussianSplat(steps=150, max_gaussians=2000).optimize(replace(wall_views, **pair))
    assert scene.is_object
    assert scene.background == (1, 1, 1)
    drawn = render(scene.gaussians, scene.cameras.select([0]), background=(1.0, 0.0, 0.0))
    expected = np.where(pair["alpha"][0, ..., None] == 255, rgb[2], [255, 0, 0]) / np.float32(255)
    assert psnr(drawn.rgb[0], expected) > 22
    assert np.abs(drawn.alpha[0] - pair["alpha"][0] / 255).mean() < 0.05


def test_the_background_of_a_scene_is_what_is_at_the_borders(wall_views):
    rgb = np.full_like(wall_views.rgb, 9)
    rgb[:, [0, -1]] = rgb[:, :, [0, -1]] = [255, 51, 0]
    assert background_color(replace(wall_views, rgb=rgb)) == pytest.approx((1, 0.2, 0))


def test_progress_rises_and_so_does_quality(wall_views):
    calls = []
    GaussianSplat(**QUICK).optimize(
        wall_views, progress=lambda done, total, **quality: calls.append((done, total, quality))
    )
    assert [call[:2] for call in calls] == [(done, 60) for done in range(10, 70, 10)]
    assert calls[-1][2]["psnr"] > calls[0][2]["psnr"]


def test_views_that_are_not_trusted_have_no_say(wall_views):
    rgb = wall_views.rgb.copy()
    rgb[0] = 255 - rgb[0]
    confidence = np.float32([0, 1, 1, 1, 1])
    backend = GaussianSplat(steps=150, max_gaussians=2000, holdout_every=0)
    # The depth, and so the start, stays that of all views; only what is learned is weighted.
    wrong = backend.optimize(replace(wall_views, rgb=rgb))
    right = backend.optimize(replace(wall_views, rgb=rgb, confidence=confidence))
    held_out = np.array([True, False, False, False, False])
    qualities = [evaluate(scene, wall_views, held_out)["train_psnr"] for scene in (wrong, right)]
    assert qualities[1] > qualities[0] + 1


def test_one_view_is_refused(wall_views):
    index = np.array([0])
    one = replace(
        wall_views,
        rgb=wall_views.rgb[index],
        cameras=wall_views.cameras.select(index),
        confidence=wall_views.confidence[index],
        depth=wall_views.depth[index],
    )
    with pytest.raises(SplatError, match="1 view, needs at least 2") as error:
        GaussianSplat(**QUICK).optimize(one)
    assert "num_frames" in error.value.hint


def test_mcmc_is_refused_without_cuda(wall_views):
    with pytest.raises(SplatError, match="mcmc needs gsplat on CUDA, the rasterizer is native") as error:
        GaussianSplat(backend="native", strategy="mcmc").optimize(wall_views)
    assert "classic" in error.value.hint


def test_a_training_that_diverges_says_so(wall_views):
    with pytest.raises(SplatError, match="diverged at step") as error:
        GaussianSplat(**QUICK, colors_lr=1e38).optimize(wall_views)
    assert "lr" in error.value.hint


def test_what_is_masked_leaves_no_trace(wall_views):
    spoilt = wall_views.rgb.copy()
    mask = np.full(spoilt.shape[:3], 255, np.uint8)
    for i in range(len(spoilt)):
        spoilt[i, 10:26, 8 * i : 8 * i + 14] = (255, 0, 255)
        mask[i, 10:26, 8 * i : 8 * i + 14] = 0
    short = GaussianSplat(steps=150, max_gaussians=2000, holdout_every=0)
    plain, masked = (short.optimize(replace(wall_views, rgb=spoilt, mask=chosen), seed=0) for chosen in (None, mask))
    none = np.zeros(len(wall_views), bool)
    seen_anyway, ignored = (evaluate(scene, wall_views, none)["train_psnr"] for scene in (plain, masked))
    assert ignored > seen_anyway + 5
    # Judged by spoilt pictures, what is masked does not count.
    assert evaluate(masked, replace(wall_views, rgb=spoilt, mask=mask), none)["train_psnr"] > seen_anyway + 5
