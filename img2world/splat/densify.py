"""Adaptive density control: clone and split Gaussians where detail is missing, prune those of no use.

Source: Kerbl et al. 2023, "3D Gaussian Splatting", section 5.2. Two differences: growth stays within a budget by
serving the largest gradients first, and opacities are not reset, which short trainings do not recover from.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from img2world.render.splats import Rendering
from img2world.splat.parameters import Parameters, Rows

DENSIFY_EVERY, DENSIFY_FROM, DENSIFY_UNTIL = 0.05, 0.05, 0.6
"""Fractions of the training: interval between densifications, earliest and latest time."""

MIN_INTERVAL = 12
"""Steps. A shorter interval gives too few gradients to tell which Gaussians to densify."""

MAX_GROWTH = 0.3
"""Largest growth at once, as a fraction of the present number: otherwise the first densification uses up the budget."""

SPLIT_SHRINK = 1.6
"""Ratio of the scales before and after a split (Kerbl 2023)."""

MIN_OPACITY = 0.01
"""Gaussians with a lower opacity are pruned."""

MAX_SPLIT_SCALE = 0.005
"""Standard deviation, in units of the scene's median depth, above which a Gaussian is split rather than cloned."""


@dataclass(frozen=True, kw_only=True)
class Densification:
    """Schedule and limits of densification."""

    steps: int
    """Length of the whole training."""
    max_gaussians: int
    min_gradient: float
    """Smallest mean screen-space gradient to clone or split for, on a screen whose half sides are 1."""
    scene_depth: float
    """Median depth of the scene in world units; scales are relative to it."""

    def is_due(self, step: int) -> bool:
        """Tell whether to densify after a step."""
        interval = max(MIN_INTERVAL, round(DENSIFY_EVERY * self.steps))
        return (step + 1) % interval == 0 and DENSIFY_FROM * self.steps <= step < DENSIFY_UNTIL * self.steps


class ScreenGradients:
    """Gradients of the loss with respect to screen-space positions, accumulated over views."""

    def __init__(self, num_gaussians: int, *, device: str = "cpu") -> None:
        self._sums = torch.zeros(num_gaussians, device=device)
        self._counts = torch.zeros(num_gaussians, device=device)

    def accumulate(self, rendering: Rendering) -> None:
        """Add one view, after `backward()`."""
        gradient = rendering.screen_means.grad
        assert gradient is not None  # Every rasterizer keeps it.
        height, width = rendering.alpha.shape
        x, y = gradient[:, 0] * (width / 2), gradient[:, 1] * (height / 2)
        # No reduction over an axis and no matrix product: their sums may depend on the number of threads.
        self._sums += (x * x + y * y).sqrt()
        self._counts += rendering.radii > 0

    def mean(self) -> Float[Tensor, "N"]:
        """Return the mean length over the views that show each Gaussian, 0 for those that none shows."""
        return self._sums / self._counts.clamp(min=1)


def densify(
    parameters: Parameters, gradients: Float[Tensor, "N"], settings: Densification, rng: np.random.Generator
) -> None:
    """Prune useless Gaussians, then clone or split those of the largest gradients as far as the budget allows."""
    values = {name: value.detach() for name, value in parameters.values.items()}
    scales = values["log_scales"].amax(1).exp()
    useful = values["logit_opacities"].sigmoid() >= MIN_OPACITY
    kept = int(useful.sum())
    room = min(settings.max_gaussians - kept, int(MAX_GROWTH * kept) + 1)
    chosen = _largest(torch.where(useful, gradients, 0), settings.min_gradient, room)
    large = scales > MAX_SPLIT_SCALE * settings.scene_depth
    split, cloned = _select(values, chosen & large), _select(values, chosen & ~large)
    halves = [_sample_half(split, rng), _sample_half(split, rng)]
    added = {name: torch.cat([cloned[name], halves[0][name], halves[1][name]]) for name in values}
    parameters.edit(useful & ~(chosen & large), added)


def _largest(gradients: Float[Tensor, "N"], minimum: float, room: int) -> Bool[Tensor, "N"]:
    """Mark at most `room` Gaussians whose gradient exceeds the minimum, the largest first, ties by index."""
    order = np.argsort(-gradients.cpu().numpy(), kind="stable")[: max(room, 0)]
    chosen = torch.zeros_like(gradients, dtype=torch.bool)
    chosen[torch.from_numpy(order).to(gradients.device)] = True
    return chosen & (gradients > minimum)


def _select(values: Rows, chosen: Bool[Tensor, "N"]) -> Rows:
    """Select some of the rows of every tensor."""
    return {name: value[chosen] for name, value in values.items()}


def _sample_half(rows: Rows, rng: np.random.Generator) -> Rows:
    """Draw one smaller Gaussian from the distribution of each given one."""
    noise = torch.from_numpy(rng.standard_normal((len(rows["means"]), 3), np.float32)).to(rows["means"].device)
    offsets = rotate(rows["quats"], noise * rows["log_scales"].exp())
    shrunk = rows["log_scales"] - float(np.log(SPLIT_SHRINK))
    return {**rows, "means": rows["means"] + offsets, "log_scales": shrunk}


def rotate(quats: Float[Tensor, "N 4"], vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Rotate vectors by wxyz quaternions of any length above zero: v + 2 w (q × v) + 2 q × (q × v)."""
    unit = quats / quats.square().sum(1, keepdim=True).sqrt()
    axis = unit[:, 1:]
    cross = torch.linalg.cross(axis, vectors)
    return vectors + 2 * (unit[:, :1] * cross + torch.linalg.cross(axis, cross))
