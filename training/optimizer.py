"""The optimizer of both trainings."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

OUTER = ("entry", "exit", "embed", "stance")
"""Layers that take in or give out, whose weights are not orthogonalized."""


class MuonAdamW:
    """Muon for the weights of inner layers, AdamW for all else.

    Muon (Jordan 2024, "Muon: an optimizer for hidden layers") makes each step of a matrix near orthogonal. nano-geo's
    loss was after 200 steps with it where AdamW alone was at the end of 400, at 18 % more time a step.
    """

    def __init__(self, network: nn.Module, *, rate: float, matrix_rate: float) -> None:
        """`rate` is AdamW's, `matrix_rate` that of Muon, scaled to steps as large as AdamW's."""
        named = list(network.named_parameters())
        inner = [values for name, values in named if values.ndim > 1 and not name.startswith(OUTER)]
        outer = [values for name, values in named if values.ndim > 1 and name.startswith(OUTER)]
        plain = [values for _, values in named if values.ndim <= 1]
        # torch's Muon takes matrices only: a convolution's weights are seen as one, in the same memory.
        self.matrices = [(values, as_matrix(values.data)) for values in inner]
        self.rates = (rate, matrix_rate)
        self.parts = (
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

    def step(self, share: float) -> None:
        """One step at a share of the rates, by the gradients that there are; these are forgotten."""
        for values, matrix in self.matrices:
            matrix.grad = None if values.grad is None else as_matrix(values.grad)
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * share
            part.step()
            part.zero_grad()
        for values, _ in self.matrices:
            values.grad = None

    def state_dict(self) -> list[dict[str, Any]]:
        """The states of both."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: Iterable[dict[str, Any]]) -> None:
        """Go on with them."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def as_matrix(values: Tensor) -> Tensor:
    """A row for each output; weights of a convolution that lie channels last, as the networks', are not copied."""
    return (values.permute(0, 2, 3, 1) if values.ndim == 4 else values).reshape(len(values), -1)
