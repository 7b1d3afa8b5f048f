from dataclasses import replace

import numpy as np
import torch

from img2world.splat.parameters import Parameters

RATES = {"means": 1e-2, "quats": 1e-2, "log_scales": 1e-2, "logit_opacities": 1e-2, "dc": 1e-2, "rest": 1e-3}


def step(parameters, factors):
    """One step on a loss that pulls each row with its own strength."""
    splats = parameters.splats()
    loss = sum((factors * tensor.flatten(1).cos().sum(1)).sum() for tensor in splats.tensors() if tensor.ndim > 1)
    (loss + (factors * splats.logit_opacities).sum()).backward()
    parameters.step(RATES)


def test_rows_that_stay_learn_on_as_if_nothing_had_happened(wall_gaussians):
    few = wall_gaussians.select(slice(0, 6))
    whole, part = Parameters(few), Parameters(few)
    factors = torch.linspace(0.5, 2, 6)
    keep = torch.tensor([True, False, True, True, False, True])
    for _ in range(3):
        step(whole, factors)
        step(part, factors)
    part.edit(keep, {name: value.detach()[:2] + 1 for name, value in part.values.items()})
    for _ in range(3):
        step(whole, factors)
        step(part, torch.cat([factors[keep], torch.ones(2)]))
    assert len(part) == 6
    for name, value in part.values.items():
        torch.testing.assert_close(value[:4], whole.values[name][keep], rtol=0, atol=0)


def test_new_rows_start_with_empty_state(wall_gaussians):
    grown, fresh = Parameters(wall_gaussians.select(slice(0, 3))), None
    step(grown, torch.ones(3))
    added = {name: value.detach()[:1].clone() for name, value in grown.values.items()}
    grown.edit(torch.zeros(3, dtype=torch.bool), added)
    start = grown.gaussians()
    step(grown, torch.ones(1))
    fresh = Parameters(start)
    step(fresh, torch.ones(1))
    # The first step of Adam has the length of the rate; the moments' age differs, which makes it a little longer.
    moved = (grown.values["means"] - torch.tensor(start.means)).abs().max()
    assert 0.3e-2 < moved < 1.1e-2


def test_a_raised_degree_changes_no_colour_and_then_learns(wall_gaussians):
    parameters = Parameters(wall_gaussians.select(slice(0, 4)))
    step(parameters, torch.ones(4))
    before = parameters.splats().sh.detach()
    parameters.raise_sh_degree()
    after = parameters.splats().sh.detach()
    assert after.shape == (4, 4, 3)
    assert torch.equal(after[:, :1], before)
    assert not after[:, 1:].any()
    parameters.raise_sh_degree()
    assert parameters.sh_degree == 2
    parameters.splats().sh.sum().backward()
    for value in parameters.values.values():
        value.grad = torch.zeros_like(value) if value.grad is None else value.grad
    parameters.step(RATES)
    assert parameters.values["sh"][:, 1:].abs().max() > 0


def test_gaussians_go_in_and_come_out(wall_gaussians):
    turned = replace(wall_gaussians, quats=wall_gaussians.quats * np.float32(3))
    out = Parameters(turned).gaussians()
    np.testing.assert_array_equal(out.means, wall_gaussians.means)
    np.testing.assert_array_equal(out.sh, wall_gaussians.sh)
    np.testing.assert_allclose(np.linalg.norm(out.quats, axis=1), 1, atol=1e-6)
