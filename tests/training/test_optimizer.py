import numpy as np
import pytest
import torch
from torch import nn

from img2world.depth.network import GeometryNetwork
from training.optimizer import MuonAdamW, as_matrix


def test_update_of_an_inner_layer_is_nearly_orthogonal():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 16, 3)).to(memory_format=torch.channels_last)
    before = as_matrix(network[0].weight.data).clone()
    optimizer = MuonAdamW(network, rate=1e-3, matrix_rate=1e-2)
    network(torch.randn(2, 8, 6, 6)).square().sum().backward()
    optimizer.step(0.5)
    change = as_matrix(network[0].weight.data) - (1 - 0.5e-2 * 0.02) * before
    sizes = torch.linalg.svdvals(change).numpy()
    # RMS of an AdamW update: 0.2 times the rate times the root of the longer side.
    np.testing.assert_allclose(sizes, 0.5e-2 * 0.2 * np.sqrt(72), rtol=0.5)
    assert network[0].weight.grad is None


def test_each_weight_has_one_optimizer():
    network = GeometryNetwork((16, 24, 32))
    optimizer = MuonAdamW(network, rate=1e-3, matrix_rate=1e-3)
    inner = {id(values) for values, _ in optimizer.matrices}
    outer = {id(values) for group in optimizer.optimizers[0].param_groups for values in group["params"]}
    assert not inner & outer
    assert inner | outer == {id(values) for values in network.parameters()}
    for values, matrix in optimizer.matrices:
        assert matrix.data_ptr() == values.data_ptr()


def test_restored_optimizer_takes_the_same_steps():
    def trained(network: nn.Module, optimizer: MuonAdamW, steps: int) -> torch.Tensor:
        for _ in range(steps):
            network(torch.ones(1, 4)).square().sum().backward()
            optimizer.step(1.0)
        return network[0].weight.detach().clone()

    torch.manual_seed(0)
    whole, cut = nn.Sequential(nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 4))
    cut.load_state_dict(whole.state_dict())
    expected = trained(whole, MuonAdamW(whole, rate=1e-2, matrix_rate=1e-2), 4)
    first = MuonAdamW(cut, rate=1e-2, matrix_rate=1e-2)
    trained(cut, first, 2)
    second = MuonAdamW(cut, rate=1e-2, matrix_rate=1e-2)
    second.load_state_dict(first.state_dict())
    assert trained(cut, second, 2).numpy() == pytest.approx(expected.numpy(), abs=0)
