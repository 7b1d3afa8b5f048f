from dataclasses import replace

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from skimage.data import coffee
from skimage.metrics import peak_signal_noise_ratio

from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.render import render, render_each
from img2world.splat.metrics import PEAK_DB, evaluate, find_floaters, match_colors, psnr, ssim
from tests.moving import moving_scene


@pytest.fixture(scope="module")
def photo():
    return coffee()[100:180, 200:300].astype(np.float32) / 255


def add_noise(photo, strength):
    return (photo + np.random.default_rng(0).normal(0, strength, photo.shape)).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.4])
def test_psnr_agrees_with_scikit_image(photo, strength):
    noisy = add_noise(photo, strength)
    assert psnr(noisy, photo) == pytest.approx(peak_signal_noise_ratio(photo, noisy, data_range=1), abs=1e-4)


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.4])
def test_ssim_is_equation_13_on_all_windows_inside_the_image(photo, strength):
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(window, window) / window.sum() ** 2
    x, y = (
        sliding_window_view(image.astype(np.float64), (11, 11), (0, 1)) for image in (add_noise(photo, strength), photo)
    )

    def mean(values):
        return (values * window).sum((-2, -1))

    mean_x, mean_y = mean(x), mean(y)
    covariance = mean(x * y) - mean_x * mean_y
    variances = mean(x * x) + mean(y * y) - mean_x**2 - mean_y**2
    similarity = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    similarity /= (mean_x**2 + mean_y**2 + 0.01**2) * (variances + 0.03**2)
    # scikit-image sums in float32.
    assert ssim(add_noise(photo, strength), photo) == pytest.approx(similarity.mean(), abs=1e-5)


def test_equal_pictures_get_the_peak(photo):
    assert psnr(photo, photo) == PEAK_DB
    assert ssim(photo, photo) == pytest.approx(1)


def test_evaluate_tells_trained_from_held_out(wall_views, wall_gaussians):
    scene = Scene(gaussians=wall_gaussians, cameras=wall_views.cameras, background=(0.2, 0.4, 0.6), is_object=False)
    drawn = render(wall_gaussians, wall_views.cameras, background=scene.background).rgb
    held_out = np.array([False, True, False, True, False])
    facts = evaluate(scene, wall_views, held_out)
    truth = wall_views.rgb / np.float32(255)
    each = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(truth, drawn, strict=True)]
    assert facts["num_gaussians"] == len(wall_gaussians)
    assert facts["train_psnr"] == pytest.approx(np.mean(each[::2]), abs=1e-3)
    assert facts["heldout_psnr"] == pytest.approx(np.mean(each[1::2]), abs=1e-3)
    assert 0 < facts["heldout_ssim"] < 1


def test_nothing_is_said_of_held_out_views_where_there_are_none(wall_views, wall_gaussians):
    scene = Scene(gaussians=wall_gaussians, cameras=wall_views.cameras, background=(0.0, 0.0, 0.0), is_object=False)
    assert set(evaluate(scene, wall_views, np.zeros(5, bool))) == {"train_psnr", "num_gaussians", "floaters"}


def test_nothing_is_said_of_floaters_without_depth(wall_views, wall_gaussians):
    scene = Scene(gaussians=wall_gaussians, cameras=wall_views.cameras, background=(0.0, 0.0, 0.0), is_object=False)
    assert "floaters" not in evaluate(scene, replace(wall_views, depth=None), np.zeros(5, bool))


def round_gaussians(gaussians):
    """Equally large ones of equal opacity, so that all weigh nearly the same."""
    scales = np.full_like(gaussians.log_scales, np.log(0.01))
    opacities = np.zeros_like(gaussians.logit_opacities)
    return replace(gaussians, means=gaussians.means.copy(), log_scales=scales, logit_opacities=opacities)


