import numpy as np
import torch

from img2world.core.gaussians import Gaussians
from img2world.render import render
from img2world.splat.initialize import initialize
from img2world.splat.mcmc import MIN_OPACITY, regularize, relocate, shared_among, tremble
from img2world.splat.metrics import evaluate
from img2world.splat.optimize import GaussianSplat
from img2world.splat.parameters import Parameters


def one_gaussian(opacity, copies=1, scale=0.05):
    """Round Gaussians in one place, white, two units in front of the first camera of the wall."""
    return Gaussians(
        means=np.tile(np.array([[-0.25, 0.05, 2]], np.float32), (copies, 1)),
        quats=np.tile(np.array([[1, 0, 0, 0]], np.float32), (copies, 1)),
        log_scales=np.full((copies, 3), np.log(scale), np.float32),
        logit_opacities=np.full(copies, np.log(opacity / (1 - opacity)), np.float32),
        sh=np.full((copies, 1, 3), 1.7724539, np.float32),
    )


def test_copies_in_one_place_look_like_the_one_they_come_from(wall_views):
    camera = wall_views.cameras.select([0])
    for opacity in (0.3, 0.8, 0.95):
        for copies in (2, 3, 5):
            new, shrink = shared_among(np.array([opacity]), np.array([copies]))
            one = render(one_gaussian(opacity), camera).rgb[0]
            many = render(one_gaussian(float(new[0]), copies, 0.05 * float(shrink[0])), camera).rgb[0]
            # Equation 9 keeps the middle and the sum over all pixels; the shape differs a little.
            assert abs(one.max() - many.max()) < 0.05
            assert abs(one.sum() / many.sum() - 1) < 0.35
            unchanged = render(one_gaussian(opacity, copies), camera).rgb[0]
            assert np.abs(one - many).mean() < 0.7 * np.abs(one - unchanged).mean()


def test_dead_gaussians_move_to_living_ones_and_some_are_added(wall_gaussians):
    parameters = Parameters(wall_gaussians, "cpu")
    count = len(parameters)
    with torch.no_grad():
        parameters.values["logit_opacities"][: count // 2] = -8.0
    alive = {tuple(mean) for mean in parameters.values["means"][count // 2 :].tolist()}
    relocate(parameters, 10 * count, np.random.default_rng(0))
    assert count < len(parameters) <= 1.06 * count
    assert {tuple(mean) for mean in parameters.values["means"].tolist()} == alive
    assert (parameters.values["logit_opacities"].sigmoid() > 0.9 * MIN_OPACITY).all()
    relocate(parameters, len(parameters), np.random.default_rng(0))
    assert len(parameters) <= 1.06 * count


def test_only_faint_gaussians_tremble(wall_gaussians):
    parameters = Parameters(wall_gaussians, "cpu")
    with torch.no_grad():
        parameters.values["logit_opacities"][:10] = -6.0
    before = parameters.values["means"].detach().clone()
    tremble(parameters, 1e-3, np.random.default_rng(0))
    moved = (parameters.values["means"].detach() - before).abs().amax(1)
    assert (moved[:10] > 0).all()
    assert (moved[10:] == 0).all()


def test_regularization_is_the_gradient_of_mean_opacity_and_scale(wall_gaussians):
    parameters = Parameters(wall_gaussians.select(slice(0, 20)), "cpu")
    opacities, scales = parameters.values["logit_opacities"], parameters.values["log_scales"]
    (0.01 * opacities.sigmoid().mean() + 0.01 * scales.exp().mean() / 3.0).backward()
    expected = opacities.grad, scales.grad
    opacities.grad, scales.grad = torch.zeros_like(opacities), torch.zeros_like(scales)
    regularize(parameters, 3.0)
    torch.testing.assert_close(opacities.grad, expected[0])
    torch.testing.assert_close(scales.grad, expected[1])


def test_a_training_with_samples_learns_the_wall_and_keeps_the_budget(wall_views):
    backend = GaussianSplat(steps=250, max_gaussians=3000, strategy="mcmc")
    scene, again = backend.optimize(wall_views, seed=3), backend.optimize(wall_views, seed=3)
    facts = evaluate(scene, wall_views, backend.held_out(len(wall_views)))
    assert facts["heldout_psnr"] > 28
    assert facts["num_gaussians"] <= 3000
    assert scene.gaussians.means.tobytes() == again.gaussians.means.tobytes()
    assert len(initialize(wall_views, 3000)) <= 3000
