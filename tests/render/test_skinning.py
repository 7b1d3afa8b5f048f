"""Skinning by native code is that of torch, and its gradients those of finite differences."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from img2world.render.skinning import product, skin, skin_by_torch
from img2world.render.splats import matrices_from_quats


def case(count: int, num_bones: int = 7, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Bones with turns of up to half a circle, and Gaussians that follow them."""
    rng = np.random.default_rng(count)
    turns = Rotation.random(num_bones, rng)
    moves = [turns.as_matrix().reshape(-1, 9), rng.normal(size=(num_bones, 3)), turns.as_quat(scalar_first=True)]
    indices = torch.from_numpy(rng.integers(0, num_bones, (count, 4)).astype(np.int32))
    rows = [rng.normal(size=(count, width)) for width in (4, 3, 4)]
    bones, *tensors = (torch.tensor(each, dtype=dtype, requires_grad=True) for each in (np.hstack(moves), *rows))
    return [bones, indices, *tensors]


def test_values_and_gradients_are_those_of_torch():
    # More than one piece, the last not full.
    tensors = case(2500)
    gradients = []
    for function in (skin, skin_by_torch):
        moved, turned = function(*tensors)
        ((moved * torch.linspace(-1, 1, 3)).sin().sum() + (turned * torch.linspace(1, 2, 4)).cos().sum()).backward()
        gradients.append([moved, turned, *(each.grad for each in tensors if each.requires_grad)])
        for each in tensors:
            each.grad = None
    for native, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(native.detach(), other.detach(), rtol=2e-4, atol=2e-4)


def test_gradients_of_torch_are_those_of_finite_differences():
    assert torch.autograd.gradcheck(skin_by_torch, case(5, dtype=torch.float64))


@pytest.mark.parametrize("wrong", [-1, 7])
def test_bones_that_are_not_there_are_refused(wrong):
    bones, indices, *rows = case(5)
    indices[3, 1] = wrong
    with pytest.raises(IndexError, match="there are 7"):
        skin(bones, indices, *rows)


def test_bits_do_not_depend_on_threads(monkeypatch):
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("IMG2WORLD_THREADS", threads)
        tensors = case(5000)
        moved, turned = skin(*tensors)
        (moved.square().sum() + turned.square().sum()).backward()
        found.append([moved, turned, *(each.grad for each in tensors if each.requires_grad)])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_quaternions_and_matrices_are_those_of_scipy():
    first, second = (Rotation.random(20, random_state=seed) for seed in (1, 2))
    quats = [torch.from_numpy(each.as_quat(scalar_first=True)) for each in (first, second)]
    np.testing.assert_allclose(matrices_from_quats(quats[0]).numpy(), first.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(matrices_from_quats(product(*quats)).numpy(), (first * second).as_matrix(), atol=1e-12)
