"""Processes that train one network together: `torchrun --nproc-per-node 2 -m training.train_geo OUT`.

Each draws batches of its own from pictures of its own; all take the same steps, by the mean of their gradients.
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

    def own(self, number: int) -> int:
        """The worker's own number of places, sequences or steps that all count alike; an only worker's is the same."""
        return number * self.count + self.rank

    def average_gradients(self, network: nn.Module) -> None:
        """Give every worker the mean of all gradients."""
        if self.count == 1:
            return
        gradients = [_gradient(values) for values in network.parameters()]
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(joined)
        parts = (joined / self.count).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


def this_worker() -> Worker:
    """Which one this process is, by what torchrun set; the only one without it."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return Worker(int(os.environ.get("RANK", "0")), count)


def _gradient(values: nn.Parameter) -> Tensor:
    """Zeros where a batch had nothing to say: the others may have."""
    if values.grad is None:
        values.grad = torch.zeros_like(values)
    return values.grad
