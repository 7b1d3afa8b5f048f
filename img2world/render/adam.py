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
        native_module().adam(simd_level(), num_threads(), *rows, seen, rates, step, BETA1, BETA2, EPSILON)
        return
    drawn = slice(None) if radii is None else radii > 0
    gradient = gradients[drawn]
    means[drawn] = mean = means[drawn].lerp(gradient, 1 - BETA1)
    squares[drawn] = square = squares[drawn].lerp(gradient.square(), 1 - BETA2)
    move = (mean / (1 - BETA1**step)) / ((square / (1 - BETA2**step)).sqrt() + EPSILON)
    rate = torch.from_numpy(rates).to(values).reshape(values.shape[1:])
    values[drawn] -= rate * move
