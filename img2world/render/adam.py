"""Adam that updates only the Gaussians drawn in the current image."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from torch import Tensor

from img2world.render.extension import native_module, num_threads, simd_level

BETA1, BETA2 = 0.6, 0.999
"""Less momentum than the usual 0.9: trainings of a few hundred steps see each view only a few times."""

EPSILON = 1e-15
"""As in 3DGS: gradients of one Gaussian are far smaller than the usual 1e-8."""


@torch.no_grad()
def adam_step(
    values: Float[Tensor, "N *S"],
    gradients: Float[Tensor, "N *S"],
    means: Float[Tensor, "N *S"],
    squares: Float[Tensor, "N *S"],
    *,
    radii: Int32[Tensor, "N"] | None,
    step: int,
    rates: Float32[np.ndarray, "C"],
    betas: tuple[float, float] = (BETA1, BETA2),
    epsilon: float = EPSILON,
) -> None:
    """Update `values` and their moments in place, except rows whose radius is 0.

    `step` counts from 1; `rates` are the learning rates of the C values of a row. Native code updates float32
    tensors on the CPU, torch all others. Source: Kingma and Ba 2015, "Adam", algorithm 1; skipping what is not seen is
    the sparse Adam of Mallick et al. 2024, "Taming 3DGS", section 4.
    """
    tensors = (values, gradients, means, squares)
    if values.numel() == 0:
        return
    if values.dtype == torch.float32 and values.device.type == "cpu" and gradients.is_contiguous():
        rows = [tensor.detach().reshape(len(values), -1).numpy() for tensor in tensors]
        seen = None if radii is None else radii.numpy()
        native_module().adam(simd_level(), num_threads(), *rows, seen, rates, step, *betas, epsilon)
        return
    drawn = slice(None) if radii is None else radii > 0
    gradient = gradients[drawn]
    means[drawn] = mean = means[drawn].lerp(gradient, 1 - betas[0])
    squares[drawn] = square = squares[drawn].lerp(gradient.square(), 1 - betas[1])
    move = (mean / (1 - betas[0] ** step)) / ((square / (1 - betas[1] ** step)).sqrt() + epsilon)
    rate = torch.from_numpy(rates).to(values).reshape(values.shape[1:])
    values[drawn] -= rate * move


class Adam:
    """Adam as usual, for tensors that take steps of their own.

    The same as `torch.optim.Adam`, which needs seconds to start: it imports a compiler.
    """

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self) -> None:
        self._states: dict[Tensor, tuple[Tensor, Tensor]] = {}
        self._steps: dict[Tensor, int] = {}

    def step(self, values: Float[Tensor, "N *S"], rate: float) -> None:
        """Take one step down the gradient that `backward` left, if there is one, and clear it."""
        if values.grad is None:
            return
        if values not in self._states:
            self._states[values] = torch.zeros_like(values), torch.zeros_like(values)
        self._steps[values] = step = self._steps.get(values, 0) + 1
        rates = np.full(values.shape[1:].numel(), rate, np.float32)
        settings = {"betas": self.BETAS, "epsilon": self.EPSILON}
        adam_step(values, values.grad, *self._states[values], radii=None, step=step, rates=rates, **settings)
        values.grad = None
