import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from skimage.data import coffee
from skimage.metrics import peak_signal_noise_ratio

from img2world.core.scene import Scene
from img2world.render import render
from img2world.splat.metrics import PEAK_DB, evaluate, psnr, ssim


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
    assert set(evaluate(scene, wall_views, np.zeros(5, bool))) == {"train_psnr", "num_gaussians"}
