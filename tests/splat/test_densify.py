import numpy as np
import pytest
import torch

from img2world.core.gaussians import Gaussians
from img2world.core.rotation import matrix_from_quat
from img2world.render.splats import Rendering
from img2world.splat.densify import Densification, ScreenGradients, densify, rotate
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
    return Parameters(gaussians)


def drawn(gradients, radii):
    """A view of 200 × 100 pixels with the gradients of screen-space positions, in units of its half sides."""
    screen_means = torch.zeros(len(gradients), 2, requires_grad=True)
    screen_means.grad = torch.tensor(gradients, dtype=torch.float32) / torch.tensor([100, 50])
    depth = torch.zeros(100, 200)
    radii = torch.tensor(radii, dtype=torch.int32)
    return Rendering(rgb=torch.zeros(100, 200, 3), alpha=depth, depth=depth, screen_means=screen_means, radii=radii)


def settings(max_gaussians=100, steps=1000):
    """Of a scene in which Gaussians above 0.05 units are split."""
    return Densification(steps=steps, max_gaussians=max_gaussians, min_gradient=0.5, scene_depth=10.0)


def densified(parameters, gradients, **changes):
    densify(parameters, torch.tensor(gradients, dtype=torch.float32), settings(**changes), np.random.default_rng(0))
    return parameters.gaussians()


def test_small_gaussians_with_large_gradients_are_cloned_and_large_ones_split():
    parameters = parameters_with([0.01, 1, 0.01, 1], [0.9] * 4)
    old = parameters.gaussians()
    new = densified(parameters, [1, 1, 0.1, 0.1])
    assert len(new) == 6  # 0 and its clone, the two halves of 1, and 2 and 3 as they were
    np.testing.assert_array_equal(new.means[:4], old.means[[0, 2, 3, 0]])
    np.testing.assert_allclose(new.scales[4:], 1 / 1.6, rtol=1e-5)
    np.testing.assert_array_equal(new.sh[4:], old.sh[[1, 1]])
    distance = np.linalg.norm(new.means[4:] - old.means[1], axis=1)
    assert (distance > 0).all()
    assert (distance < 5).all()  # standard deviations


def test_transparent_gaussians_are_pruned_whatever_their_gradient():
    parameters = parameters_with([0.01, 20, 0.01], [0.005, 0.9, 0.9])
    kept = parameters.gaussians().means[1:]
    np.testing.assert_array_equal(densified(parameters, [9, 0, 0]).means, kept)


def test_the_budget_goes_to_the_largest_gradients():
    parameters = parameters_with([0.01] * 5, [0.9] * 5)
    old = parameters.gaussians().means
    np.testing.assert_array_equal(densified(parameters, [1, 3, 2, 5, 0.4], max_gaussians=7).means[5:], old[[1, 3]])


def test_a_full_budget_does_not_grow():
    assert len(densified(parameters_with([0.01] * 5, [0.9] * 5), [1] * 5, max_gaussians=3)) == 5


@pytest.mark.parametrize(("steps", "first", "interval"), [(1000, 99, 50), (200, 11, 12), (100, 11, 12)])
def test_densification_starts_early_and_ends_before_the_last_steps(steps, first, interval):
    due = [step for step in range(steps) if settings(steps=steps).is_due(step)]
    assert due == list(range(first, int(0.6 * steps), interval))


def test_gradients_are_averaged_over_the_views_that_show_a_gaussian():
    gradients = ScreenGradients(2)
    gradients.accumulate(drawn([[1, 0], [0, 0]], [5, 0]))
    gradients.accumulate(drawn([[0, 3], [0, 0]], [5, 0]))
    gradients.accumulate(drawn([[0, 0], [3, 4]], [0, 5]))
    assert gradients.mean().tolist() == pytest.approx([2, 5])


def test_rotate_agrees_with_matrices():
    rng = np.random.default_rng(0)
    quats, vectors = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    expected = np.einsum("nij,nj->ni", matrix_from_quat(quats), vectors)
    np.testing.assert_allclose(rotate(torch.tensor(quats), torch.tensor(vectors)).numpy(), expected, atol=1e-12)
