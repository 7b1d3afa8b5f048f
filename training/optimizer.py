"""Optimizer of all trainings."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

OUTER = ("entry", "exit", "embed", "stance")
"""Prefixes of input and output layers, whose weights Muon does not train."""


class MuonAdamW:
    """Muon for the weight matrices of inner layers, AdamW for everything else.

    Muon (Jordan 2024, "Muon: an optimizer for hidden layers") makes each update of a matrix nearly orthogonal. With it
    nano-geo reached in 200 steps the loss that AdamW alone reached in 400, at 18 % more time per step.
    """

    def __init__(self, network: nn.Module, *, rate: float, matrix_rate: float) -> None:
        """`rate` is the learning rate of AdamW, `matrix_rate` that of Muon, whose updates are scaled to AdamW's RMS."""
        named = list(network.named_parameters())
        inner = [values for name, values in named if values.ndim > 1 and not name.startswith(OUTER)]
        outer = [values for name, values in named if values.ndim > 1 and name.startswith(OUTER)]
        plain = [values for _, values in named if values.ndim <= 1]
        # torch's Muon only takes matrices: a convolution's weights are passed as one that shares their memory.
        self.matrices = [(values, as_matrix(values.data)) for values in inner]
        self.rates = (rate, matrix_rate)
        self.optimizers = (
            torch.optim.AdamW(
                [{"params": outer, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}],
                lr=rate,
                betas=(0.9, 0.98),
                foreach=True,
            ),
            torch.optim.Muon(
                [matrix for _, matrix in self.matrices],
                lr=matrix_rate,
                weight_decay=0.02,
                adjust_lr_fn="match_rms_adamw",
            ),
        )

    def step(self, factor: float) -> None:
        """Take a step with the learning rates times `factor`, and clear the gradients."""
        for values, matrix in self.matrices:
            matrix.grad = None if values.grad is None else as_matrix(values.grad)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad()
        for values, _ in self.matrices:
            values.grad = None

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of both optimizers."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: Iterable[dict[str, Any]]) -> None:
        """Restore the states of both optimizers."""
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def as_matrix(values: Tensor) -> Tensor:
    """Return weights as a matrix with a row per output; channels-last convolution weights are not copied."""
    return (values.permute(0, 2, 3, 1) if values.ndim == 4 else values).reshape(len(values), -1)
