"""Data-parallel training: `torchrun --nproc-per-node 2 -m training.train_geo OUT`.

Each process draws its own batches from its own data; all take the same steps with the mean of their gradients.
"""

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Worker:
    """One of `count` processes."""

    rank: int = 0
    count: int = 1

    def own_index(self, number: int) -> int:
        """Return the global index of a worker's local index; the same for a single worker."""
        return number * self.count + self.rank

    def average_gradients(self, network: nn.Module) -> None:
        """Replace the gradients of every worker by their mean."""
        if self.count == 1:
            return
        gradients = [_gradient(values) for values in network.parameters()]
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(joined)
        parts = (joined / self.count).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


def current_worker() -> Worker:
    """Return this process's worker as torchrun set it, or a single worker."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return Worker(int(os.environ.get("RANK", "0")), count)


def _gradient(values: nn.Parameter) -> Tensor:
    """Return the gradient, or zeros if this worker's batch has none: other workers may."""
    if values.grad is None:
        values.grad = torch.zeros_like(values)
    return values.grad
