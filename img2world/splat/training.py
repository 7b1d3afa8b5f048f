"""The training loop: draw a view, compare, step; now and then add and drop Gaussians."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from img2world.core.cameras import Cameras
from img2world.core.errors import Img2WorldError, MissingPackageError, SplatError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress
from img2world.core.views import Views
from img2world.render import rasterize, resolve_backend
from img2world.render.loss import l1_dssim
from img2world.render.splats import Rendering
from img2world.splat.coarse import halved
from img2world.splat.densify import Limits, Need, densify
from img2world.splat.initialize import depth_of_scene
from img2world.splat.parameters import Parameters

if TYPE_CHECKING:
    import img2world.splat.optimize

REPORT_EVERY = 10
"""Steps between reports of progress."""

MEANS_LR_FALL = 0.01
"""The last learning rate of positions, as a share of the first (Kerbl 2023)."""

REST_LR_SHARE = 0.05
"""Learning rate of directional colour, as a share of that of constant colour (Kerbl 2023)."""

DENSIFY_EVERY, DENSIFY_FROM, DENSIFY_UNTIL = 0.05, 0.05, 0.6
"""Shares of the training between densifications, before the first and after the last."""

MIN_DENSIFY_STEPS = 25
"""Fewer steps than this between densifications say too little about who is in need."""

MIN_SIZE_TO_HALVE = 128
"""Pixels. Smaller pictures are fast as they are, and half of them would show too little."""

MIN_OPACITY = 0.01
"""Gaussians that hide less than this are dropped."""

MAX_SPLIT_SCALE, MAX_SCALE = 0.005, 1.0
"""Standard deviations, in units of the scene's median depth, above which a Gaussian is split rather than
cloned, and dropped."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one view should look like."""

    camera: Cameras
    rgb: Float[Tensor, "H W 3"]
    alpha: Float[Tensor, "H W"]
    """1 everywhere in scenes, since every pixel of a photo shows something."""
    depth: Float[Tensor, "H W"] | None
    """0 where nothing is known."""
    confidence: float


def train(
    start: Gaussians,
    views: Views,
    options: "img2world.splat.optimize.GaussianSplat",
    *,
    background: tuple[float, float, float],
    seed: int,
    progress: Progress,
) -> Gaussians:
    """Fit Gaussians to all the views. Raises SplatError when the loss is no longer a number."""
    rng = np.random.default_rng(seed)
    device = "cuda" if resolve_backend(options.backend) == "gsplat" else "cpu"
    parameters = Parameters(start, device)
    size = depth_of_scene(views.cameras, start.means)
    limits = Limits(
        max_gaussians=options.max_gaussians,
        min_gradient=options.densify_gradient,
        min_opacity=MIN_OPACITY,
        max_split_scale=MAX_SPLIT_SCALE * size,
        max_scale=MAX_SCALE * size,
    )
    need = Need(parameters)
    coarse = halved(views) if min(views.cameras.width, views.cameras.height) >= MIN_SIZE_TO_HALVE else views
    order = np.zeros(0, np.int64)
    psnr = 0.0
    for step in range(options.steps):
        share = step / options.steps
        if len(order) == 0:
            order = rng.permutation(len(views))
        level = coarse if share < options.coarse_share else views
        target, order = target_of(level, int(order[0]), device), order[1:]
        rendering = _draw(parameters, target.camera, background, options.backend, step)
        loss = _loss(rendering, target, options, share)
        if not torch.isfinite(loss):
            raise _diverged(step, f"the loss is {float(loss)}")
        loss.backward()
        need.observe(rendering)
        parameters.step(_rates(options, share, size), rendering.radii)
        if _densify_now(step, options.steps):
            densify(parameters, need, limits, rng)
            need = Need(parameters)
            if len(parameters) == 0:
                raise _diverged(step, "no Gaussian is left")
        if parameters.sh_degree < min(options.sh_degree, int((options.sh_degree + 1) * 2 * share)):
            parameters.raise_sh_degree()
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == options.steps:
            psnr = _running(psnr, _psnr(rendering, target))
            progress(step + 1, options.steps, psnr=psnr, gaussians=float(len(parameters)))
    gaussians = parameters.gaussians()
    return gaussians.select(gaussians.opacities >= MIN_OPACITY)


