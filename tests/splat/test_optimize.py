from dataclasses import replace

import numpy as np
import pytest
import torch

from img2world.core import pictures
from img2world.core.errors import SplatError
from img2world.core.views import Views
from img2world.render import render
from img2world.splat import OPTIMIZERS, limits, metrics
from img2world.splat.metrics import compare, evaluate, psnr
from img2world.splat.optimize import GaussianSplat

QUICK = {"steps": 60, "max_gaussians": 1500}


def test_it_is_registered():
    assert OPTIMIZERS["gaussians"] == f"{GaussianSplat.__module__}:{GaussianSplat.__name__}"


def test_held_out_views_are_reconstructed(wall_views):
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


def test_held_out_images_are_not_used(wall_views):
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


def test_views_that_lie_on_disk_give_the_same_bits(wall_views, tmp_path, monkeypatch):
    wall_views.save(tmp_path)
    trained = []
    for limit in (2**30, 0):
        monkeypatch.setattr(pictures, "IN_MEMORY", limit)
        trained.append(GaussianSplat(**QUICK).optimize(Views.load(tmp_path)).gaussians)
    for name, value in vars(trained[0]).items():
        assert value.tobytes() == getattr(trained[1], name).tobytes()


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


def test_progress_rises_and_so_does_quality(wall_views):
    calls = []
    GaussianSplat(**QUICK).optimize(
        wall_views, progress=lambda done, total, **quality: calls.append((done, total, quality))
    )
    assert [call[:2] for call in calls] == [(done, 60) for done in range(10, 70, 10)]
    assert calls[-1][2]["psnr"] > calls[0][2]["psnr"]


def test_views_of_no_confidence_have_no_influence(wall_views):
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


@pytest.mark.parametrize("patience", [0, 2])
def test_a_training_stops_when_held_out_views_gain_nothing(wall_views, patience):
    reports = []
    rates = dict.fromkeys(("means_lr", "quats_lr", "scales_lr", "opacities_lr", "colors_lr"), 1e-9)
    backend = GaussianSplat(steps=200, max_gaussians=800, patience=patience, **rates)
    scene = backend.optimize(wall_views, progress=lambda done, total, **quality: reports.append(done))
    # The first check, after 25 steps, sets the mark that the next two fail to pass.
    assert reports[-2:] == ([70, 200] if patience else [190, 200])
    assert len(scene.gaussians) > 0


@pytest.mark.parametrize("change", [{"holdout_every": 0}, {}])
def test_patience_is_refused_without_held_out_views(wall_views, change):
    views = wall_views if change else wall_views.select(np.arange(3))
    with pytest.raises(SplatError, match="patience needs held-out views") as error:
        GaussianSplat(**QUICK, patience=2, **change).optimize(views)
    assert "holdout_every" in error.value.hint


def test_early_stopping_compares_on_the_background_of_the_scene(wall_views, monkeypatch):
    compared = []
    monkeypatch.setattr(metrics, "compare", lambda *args: compared.append(args) or original(*args))
    original = compare
    views = replace(wall_views, alpha=np.full(wall_views.rgb.shape[:3], 255, np.uint8))
    GaussianSplat(steps=50, max_gaussians=800, patience=1).optimize(views)
    assert [background for _, _, background in compared] == [(1.0, 1.0, 1.0)] * 2


def test_mcmc_is_refused_without_cuda(wall_views):
    with pytest.raises(SplatError, match="mcmc needs gsplat on CUDA, the rasterizer is native") as error:
        GaussianSplat(backend="native", strategy="mcmc").optimize(wall_views)
    assert "classic" in error.value.hint


def test_a_training_that_diverges_says_so(wall_views):
    with pytest.raises(SplatError, match="diverged at step") as error:
        GaussianSplat(**QUICK, colors_lr=3e38).optimize(wall_views)
    assert "lr" in error.value.hint


def test_masked_pixels_leave_no_trace(wall_views):
    spoiled = wall_views.rgb.copy()
    mask = np.full(spoiled.shape[:3], 255, np.uint8)
    for i in range(len(spoiled)):
        spoiled[i, 10:26, 8 * i : 8 * i + 14] = (255, 0, 255)
        mask[i, 10:26, 8 * i : 8 * i + 14] = 0
    short = GaussianSplat(steps=150, max_gaussians=2000, holdout_every=0)
    plain, masked = (short.optimize(replace(wall_views, rgb=spoiled, mask=chosen), seed=0) for chosen in (None, mask))
    none = np.zeros(len(wall_views), bool)
    unmasked, ignored = (evaluate(scene, wall_views, none)["train_psnr"] for scene in (plain, masked))
    assert ignored > unmasked + 5
    # Masked pixels of the spoiled images do not count.
    assert evaluate(masked, replace(wall_views, rgb=spoiled, mask=mask), none)["train_psnr"] > unmasked + 5


def test_no_gaussian_grows_into_a_needle(wall_views, monkeypatch):
    backend = GaussianSplat(steps=120, max_gaussians=1500, scales_lr=0.2)

    def largest_and_longest():
        gaussians = backend.optimize(wall_views).gaussians
        from_cameras = np.linalg.norm(gaussians.means[:, None] - wall_views.cameras.centers_in_world, axis=-1)
        _, second, largest = np.sort(gaussians.scales, 1).T
        return (largest / from_cameras.min(1)).max(), (largest / second).max()

    largest, longest = largest_and_longest()
    assert largest < 0.1
    assert longest < 1.001 * limits.MAX_ELONGATION
    monkeypatch.setattr(limits, "MAX_SCALE", np.inf)
    monkeypatch.setattr(limits, "MAX_ELONGATION", np.inf)
    largest, longest = largest_and_longest()
    assert largest > 1
    assert longest > 100
