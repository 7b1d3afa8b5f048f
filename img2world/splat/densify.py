"""Where Gaussians are missing, and which are of no use: cloning, splitting and pruning under a budget.

Source: Kerbl et al. 2023, "3D Gaussian Splatting", section 5.2. Differences: growth keeps a budget by
taking the neediest first, and opacities are not reset, which short trainings do not recover from.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from img2world.render.splats import Rendering
from img2world.splat.parameters import Parameters, Rows

MAX_GROWTH = 0.3
"""Share of the present number that is added at once at most: those in need late are served by those served early."""

SPLIT_SHRINK = 1.6
"""How much smaller the two halves of a split Gaussian are (Kerbl 2023)."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a Gaussian is divided or dropped."""

    max_gaussians: int
    min_gradient: float
    """Mean gradient of the loss with respect to the position on the screen, whose half sides are 1."""
    min_opacity: float
    max_split_scale: float
    """World units; a Gaussian in need that is smaller is cloned, a larger one split."""
    max_scale: float
    """World units; larger ones are dropped."""


class Need:
    """How much the loss wants each Gaussian to move on the screen, mean of the views that drew it."""

    def __init__(self, parameters: Parameters) -> None:
        self._gradients = torch.zeros_like(parameters.values["logit_opacities"], requires_grad=False)
        self._views = torch.zeros_like(self._gradients)

    def observe(self, rendering: Rendering) -> None:
        """Take in one view, after `backward()`."""
        gradient = rendering.screen_means.grad
        assert gradient is not None  # Every rasterizer keeps it.
        height, width = rendering.alpha.shape
        x, y = gradient[:, 0] * (width / 2), gradient[:, 1] * (height / 2)
        # No reduction over an axis and no matrix product: their sums may depend on the number of threads.
        self._gradients += (x * x + y * y).sqrt()
        self._views += rendering.radii > 0

    def mean(self) -> Float[Tensor, "N"]:
        """Mean gradient, 0 for those never drawn."""
        return self._gradients / self._views.clamp(min=1)


def densify(parameters: Parameters, need: Need, limits: Limits, rng: np.random.Generator) -> None:
    """Drop useless Gaussians, then clone or split the neediest as the budget allows."""
    values = {name: value.detach() for name, value in parameters.values.items()}
    sizes = values["log_scales"].amax(1).exp()
    useful = (values["logit_opacities"].sigmoid() >= limits.min_opacity) & (sizes <= limits.max_scale)
    kept = int(useful.sum())
    room = min(limits.max_gaussians - kept, int(MAX_GROWTH * kept) + 1)
    wanted = _neediest(torch.where(useful, need.mean(), 0), limits.min_gradient, room)
    large = sizes > limits.max_split_scale
    split, cloned = _rows(values, wanted & large), _rows(values, wanted & ~large)
    halves = [_half(split, rng), _half(split, rng)]
    added = {name: torch.cat([cloned[name], halves[0][name], halves[1][name]]) for name in values}
    parameters.edit(useful & ~(wanted & large), added)


def _neediest(need: Float[Tensor, "N"], minimum: float, room: int) -> Bool[Tensor, "N"]:
    """At most `room` Gaussians whose need is above the minimum, the greatest first, ties by index."""
    order = np.argsort(-need.cpu().numpy(), kind="stable")[: max(room, 0)]
    wanted = torch.zeros_like(need, dtype=torch.bool)
    wanted[torch.from_numpy(order).to(need.device)] = True
    return wanted & (need > minimum)


def _rows(values: Rows, chosen: Bool[Tensor, "N"]) -> Rows:
    """Some of the rows of every tensor."""
    return {name: value[chosen] for name, value in values.items()}


def _half(rows: Rows, rng: np.random.Generator) -> Rows:
    """Smaller Gaussians at random places inside the given ones."""
    noise = torch.from_numpy(rng.standard_normal((len(rows["means"]), 3), np.float32)).to(rows["means"].device)
    offsets = rotate(rows["quats"], noise * rows["log_scales"].exp())
    shrunk = rows["log_scales"] - float(np.log(SPLIT_SHRINK))
    return {**rows, "means": rows["means"] + offsets, "log_scales": shrunk}


def rotate(quats: Float[Tensor, "N 4"], vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Vectors turned by wxyz quaternions, which need not have unit length: v + 2 w (q × v) + 2 q × (q × v)."""
    unit = quats / quats.square().sum(1, keepdim=True).sqrt()
    axis = unit[:, 1:]
    cross = torch.linalg.cross(axis, vectors)
    return vectors + 2 * (unit[:, :1] * cross + torch.linalg.cross(axis, cross))
