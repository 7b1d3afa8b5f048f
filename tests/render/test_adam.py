import numpy as np
import pytest
import torch

from img2world.render.adam import BETA1, BETA2, EPSILON, Adam, adam_step
from img2world.render.extension import native_module

LEVELS = native_module().simd_levels()


def gradients_of(shape, steps):
    rng = np.random.default_rng(3)
    # Of very different sizes, as those of Gaussians are.
    return [
        torch.tensor(rng.normal(size=shape) * 10 ** rng.uniform(-9, 0, shape), dtype=torch.float32)
        for _ in range(steps)
    ]


def rates_of(shape, rate):
    return np.full(int(np.prod(shape[1:])), rate, np.float32)


@pytest.mark.parametrize("simd", LEVELS)
@pytest.mark.parametrize("shape", [(1,), (5000,), (777, 3), (300, 15, 3), (0, 3)])
def test_dense_steps_match_torch(simd, shape, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    ours = torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    theirs = ours.clone().requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(BETA1, BETA2), eps=EPSILON)
    mean, square = torch.zeros_like(ours), torch.zeros_like(ours)
    for step, gradient in enumerate(gradients_of(shape, 5), 1):
        theirs.grad = gradient.clone()
        adam.step()
        adam_step(ours, gradient, mean, square, radii=None, step=step, rates=rates_of(shape, 0.01))
    torch.testing.assert_close(ours, theirs.detach(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("simd", LEVELS)
@pytest.mark.parametrize("columns", [1, 3, 12, 48])
def test_each_column_has_its_own_rate(simd, columns, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_SIMD", simd)
    rates = np.linspace(0.01, 0.2, columns, dtype=np.float32)
    values, mean, square = torch.zeros(90, columns), torch.zeros(90, columns), torch.zeros(90, columns)
    radii = torch.tensor(np.random.default_rng(1).integers(0, 2, 90), dtype=torch.int32)
    adam_step(values, torch.ones_like(values), mean, square, radii=radii, step=1, rates=rates)
    # The first step of Adam has the length of the rate, whatever the gradient.
    np.testing.assert_allclose(values[radii > 0], -np.tile(rates, (int((radii > 0).sum()), 1)), rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_that_are_not_drawn_are_not_updated(dtype):
    shape = (100, 4)
    radii = torch.tensor(np.random.default_rng(1).integers(0, 2, 100), dtype=torch.int32)
    values, mean, square = (torch.full(shape, value, dtype=dtype) for value in (1.0, 0.5, 0.25))
    whole = [tensor.clone() for tensor in (values, mean, square)]
    (gradient,) = gradients_of(shape, 1)
    adam_step(values, gradient.to(dtype), mean, square, radii=radii, step=3, rates=rates_of(shape, 0.1))
    adam_step(whole[0], gradient.to(dtype), *whole[1:], radii=None, step=3, rates=rates_of(shape, 0.1))
    for part, all_rows, before in zip((values, mean, square), whole, (1.0, 0.5, 0.25), strict=True):
        assert (part[radii == 0] == before).all()
        torch.testing.assert_close(part[radii > 0], all_rows[radii > 0], rtol=0, atol=0)
        assert (part[radii > 0] != before).any()


def test_threads_do_not_change_a_bit(monkeypatch):
    (gradient,) = gradients_of((20_000, 3), 1)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("IMG2WORLD_THREADS", str(threads))
        values, mean, square = torch.ones(20_000, 3), torch.zeros(20_000, 3), torch.zeros(20_000, 3)
        adam_step(values, gradient, mean, square, radii=None, step=1, rates=rates_of((0, 3), 0.1))
        results.append(values)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_tensors_with_steps_of_their_own_match_torch():
    shapes, ours = [(5, 4), (7, 3)], Adam()
    mine = [torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape).requires_grad_() for shape in shapes]
    theirs = [each.detach().clone().requires_grad_() for each in mine]
    adam = torch.optim.Adam([{"params": [theirs[0]], "lr": 0.01}, {"params": [theirs[1]], "lr": 0.03}])
    for step in range(6):
        for k in (0, 1) if step % 2 else (1,):
            gradient = gradients_of(shapes[k], step + 1)[-1]
            mine[k].grad, theirs[k].grad = gradient.clone(), gradient
        adam.step()
        adam.zero_grad()
        ours.step(mine[0], 0.01)
        ours.step(mine[1], 0.03)
        assert mine[0].grad is None
    for k in (0, 1):
        torch.testing.assert_close(mine[k], theirs[k], rtol=2e-6, atol=2e-6)
