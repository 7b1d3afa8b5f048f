"""The training loop: draw a view, compare, step; now and then add and drop Gaussians."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from img2world.core.cameras import Cameras
from img2world.core.errors import Img2WorldError, MissingPackageError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress
from img2world.core.views import Views
from img2world.render import rasterize, resolve_backend
from img2world.render.splats import Rendering
from img2world.splat.coarse import halved
from img2world.splat.densify import Limits, Need, densify
from img2world.splat.initialize import depth_of_scene
from img2world.splat.objective import (
    MAX_SCALE,
    MAX_SPLIT_SCALE,
    REPORT_EVERY,
    diverged,
    loss_of,
    psnr_of,
    rates_at,
    shot_of,
)
from img2world.splat.parameters import Parameters

if TYPE_CHECKING:
    import img2world.splat.optimize

DENSIFY_EVERY, DENSIFY_FROM, DENSIFY_UNTIL = 0.05, 0.05, 0.6
"""Shares of the training between densifications, before the first and after the last."""

MIN_DENSIFY_STEPS = 25
"""Fewer steps than this between densifications say too little about who is in need."""

MIN_SIZE_TO_HALVE = 128
"""Pixels. Smaller pictures are fast as they are, and half of them would show too little."""

MIN_OPACITY = 0.01
"""Gaussians that hide less than this are dropped."""


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
        shot, order = shot_of(level, int(order[0]), device), order[1:]
        rendering = _draw(parameters, shot.camera, background, options.backend, step)
        loss = loss_of(rendering.rgb, rendering.alpha, rendering.depth, shot, options, share)
        if not torch.isfinite(loss):
            raise diverged(step, f"the loss is {float(loss)}")
        loss.backward()
        need.observe(rendering)
        parameters.step(rates_at(options, share, size), rendering.radii)
        if _densify_now(step, options.steps):
            densify(parameters, need, limits, rng)
            need = Need(parameters)
            if len(parameters) == 0:
                raise diverged(step, "no Gaussian is left")
        if parameters.sh_degree < min(options.sh_degree, int((options.sh_degree + 1) * 2 * share)):
            parameters.raise_sh_degree()
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == options.steps:
            psnr = _running(psnr, psnr_of(rendering.rgb, shot.target))
            progress(step + 1, options.steps, psnr=psnr, gaussians=float(len(parameters)))
    gaussians = parameters.gaussians()
    return gaussians.select(gaussians.opacities >= MIN_OPACITY)


def _draw(
    parameters: Parameters, camera: Cameras, background: tuple[float, float, float], backend: str, step: int
) -> Rendering:
    """What the camera sees now. Raises SplatError when a Gaussian is no longer finite."""
    try:
        return rasterize(parameters.splats(), camera, background=background, backend=backend)
    except MissingPackageError:
        raise
    except Img2WorldError as error:
        raise diverged(step, str(error)) from error


def _densify_now(step: int, steps: int) -> bool:
    """Whether Gaussians are added and dropped after this step."""
    every = max(MIN_DENSIFY_STEPS, round(DENSIFY_EVERY * steps))
    return (step + 1) % every == 0 and DENSIFY_FROM * steps <= step < DENSIFY_UNTIL * steps


def _running(mean: float, value: float) -> float:
    """Mean that forgets slowly, as single views differ much."""
    return value if mean == 0 else 0.8 * mean + 0.2 * value
