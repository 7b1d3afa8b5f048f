"""Limits on the size and shape of Gaussians, which views from nearby cameras do not determine.

Growth along the line of sight costs nothing in the views that are trained on. From beyond them it shows as needles.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MAX_SCALE = 0.07
"""Largest standard deviation as a fraction of the distance from a camera: 4°. Distant skies still get large ones."""

MAX_ELONGATION = 15.0
"""Largest ratio of the two larger standard deviations. The smallest is free, since surfaces are thin."""


@torch.no_grad()
def limit_scales(
    log_scales: Float[Tensor, "N 3"],
    means: Float[Tensor, "N 3"],
    center: Float[Tensor, "3"],
    in_view: Bool[Tensor, "N"],
) -> None:
    """Shrink in place the axes of the Gaussians in view of a camera to the limits, given its position in the world."""
    # No reduction over an axis and no matrix product: their sums may depend on the number of threads.
    x, y, z = (means - center).unbind(1)
    largest = 0.5 * (x * x + y * y + z * z).log() + math.log(MAX_SCALE)
    a, b, c = log_scales.unbind(1)
    middle = torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))
    limit = torch.minimum(largest, middle + math.log(MAX_ELONGATION))
    log_scales.copy_(torch.minimum(log_scales, torch.where(in_view, limit, torch.inf)[:, None]))
