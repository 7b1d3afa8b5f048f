"""Gaussians as samples: useless ones move to where others are, and all of them tremble.

Source: Kheradmand et al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo".
"""

import numpy as np
import torch
from jaxtyping import Float, Int

from img2world.splat.densify import rotate
from img2world.splat.parameters import Parameters

MIN_OPACITY = 0.005
"""Gaussians that hide less are moved."""

GROWTH = 0.05
"""Share of the present number that is added at once."""

MAX_COPIES = 51
"""Of one Gaussian at once (equation 9 is summed up to it)."""

NOISE = 5e5
"""Strength of the trembling, in learning rates of positions (equation 8)."""

STEEPNESS = 100.0
"""Of the fall of the trembling with opacity."""

REGULARIZATION = 0.01
"""Of mean opacity and mean scale in the loss, so that what is not needed fades (equation 10)."""


def regularize(parameters: Parameters, size: float) -> None:
    """Add the gradients of the regularization to those that `backward` left. `size` is the scene's median depth."""
    opacities, scales = parameters.values["logit_opacities"], parameters.values["log_scales"]
    if opacities.grad is None or scales.grad is None:
        return
    opacity = opacities.detach().sigmoid()
    opacities.grad += (REGULARIZATION / opacity.numel()) * opacity * (1 - opacity)
    scales.grad += (REGULARIZATION / scales.numel() / size) * scales.detach().exp()


@torch.no_grad()
def tremble(parameters: Parameters, means_lr: float, rng: np.random.Generator) -> None:
    """Shake the faint Gaussians, within their own shapes: they look for a better place."""
    values = parameters.values
    opacity = values["logit_opacities"].sigmoid()
    strength = torch.sigmoid(STEEPNESS * (MIN_OPACITY - opacity))
    # Above this opacity the strength is below a thousandth.
    rows = torch.nonzero(opacity < MIN_OPACITY + 7 / STEEPNESS)[:, 0]
    noise = torch.from_numpy(rng.standard_normal((len(rows), 3), np.float32)).to(opacity.device)
    quats, scales = values["quats"][rows], values["log_scales"][rows].exp()
    turned = rotate(quats * torch.tensor([1.0, -1, -1, -1], device=quats.device), noise)
    shaken = rotate(quats, turned * scales.square())
    values["means"][rows] += shaken * (strength[rows] * (means_lr * NOISE))[:, None]


@torch.no_grad()
def relocate(parameters: Parameters, max_gaussians: int, rng: np.random.Generator) -> None:
    """Drop useless Gaussians, and copy others, by chance and opacity, in their place and a few more."""
    values = {name: value.detach() for name, value in parameters.values.items()}
    opacity = values["logit_opacities"].sigmoid()
    dead = opacity <= MIN_OPACITY
    total = min(max_gaussians, int((1 + GROWTH) * len(parameters)) + 1)
    wanted = max(0, total - int((~dead).sum()))
    alive = torch.nonzero(~dead)[:, 0]
    if wanted == 0 or len(alive) == 0:
        return
    chances = opacity[alive].double().cpu().numpy()
    chosen = rng.choice(alive.cpu().numpy(), wanted, p=chances / chances.sum())
    sources, extra = np.unique(chosen, return_counts=True)
    copies = np.minimum(extra + 1, MAX_COPIES)
    rows = torch.from_numpy(np.repeat(sources, copies)).to(opacity.device)
    new_opacity, shrink = shared_among(opacity.cpu().numpy()[sources], copies)
    added = {name: value[rows] for name, value in values.items()}
    logits = np.log(new_opacity) - np.log1p(-new_opacity)
    added["logit_opacities"] = torch.from_numpy(np.repeat(logits, copies).astype(np.float32)).to(rows.device)
    smaller = torch.from_numpy(np.repeat(np.log(shrink), copies).astype(np.float32)).to(rows.device)
    added["log_scales"] = added["log_scales"] + smaller[:, None]
    keep = ~dead
    keep[torch.from_numpy(sources).to(keep.device)] = False
    parameters.edit(keep, added)


def shared_among(
    opacity: Float[np.ndarray, "S"], copies: Int[np.ndarray, "S"]
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "S"]]:
    """Opacity, and factor of the scales, of each of some Gaussians in one place that look like one (equation 9)."""
    from scipy.special import comb

    new = np.clip(1 - (1 - opacity.astype(np.float64)) ** (1 / copies), MIN_OPACITY, 1 - 1e-6)
    spread = np.zeros_like(new)
    for i in range(1, int(copies.max()) + 1):
        for k in range(i):
            term = comb(i - 1, k) * (-1.0) ** k / np.sqrt(k + 1) * new ** (k + 1)
            spread += np.where(copies >= i, term, 0)
    return new, opacity / np.maximum(spread, 1e-12)
