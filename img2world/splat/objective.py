"""What a training strives for and how fast, whoever draws the pictures: shared by the CPU and CUDA."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from img2world.core.cameras import Cameras
from img2world.core.errors import SplatError
from img2world.core.views import Views
from img2world.render.loss import Target, Weights, view_loss

if TYPE_CHECKING:
    import img2world.splat.optimize

REPORT_EVERY = 10
"""Steps between reports of progress."""

MEANS_LR_FALL = 0.01
"""The last learning rate of positions, as a share of the first (Kerbl 2023)."""

REST_LR_SHARE = 0.05
"""Learning rate of directional colour, as a share of that of constant colour (Kerbl 2023)."""

MAX_SPLIT_SCALE, MAX_SCALE = 0.005, 1.0
"""Standard deviations, in units of the scene's median depth, above which a Gaussian is split rather than
cloned, and dropped."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One view to train on."""

    camera: Cameras
    target: Target
    confidence: float


def shot_of(views: Views, i: int, device: str) -> Shot:
    """One view as tensors, which share the memory of the arrays on the CPU."""
    target = Target(
        rgb=torch.from_numpy(views.rgb[i]).to(device),
        alpha=None if views.alpha is None else torch.from_numpy(views.alpha[i]).to(device),
        depth=None if views.depth is None else torch.from_numpy(views.depth[i]).to(device),
        mask=None if views.mask is None else torch.from_numpy(views.mask[i]).to(device),
    )
    return Shot(camera=views.cameras.select([i]), target=target, confidence=float(views.confidence[i]))


def loss_of(
    rgb: Float[Tensor, "H W 3"],
    alpha: Float[Tensor, "H W"],
    depth: Float[Tensor, "H W"],
    shot: Shot,
    options: "img2world.splat.optimize.GaussianSplat",
    share: float,
) -> Float[Tensor, ""]:
    """What is to be made small: errors of colour, outline and depth, weighted by the trust in the camera.

    `share` of the training, 0 to 1, is done.
    """
    weights = Weights(
        colors=shot.confidence,
        dssim_fraction=options.dssim_share,
        alpha=shot.confidence * options.alpha_weight,
        depth=shot.confidence * options.depth_weight * (1 - share),
    )
    return view_loss(rgb, alpha, depth, shot.target, weights)


def rates_at(options: "img2world.splat.optimize.GaussianSplat", share: float, size: float) -> dict[str, float]:
    """Learning rates when a share of the training, 0 to 1, is done. `size` is the scene's median depth."""
    return {
        "means": options.means_lr * size * MEANS_LR_FALL**share,
        "quats": options.quats_lr,
        "log_scales": options.scales_lr,
        "logit_opacities": options.opacities_lr,
        "dc": options.colors_lr,
        "rest": options.colors_lr * REST_LR_SHARE,
    }


@torch.no_grad()
def psnr_of(rgb: Float[Tensor, "H W 3"], target: Target) -> float:
    """Of one view, in dB."""
    error = (rgb.clamp(0, 1) - target.rgb / 255).square().mean()
    return float(-10 * torch.log10(error.clamp(min=1e-10)))


def diverged(step: int, why: str) -> SplatError:
    """The error of a training that has run away."""
    return SplatError(
        f"the training diverged at step {step}: {why}",
        hint="lower splat.means_lr, splat.scales_lr and splat.colors_lr, or check the cameras with `img2world doctor`",
    )