def target_of(views: Views, i: int, device: str) -> Target:
    """One view as tensors."""
    rgb = torch.from_numpy(views.rgb[i]).to(device).float() / 255
    alpha = torch.ones(rgb.shape[:2], device=device)
    if views.alpha is not None:
        alpha = torch.from_numpy(views.alpha[i]).to(device).float() / 255
    depth = None if views.depth is None else torch.from_numpy(views.depth[i]).to(device)
    return Target(
        camera=views.cameras.select([i]), rgb=rgb, alpha=alpha, depth=depth, confidence=float(views.confidence[i])
    )


def _loss(
    rendering: Rendering, target: Target, options: "img2world.splat.optimize.GaussianSplat", share: float
) -> Float[Tensor, ""]:
    """What is to be made small: errors of colour, outline and depth, weighted by the trust in the camera."""
    loss = l1_dssim(rendering.rgb, target.rgb, options.dssim_share)
    if options.alpha_weight > 0:
        loss = loss + options.alpha_weight * (rendering.alpha - target.alpha).abs().mean()
    if options.depth_weight > 0 and target.depth is not None:
        known = target.depth > 0
        error = (rendering.depth / torch.where(known, target.depth, 1) - 1).abs()
        # Beyond a tenth the two see different surfaces, at an edge; pulling there would smear it.
        error = torch.where(known & (error < 0.1), error, 0)
        loss = loss + options.depth_weight * (1 - share) * error.mean()
    return loss * target.confidence


def _draw(
    parameters: Parameters, camera: Cameras, background: tuple[float, float, float], backend: str, step: int
) -> Rendering:
    """What the camera sees now. Raises SplatError when a Gaussian is no longer finite."""
    try:
        return rasterize(parameters.splats(), camera, background=background, backend=backend)
    except MissingPackageError:
        raise
    except Img2WorldError as error:
        raise _diverged(step, str(error)) from error


def _diverged(step: int, why: str) -> SplatError:
    """The error of a training that has run away."""
    return SplatError(
        f"the training diverged at step {step}: {why}",
        hint="lower splat.means_lr, splat.scales_lr and splat.colors_lr, or check the cameras with `img2world doctor`",
    )


def _rates(options: "img2world.splat.optimize.GaussianSplat", share: float, depth_of_scene: float) -> dict[str, float]:
    """Learning rates when a share of the training, 0 to 1, is done."""
    return {
        "means": options.means_lr * depth_of_scene * MEANS_LR_FALL**share,
        "quats": options.quats_lr,
        "log_scales": options.scales_lr,
        "logit_opacities": options.opacities_lr,
        "dc": options.colors_lr,
        "rest": options.colors_lr * REST_LR_SHARE,
    }


def _densify_now(step: int, steps: int) -> bool:
    """Whether Gaussians are added and dropped after this step."""
    every = max(MIN_DENSIFY_STEPS, round(DENSIFY_EVERY * steps))
    return (step + 1) % every == 0 and DENSIFY_FROM * steps <= step < DENSIFY_UNTIL * steps


@torch.no_grad()
def _psnr(rendering: Rendering, target: Target) -> float:
    """Of one view, in dB."""
    error = (rendering.rgb.clamp(0, 1) - target.rgb).square().mean()
    return float(-10 * torch.log10(error.clamp(min=1e-10)))


def _running(mean: float, value: float) -> float:
    """Mean that forgets slowly, as single views differ much."""
    return value if mean == 0 else 0.8 * mean + 0.2 * value