@pytest.mark.parametrize(
    ("move", "floating"),
    [((0, 0, 0), False), ((0, 0, -0.5), True), ((0, 0, 0.5), False), ((5, 0, 1.5), True), ((0, 0, -5), True)],
)
def test_floaters_are_before_the_surface_or_beside_all_views(wall_views, wall_gaussians, move, floating):
    gaussians = round_gaussians(wall_gaussians)
    moved = np.random.default_rng(0).random(len(gaussians)) < 0.3
    gaussians.means[moved] += np.float32(move)
    floaters = find_floaters(gaussians, wall_views)
    if not floating:
        assert floaters == 0
        return
    # Their apparent area is that at their new distance.
    centers = wall_views.cameras.centers_in_world
    area = 1 / np.linalg.norm(gaussians.means[:, None] - centers, axis=-1).min(1) ** 2
    assert floaters == pytest.approx(area[moved].sum() / area.sum(), rel=1e-3)


def test_floaters_weigh_as_much_as_they_cover(wall_views, wall_gaussians):
    gaussians = round_gaussians(wall_gaussians)
    gaussians.means[0, 2] -= 0.5
    once = find_floaters(gaussians, wall_views)
    gaussians.log_scales[0] += np.log(2)
    assert find_floaters(gaussians, wall_views) == pytest.approx(4 * once, rel=0.01)
    gaussians.logit_opacities[0] = np.log(0.1 / 0.9)
    assert find_floaters(gaussians, wall_views) == pytest.approx(0.8 * once, rel=0.01)


def test_a_needle_floats_by_its_tip(wall_views, wall_gaussians):
    gaussians = round_gaussians(wall_gaussians)
    center = np.abs(gaussians.means[:, :2]).sum(1).argmin()
    # The second axis of the discs lies in the wall, the third is its normal.
    for axis, floats in ((1, False), (2, True)):
        gaussians.log_scales[center] = np.log(0.01)
        gaussians.log_scales[center, axis] = np.log(0.2)
        assert (find_floaters(gaussians, wall_views) > 0) == floats


def test_whatever_is_beside_an_object_floats(wall_views, wall_gaussians):
    alpha = np.zeros(wall_views.rgb.shape[:3], np.uint8)
    alpha[:, :, :40] = 255
    gaussians = round_gaussians(wall_gaussians)
    assert 0.2 < find_floaters(gaussians, replace(wall_views, alpha=alpha)) < 0.6
    # Masked pixels and unknown depth say nothing.
    mask = np.zeros_like(alpha)
    assert find_floaters(gaussians, replace(wall_views, alpha=alpha, mask=mask)) == 0


def test_matched_colours_undo_gain_and_offset_but_not_blur():
    truth = np.random.default_rng(3).uniform(0.2, 0.8, (20, 30, 3))
    dim = truth * [0.7, 0.8, 0.6] + [0.05, 0.0, 0.1]
    np.testing.assert_allclose(match_colors(dim, truth), truth, atol=1e-9)
    blurred = np.full_like(truth, 0.4)
    assert psnr(match_colors(blurred, truth), truth) == pytest.approx(psnr(truth.mean((0, 1)) + 0 * truth, truth))


def test_a_scene_that_moves_is_compared_at_the_time_of_each_view_also_where_it_was_masked():
    scene, times = moving_scene(), np.linspace(0, 2, 8)
    pictures = [
        next(render_each(scene.at(time), scene.cameras.select([i]), background=scene.background))[0]
        for i, time in enumerate(times.tolist())
    ]
    rgb = np.stack(pictures)
    moving = np.zeros((8, 64, 64), np.uint8)
    moving[:, 20:40, 30:60] = 255
    views = Views(
        rgb=(rgb * 255).round().astype(np.uint8), cameras=scene.cameras, confidence=np.ones(8, np.float32), times=times,
        points=np.zeros((0, 3), np.float32), point_colors=np.zeros((0, 3), np.uint8), solver="",
        mask=255 - moving, moving=moving,
    )  # fmt: skip
    held_out = np.arange(8) % 2 == 1
    # Rounding to bytes costs 58.9 dB where colours are spread evenly.
    assert evaluate(scene, views, held_out)["heldout_psnr"] > 50
    wrong = replace(views, rgb=np.where(moving[..., None] > 0, np.uint8(0), views.rgb))
    assert evaluate(scene, wrong, held_out)["heldout_psnr"] < 30
    assert evaluate(scene, replace(views, times=times[::-1].copy()), held_out)["heldout_psnr"] < 40
