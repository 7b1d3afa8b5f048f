import numpy as np
import pytest
import torch

from img2world.core.gaussians import Gaussians
from img2world.core.rotation import matrix_from_quat
from img2world.render.splats import Rendering
from img2world.splat.densify import Limits, Need, densify, rotate
from img2world.splat.parameters import Parameters


def parameters_with(scales, opacities):
    count = len(scales)
    gaussians = Gaussians(
        means=np.arange(3 * count, dtype=np.float32).reshape(count, 3),
        quats=np.random.default_rng(1).normal(size=(count, 4)).astype(np.float32),
        log_scales=np.log(np.repeat(np.float32(scales)[:, None], 3, 1)),
        logit_opacities=np.log(np.float32(opacities) / (1 - np.float32(opacities))),
        sh=np.random.default_rng(2).normal(size=(count, 1, 3)).astype(np.float32),
    )
    return Parameters(gaussians, "cpu")


def drawn(gradients, radii):
    """A view of 200 × 100 pixels in which the loss pulls Gaussians, in units of its half sides."""
    screen_means = torch.zeros(len(gradients), 2, requires_grad=True)
    screen_means.grad = torch.tensor(gradients, dtype=torch.float32) / torch.tensor([100, 50])
    depth = torch.zeros(100, 200)
    radii = torch.tensor(radii, dtype=torch.int32)
    return Rendering(rgb=torch.zeros(100, 200, 3), alpha=depth, depth=depth, screen_means=screen_means, radii=radii)


def need_of(parameters, gradients):
    """What one view that drew all Gaussians tells."""
    need = Need(parameters)
    need.observe(drawn([[gradient, 0] for gradient in gradients], [1] * len(gradients)))
    return need


LIMITS = Limits(max_gaussians=100, min_gradient=0.5, min_opacity=0.1, max_split_scale=0.1, max_scale=10.0)


def test_small_ones_in_need_are_cloned_and_large_ones_split():
    parameters = parameters_with([0.05, 1, 0.05, 1], [0.9] * 4)
    old = parameters.gaussians()
    densify(parameters, need_of(parameters, [1, 1, 0.1, 0.1]), LIMITS, np.random.default_rng(0))
    new = parameters.gaussians()
    assert len(new) == 6  # 0 and its clone, the two halves of 1, and 2 and 3 as they were
    np.testing.assert_array_equal(new.means[:4], old.means[[0, 2, 3, 0]])
    np.testing.assert_allclose(new.scales[4:], 1 / 1.6, rtol=1e-5)
    np.testing.assert_array_equal(new.sh[4:], old.sh[[1, 1]])
    distance = np.linalg.norm(new.means[4:] - old.means[1], axis=1)
    assert (distance > 0).all()
    assert (distance < 5).all()  # standard deviations


def test_transparent_and_huge_ones_are_dropped_even_in_need():
    parameters = parameters_with([0.05, 20, 0.05], [0.05, 0.9, 0.9])
    kept = parameters.gaussians().means[2]
    densify(parameters, need_of(parameters, [9, 9, 0]), LIMITS, np.random.default_rng(0))
    np.testing.assert_array_equal(parameters.gaussians().means, [kept])


def test_the_budget_goes_to_the_neediest():
    parameters = parameters_with([0.05] * 5, [0.9] * 5)
    old = parameters.gaussians().means
    limits = Limits(max_gaussians=7, min_gradient=0.5, min_opacity=0.1, max_split_scale=0.1, max_scale=10.0)
    densify(parameters, need_of(parameters, [1, 3, 2, 5, 0.4]), limits, np.random.default_rng(0))
    np.testing.assert_array_equal(parameters.gaussians().means[5:], old[[1, 3]])


def test_a_full_budget_does_not_grow():
    parameters = parameters_with([0.05] * 5, [0.9] * 5)
    limits = Limits(max_gaussians=3, min_gradient=0.5, min_opacity=0.1, max_split_scale=0.1, max_scale=10.0)
    densify(parameters, need_of(parameters, [1] * 5), limits, np.random.default_rng(0))
    assert len(parameters) == 5


def test_need_is_the_mean_over_the_views_that_drew_it():
    parameters = parameters_with([0.05] * 2, [0.9] * 2)
    need = Need(parameters)
    need.observe(drawn([[1, 0], [0, 0]], [5, 0]))
    need.observe(drawn([[0, 3], [0, 0]], [5, 0]))
    need.observe(drawn([[0, 0], [3, 4]], [0, 5]))
    assert need.mean().tolist() == pytest.approx([2, 5])


def test_rotate_agrees_with_matrices():
    rng = np.random.default_rng(0)
    quats, vectors = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    expected = np.einsum("nij,nj->ni", matrix_from_quat(quats), vectors)
    np.testing.assert_allclose(rotate(torch.tensor(quats), torch.tensor(vectors)).numpy(), expected, atol=1e-12)
