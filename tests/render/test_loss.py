import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.metrics import structural_similarity

from img2world.core.errors import Img2WorldError
from img2world.render.loss import l1_dssim, l1_dssim_in_torch
from img2world.render.native import native_module

LEVELS = native_module().simd_levels()


def pictures(height, width, seed=0):
    """A part of a photo, and the same with noise."""
    rng = np.random.default_rng(seed)
    target = astronaut()[100 : 100 + height, 150 : 150 + width] / 255.0
    return np.clip(target + rng.normal(size=target.shape) * 0.1, 0, 1), target


@pytest.mark.parametrize("simd", LEVELS)
@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 40), (77, 45), (64, 130)])
def test_matches_torch_and_its_gradient(simd, height, width, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    image, target = pictures(height, width)
    rgb = torch.tensor(image, dtype=torch.float32, requires_grad=True)
    truth = rgb.detach().double().requires_grad_()
    target32 = torch.tensor(target, dtype=torch.float32)
    actual, expected = l1_dssim(rgb, target32, 0.3), l1_dssim_in_torch(truth, target32.double(), 0.3)
    (2 * actual).backward()
    (2 * expected).backward()
    # Variances are differences of float32 means, each good to about 1e-7, over constants of 1e-3.
    assert actual.item() == pytest.approx(expected.item(), abs=2e-6)
    assert (rgb.grad - truth.grad).norm() < 1e-5 * truth.grad.norm()


def test_similarity_is_that_of_scikit_image():
    image, target = pictures(70, 90)
    expected = structural_similarity(
        image, target, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2
    )
    actual = l1_dssim(torch.tensor(image).float(), torch.tensor(target).float(), 1.0)
    assert 1 - actual.item() == pytest.approx(expected, abs=2e-6)


def test_weight_zero_is_the_absolute_difference():
    image, target = pictures(30, 20)
    loss = l1_dssim(torch.tensor(image).float(), torch.tensor(target).float(), 0.0)
    assert loss.item() == pytest.approx(np.abs(image - target).mean(), rel=1e-5)


def test_flat_equal_pictures_have_no_loss_and_no_slope():
    white = torch.ones(40, 40, 3, requires_grad=True)
    loss = l1_dssim(white, torch.ones(40, 40, 3))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert white.grad.abs().max() < 1e-6


def test_threads_do_not_change_a_bit(monkeypatch):
    image, target = pictures(200, 150)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("IMG2WORLD_THREADS", str(threads))
        rgb = torch.tensor(image, dtype=torch.float32, requires_grad=True)
        loss = l1_dssim(rgb, torch.tensor(target, dtype=torch.float32))
        loss.backward()
        results.append(loss.detach().numpy().tobytes() + rgb.grad.numpy().tobytes())
    assert results[0] == results[1] == results[2]


def test_pictures_of_other_sizes_are_refused():
    # Under the tests the annotations are checked first.
    with pytest.raises((ValueError, TypeError)):
        l1_dssim(torch.zeros(20, 20, 3), torch.zeros(20, 21, 3))
    with pytest.raises(Img2WorldError, match="10x20, needs at least 11x11"):
        l1_dssim(torch.zeros(20, 10, 3), torch.zeros(20, 10, 3))
