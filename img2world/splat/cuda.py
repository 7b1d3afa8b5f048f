"""The training loop on CUDA, by gsplat: its rasterizer, its densification and its Adam.

Source: Ye et al. 2024, "gsplat: An Open-Source Library for Gaussian Splatting". Its names of tensors are kept
here, since its strategies look for them: `scales` are logarithms and `opacities` are logits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from img2world.core.cameras import Cameras
from img2world.core.errors import MissingPackageError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress
from img2world.core.views import Views
from img2world.render.gsplat import rasterization_arguments
from img2world.render.splats import Splats, camera_tensors, gaussians_from_splats
from img2world.splat.corrections import Corrections
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

if TYPE_CHECKING:
    import img2world.splat.optimize

NAMES = {"means": "means", "quats": "quats", "scales": "log_scales", "opacities": "logit_opacities"}
"""gsplat's names to ours. Beside them stand `sh0` and `shN`, the constant colour and the rest."""

RATE_NAMES = {**NAMES, "sh0": "dc", "shN": "rest"}
"""gsplat's names to those of the learning rates."""

BETAS, EPSILON = (0.9, 0.999), 1e-15
"""Of Adam, as in 3DGS."""

REFINE_FROM, REFINE_UNTIL = 0.05, 0.8
"""Shares of the training before the first and after the last time that Gaussians are added."""

REFINE_EVERY = (20, 100)
"""Fewest and most steps in between; gsplat's 100 is for trainings of 30,000."""

NOISE = 5e5 * 1.6e-4
"""MCMC's noise at the start, which gsplat gives as a multiple of its own first rate of positions."""

MCMC_REGULARIZATION = 0.01
"""Weight of mean opacity and mean size in the loss, without which MCMC frees no Gaussians (Kheradmand et al.
2024, "3D Gaussian Splatting as Markov Chain Monte Carlo", equation 14)."""

MIN_OPACITY = 0.005
"""gsplat's strategies take what hides less for dead."""


@dataclass(frozen=True, kw_only=True)
class Machinery:
    """Whatever draws and steps; gsplat's run on CUDA only."""

    rasterization: Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]
    """With gsplat's arguments and results."""
    adam: Callable[..., torch.optim.Optimizer]
    """Makes an optimizer whose `step(visibility)` moves only the visible rows."""
    device: str


def gsplat_machinery() -> Machinery:
    """The machinery of gsplat. Raises MissingPackageError when it or CUDA is not there."""
    if not torch.cuda.is_available():
        raise MissingPackageError("gsplat needs a CUDA device, there is none", hint="set splat.backend to native")
    try:
        from gsplat import rasterization
        from gsplat.optimizers import SelectiveAdam
    except ImportError as error:
        raise MissingPackageError(
            f"gsplat 1.5 or newer is needed: {error}", hint="pip install 'img2world[cuda]'"
        ) from error
    return Machinery(rasterization=rasterization, adam=SelectiveAdam, device="cuda")


def train(
    start: Gaussians,
    views: Views,
    options: "img2world.splat.optimize.GaussianSplat",
    *,
    background: tuple[float, float, float],
    seed: int,
    progress: Progress,
    unseen: Views | None = None,
    machinery: Machinery | None = None,
) -> tuple[Gaussians, Cameras]:
    """Fit Gaussians to all the views; give them, and the cameras as they were refined. It never stops early.

    The same seed gives nearly the same scene, not the same bits: gsplat adds gradients in any order. Raises
    SplatError when the loss is no longer a number, MissingPackageError when gsplat cannot run here.
    """
    machinery = machinery or gsplat_machinery()
    size = depth_of_scene(views.cameras, start.means)
    devices = [torch.cuda.current_device()] if machinery.device == "cuda" else []
    # gsplat draws from torch's global generators, which belong to the caller.
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        training = Training(start, len(views), options, size, machinery)
        order = np.zeros(0, np.int64)
        rng = np.random.default_rng(seed)
        for step in range(options.steps):
            if len(order) == 0:
                order = rng.permutation(len(views))
            psnr = training.step(step, views, int(order[0]), background)
            order = order[1:]
            if (step + 1) % REPORT_EVERY == 0 or step + 1 == options.steps:
                progress(step + 1, options.steps, psnr=psnr, gaussians=float(len(training.params["means"])))
    gaussians = training.gaussians()
    return gaussians.select(gaussians.opacities >= MIN_OPACITY), training.corrections.cameras(views.cameras)


