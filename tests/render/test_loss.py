import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.metrics import structural_similarity

from img2world.core.errors import Img2WorldError
from img2world.render.extension import native_module
from img2world.render.loss import LossWeights, Target, view_loss, view_loss_in_torch

LEVELS = native_module().simd_levels()


def pictures(height, width, seed=0):
    """Return a part of a photo with noise, 0 to 1, and the photo itself, 0 to 255."""
    rng = np.random.default_rng(seed)
    target = astronaut()[100 : 100 + height, 150 : 150 + width]
    return np.clip(target / 255.0 + rng.normal(size=target.shape) * 0.1, 0, 1), target


def colors_loss(image, target, share=0.2):
    """Return the colour loss alone."""
    rgb = image if isinstance(image, torch.Tensor) else torch.tensor(image, dtype=torch.float32)
    return view_loss(rgb, None, None, Target(rgb=torch.as_tensor(target)), LossWeights(dssim_fraction=share))


def assert_same_gradients(actual, expected):
    for tensor, truth in zip(actual, expected, strict=True):
        assert (tensor.grad - truth.grad).norm() < 1e-5 * truth.grad.norm()


@pytest.mark.parametrize("simd", LEVELS)
@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 40), (77, 45), (64, 130), (23, 200)])
def test_colors_match_torch_and_their_gradient(simd, height, width, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    image, photo = pictures(height, width)
    rgb = torch.tensor(image, dtype=torch.float32, requires_grad=True)
    truth = rgb.detach().double().requires_grad_()
    target, weights = Target(rgb=torch.tensor(photo)), LossWeights(dssim_fraction=0.3)
    actual, expected = (
        view_loss(rgb, None, None, target, weights),
        view_loss_in_torch(truth, None, None, target, weights),
    )
    (2 * actual).backward()
    (2 * expected).backward()
    # Variances are differences of float32 means, each good to about 1e-7, over constants of 1e-3.
    assert actual.item() == pytest.approx(expected.item(), abs=2e-6)
    assert_same_gradients([rgb], [truth])


@pytest.mark.parametrize("simd", LEVELS)
@pytest.mark.parametrize("has_outline", [True, False])
def test_alpha_and_depth_match_torch_and_their_gradients(simd, has_outline, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    rng = np.random.default_rng(3)
    image, photo = pictures(35, 50)
    alpha, known = rng.uniform(size=(35, 50)), rng.uniform(1, 3, (35, 50)) * (rng.uniform(size=(35, 50)) < 0.8)
    # Half of the errors are too large to count.
    depth = rng.uniform(0.8, 1.2, (35, 50)) * np.where(known > 0, known, 1)
    outline = torch.tensor(rng.integers(0, 256, (35, 50)), dtype=torch.uint8) if has_outline else None
    target = Target(rgb=torch.tensor(photo), alpha=outline, depth=torch.tensor(known, dtype=torch.float32))
    weights = LossWeights(dssim_fraction=0.1, alpha=0.7, depth=0.4)
    rendered = [torch.tensor(array, dtype=torch.float32, requires_grad=True) for array in (image, alpha, depth)]
    truth = [tensor.detach().double().requires_grad_() for tensor in rendered]
    actual, expected = view_loss(*rendered, target, weights), view_loss_in_torch(*truth, target, weights)
    actual.backward()
    expected.backward()
    assert actual.item() == pytest.approx(expected.item(), abs=2e-6)
    assert_same_gradients(rendered, truth)


def test_similarity_matches_scikit_image():
    image, target = pictures(70, 90)
    expected = structural_similarity(
        image, target / 255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2
    )
    actual = colors_loss(image, target, 1.0)
    assert 1 - actual.item() == pytest.approx(expected, abs=2e-6)


def test_weight_zero_is_the_absolute_difference():
    image, target = pictures(30, 20)
    loss = colors_loss(image, target, 0.0)
    assert loss.item() == pytest.approx(np.abs(image - target / 255).mean(), rel=1e-5)


def test_equal_flat_pictures_have_no_loss_and_no_gradient():
    white = torch.ones(40, 40, 3, requires_grad=True)
    loss = colors_loss(white, torch.full((40, 40, 3), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert white.grad.abs().max() < 1e-6


def test_threads_do_not_change_a_bit(monkeypatch):
    image, target = pictures(200, 150)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("IMG2WORLD_THREADS", str(threads))
        rgb = torch.tensor(image, dtype=torch.float32, requires_grad=True)
        loss = colors_loss(rgb, target)
        loss.backward()
        results.append(loss.detach().numpy().tobytes() + rgb.grad.numpy().tobytes())
    assert results[0] == results[1] == results[2]


def test_pictures_of_other_sizes_are_refused():
    # In tests the annotations are checked first.
    with pytest.raises((ValueError, TypeError)):
        colors_loss(np.zeros((20, 20, 3)), np.zeros((20, 21, 3), np.uint8))
    with pytest.raises(Img2WorldError, match="10x20, needs at least 11x11"):
        colors_loss(np.zeros((20, 10, 3)), np.zeros((20, 10, 3), np.uint8))


def test_ignored_pixels_count_as_correct_and_get_no_gradient():
    _, photo = pictures(40, 50)
    rgb, alpha, depth = (torch.rand(40, 50, *more, requires_grad=True) for more in ((3,), (), ()))
    mask = torch.full((40, 50), 255, dtype=torch.uint8)
    mask[10:25, 20:40] = 0
    target = Target(rgb=torch.tensor(photo), depth=torch.ones(40, 50), mask=mask)
    view_loss(rgb, alpha, depth, target, LossWeights(alpha=0.5, depth=0.5)).backward()
    for tensor in (rgb, alpha, depth):
        assert not tensor.grad[10:25, 20:40].any()
    assert rgb.grad[:5].any(-1).all()
    # An image that differs only where it is ignored has no loss.
    wrong = torch.tensor(photo / 255.0, dtype=torch.float32)
    wrong[10:25, 20:40] = 0.5
    assert view_loss(wrong, torch.ones(40, 50), torch.ones(40, 50), target, LossWeights(alpha=0.5, depth=0.5)) < 1e-6