class Training:
    """Gaussians under training, with the state of gsplat's strategy and of Adam."""

    def __init__(
        self,
        start: Gaussians,
        num_views: int,
        options: "img2world.splat.optimize.GaussianSplat",
        size: float,
        machinery: Machinery,
    ) -> None:
        self._options, self._size, self._machinery = options, size, machinery
        self.corrections = Corrections(
            num_views, poses=options.refine_poses, exposures=options.match_exposures, size=size
        )
        self.params = parameters_of(start, options.sh_degree, machinery.device)
        self._adams = {
            name: machinery.adam([{"params": [value], "lr": 0.0}], eps=EPSILON, betas=BETAS)
            for name, value in self.params.items()
        }
        self._strategy = strategy_of(options, size)
        self._strategy.check_sanity(self.params, self._adams)
        self._state = (
            self._strategy.initialize_state()
            if options.strategy == "mcmc"
            else self._strategy.initialize_state(scene_scale=size)
        )

    def step(self, step: int, views: Views, i: int, background: tuple[float, float, float]) -> float:
        """Take one view in, and give the PSNR it had before. Raises SplatError when the loss is not a number."""
        options, share = self._options, step / self._options.steps
        degree = min(options.sh_degree, int((options.sh_degree + 1) * 2 * share))
        shot = shot_of(views, i, self._machinery.device)
        camera = self.corrections.camera(camera_tensors(shot.camera, device=self._machinery.device), i)
        arguments = rasterization_arguments(splats_of(self.params), camera, background)
        colors, alphas, info = self._machinery.rasterization(**{**arguments, "sh_degree": degree})
        rgb = self.corrections.tone(colors[0, ..., :3], i)
        loss = loss_of(rgb, alphas[0, ..., 0], colors[0, ..., 3], shot, options, share)
        if options.strategy == "mcmc":
            opacity, scale = self.params["opacities"].sigmoid().mean(), self.params["scales"].exp().mean()
            loss = loss + MCMC_REGULARIZATION * (opacity + scale / self._size)
        if not torch.isfinite(loss):
            raise diverged(step, f"the loss is {float(loss.detach())}")
        self._strategy.step_pre_backward(self.params, self._adams, self._state, step, info)
        loss.backward()
        rates = rates_at(options, share, self._size)
        visible = (info["radii"] > 0).all(-1).any(0)
        for name, adam in self._adams.items():
            adam.param_groups[0]["lr"] = rates[RATE_NAMES[name]]
            adam.step(visible)
            adam.zero_grad()
        self.corrections.step(i, share)
        self._densify(step, info, rates["means"])
        return psnr_of(rgb, shot.target)

    def gaussians(self) -> Gaussians:
        """A copy as plain arrays, with unit quaternions."""
        gaussians = gaussians_from_splats(splats_of(self.params))
        gaussians.quats[:] /= (gaussians.quats**2).sum(1, keepdims=True) ** 0.5
        return gaussians

    def _densify(self, step: int, info: dict[str, Any], means_lr: float) -> None:
        """Have gsplat's strategy add, move and drop Gaussians, and keep the budget."""
        if self._options.strategy == "mcmc":
            self._strategy.step_post_backward(self.params, self._adams, self._state, step, info, lr=means_lr)
            return
        self._strategy.step_post_backward(self.params, self._adams, self._state, step, info, packed=False)
        opacities = self.params["opacities"].detach()
        excess = len(opacities) - self._options.max_gaussians
        if excess > 0:
            # gsplat's classic strategy knows no budget: what hides least goes.
            from gsplat.strategy.ops import remove

            remove(self.params, self._adams, self._state, faintest(opacities, excess))


def parameters_of(start: Gaussians, sh_degree: int, device: str) -> dict[str, torch.nn.Parameter]:
    """The Gaussians under gsplat's names, with room for all bands of colour."""
    sh = np.zeros((len(start), (sh_degree + 1) ** 2, 3), np.float32)
    bases = min(sh.shape[1], start.sh.shape[1])
    sh[:, :bases] = start.sh[:, :bases]
    arrays = {name: getattr(start, ours) for name, ours in NAMES.items()} | {"sh0": sh[:, :1]}
    if sh_degree:
        # SelectiveAdam cannot step a tensor without numbers.
        arrays["shN"] = sh[:, 1:]
    return {
        name: torch.nn.Parameter(torch.tensor(np.ascontiguousarray(array), device=device))
        for name, array in arrays.items()
    }


def splats_of(params: Mapping[str, Tensor]) -> Splats:
    """The Gaussians under our names, differentiable back to the parameters."""
    sh = torch.cat([params["sh0"], params["shN"]], 1) if "shN" in params else params["sh0"]
    return Splats(**{ours: params[name] for name, ours in NAMES.items()}, sh=sh)


def strategy_of(options: "img2world.splat.optimize.GaussianSplat", size: float) -> Any:
    """The strategy of gsplat, with its steps as shares of the training. `size` is the scene's median depth."""
    from gsplat import DefaultStrategy, MCMCStrategy

    fewest, most = REFINE_EVERY
    schedule: dict[str, Any] = {
        "refine_start_iter": int(REFINE_FROM * options.steps),
        "refine_stop_iter": int(REFINE_UNTIL * options.steps),
        "refine_every": int(np.clip(options.steps // 60, fewest, most)),
    }
    if options.strategy == "mcmc":
        # gsplat's noise is this times the rate of positions times the covariance: made independent of the unit.
        noise = NOISE / max(options.means_lr * size**2, 1e-12)
        return MCMCStrategy(cap_max=options.max_gaussians, noise_lr=noise, min_opacity=MIN_OPACITY, **schedule)
    # Opacities are not reset: short trainings do not recover from it.
    return DefaultStrategy(
        prune_opa=MIN_OPACITY,
        grow_grad2d=options.densify_gradient,
        grow_scale3d=MAX_SPLIT_SCALE,
        prune_scale3d=MAX_SCALE,
        reset_every=options.steps + 1,
        **schedule,
    )


def faintest(logit_opacities: Float[Tensor, "N"], count: int) -> Bool[Tensor, "N"]:
    """The `count` with the lowest opacity, ties by index."""
    mask = torch.zeros_like(logit_opacities, dtype=torch.bool)
    mask[torch.argsort(logit_opacities, stable=True)[:count]] = True
    return mask
