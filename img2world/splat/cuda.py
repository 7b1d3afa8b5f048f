"""Gaussians under training on CUDA: gsplat's rasterizer, densification strategies and Adam.

Source: Ye et al. 2024, "gsplat: An Open-Source Library for Gaussian Splatting". Parameters keep gsplat's names, which
its strategies look for: `scales` are logarithms and `opacities` are logits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from img2world.core.errors import MissingPackageError
from img2world.core.gaussians import Gaussians
from img2world.core.sh import sh_degree
from img2world.render import Color
from img2world.render.adam import BETA1, BETA2, EPSILON
from img2world.render.gsplat import rasterization_arguments
from img2world.render.splats import CameraTensors, Rendering, Splats, gaussians_from_splats
from img2world.splat.densify import MAX_SPLIT_SCALE, Densification
from img2world.splat.limits import limit_scales

NAMES = {"means": "means", "quats": "quats", "scales": "log_scales", "opacities": "logit_opacities"}
"""gsplat's names to ours. Besides these there are `sh0` and `shN`, the constant and the view-dependent colour."""

RATE_NAMES = {**NAMES, "sh0": "dc", "shN": "rest"}
"""gsplat's names to those of the learning rates."""

ADAM = {"eps": EPSILON, "betas": (BETA1, BETA2)}
"""Parameters of Adam, as on the CPU."""

REFINE_FROM, REFINE_UNTIL = 0.05, 0.8
"""Fractions of the training between which Gaussians are added."""

REFINE_EVERY = (20, 100)
"""Smallest and largest interval in steps; gsplat's 100 is meant for trainings of 30,000."""

NOISE = 5e5 * 1.6e-4
"""First strength of MCMC's noise, which gsplat defines as a multiple of its own first learning rate of positions."""

MCMC_REGULARIZATION = 0.01
"""Weight of mean opacity and mean scale in the loss, without which MCMC frees no Gaussians (Kheradmand et al.
2024, "3D Gaussian Splatting as Markov Chain Monte Carlo", equation 14)."""

MIN_OPACITY = 0.005
"""gsplat's strategies prune Gaussians with a lower opacity."""


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """gsplat's functions that run on CUDA only, or others that do the same."""

    rasterization: Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]
    """`gsplat.rasterization`."""
    adam: Callable[..., torch.optim.Optimizer]
    """`gsplat.optimizers.SelectiveAdam`, whose `step(visibility)` changes the visible rows only."""
    device: str


def gsplat_kernels() -> Kernels:
    """Return the kernels of gsplat. Raises MissingPackageError when gsplat or CUDA is missing."""
    if not torch.cuda.is_available():
        raise MissingPackageError("gsplat needs a CUDA device, there is none", hint="set splat.backend to native")
    try:
        from gsplat import rasterization
        from gsplat.optimizers import SelectiveAdam
    except ImportError as error:
        raise MissingPackageError(
            f"gsplat 1.5 or newer is needed: {error}", hint="pip install 'img2world[cuda]'"
        ) from error
    return Kernels(rasterization=rasterization, adam=SelectiveAdam, device="cuda")


class CudaModel:
    """Gaussians, with the state of Adam and of gsplat's strategy.

    The same seed gives nearly the same scene, not the same bits: gsplat adds gradients in any order.
    """

    def __init__(
        self,
        start: Gaussians,
        densification: Densification,
        *,
        strategy: Literal["classic", "mcmc"],
        means_lr: float,
        max_sh_degree: int,
        background: Color,
        kernels: Kernels,
    ) -> None:
        self.scene_depth, self.background, self.device = densification.scene_depth, background, kernels.device
        self.sh_degree = min(max_sh_degree, sh_degree(start.sh.shape[1]))
        self._max_gaussians, self._kernels, self._step = densification.max_gaussians, kernels, 0
        self._params = make_parameters(start, max_sh_degree, kernels.device)
        self._adams = {
            name: kernels.adam([{"params": [value], "lr": 0.0}], **ADAM) for name, value in self._params.items()
        }
        self._is_mcmc = strategy == "mcmc"
        self._strategy = (
            make_mcmc_strategy(densification, means_lr) if self._is_mcmc else make_default_strategy(densification)
        )
        self._strategy.check_sanity(self._params, self._adams)
        extra = {} if self._is_mcmc else {"scene_scale": densification.scene_depth}
        self._state = self._strategy.initialize_state(**extra)
        self._info: dict[str, Any] = {}
        self._camera: CameraTensors | None = None

    def __len__(self) -> int:
        return len(self._params["means"])

    def raise_sh_degree(self) -> None:
        """Let one more band of the colours contribute."""
        self.sh_degree += 1

    def rasterize(self, camera: CameraTensors) -> Rendering:
        """Render what one camera sees."""
        self._camera = camera
        arguments = rasterization_arguments(splats_from_parameters(self._params), camera, self.background)
        images, alphas, self._info = self._kernels.rasterization(**{**arguments, "sh_degree": self.sh_degree})
        return Rendering(
            rgb=images[0, ..., :3],
            alpha=alphas[0, ..., 0],
            depth=images[0, ..., 3],
            screen_means=self._info["means2d"][0],
            radii=self._info["radii"][0].amax(-1).to(torch.int32),
        )

    def step(self, loss: Float[Tensor, ""], rates: dict[str, float], rng: np.random.Generator) -> None:
        """Descend the loss of the last rendering at the given learning rates, and densify when it is time."""
        if self._is_mcmc:
            opacity, scale = self._params["opacities"].sigmoid().mean(), self._params["scales"].exp().mean()
            loss = loss + MCMC_REGULARIZATION * (opacity + scale / self.scene_depth)
        assert self._camera is not None  # The loss is that of a rendering.
        self._strategy.step_pre_backward(self._params, self._adams, self._state, self._step, self._info)
        loss.backward()
        visible = (self._info["radii"] > 0).all(-1).any(0)
        for name, adam in self._adams.items():
            adam.param_groups[0]["lr"] = rates[RATE_NAMES[name]]
            adam.step(visible)  # pyright: ignore[reportArgumentType]
            adam.zero_grad()
        limit_scales(self._params["scales"], self._params["means"], self._camera.center_in_world, visible)
        # gsplat draws from torch's global generators, which belong to the caller.
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if self.device == "cuda" else []):
            torch.manual_seed(int(rng.integers(2**63)))
            self._densify(rates["means"])
        self._step += 1

    def stop_growing(self) -> None:
        """Add and remove no more Gaussians."""
        self._strategy.refine_stop_iter = 0

    def gaussians(self) -> Gaussians:
        """Return a copy of the Gaussians that are visible at all, with unit quaternions."""
        gaussians = gaussians_from_splats(splats_from_parameters(self._params))
        gaussians.quats[:] /= (gaussians.quats**2).sum(1, keepdims=True) ** 0.5
        return gaussians.select(gaussians.opacities >= MIN_OPACITY)

    def _densify(self, means_lr: float) -> None:
        """Let gsplat's strategy add, move and prune Gaussians, and keep within the budget."""
        extra = {"lr": means_lr} if self._is_mcmc else {"packed": False}
        self._strategy.step_post_backward(self._params, self._adams, self._state, self._step, self._info, **extra)
        opacities = self._params["opacities"].detach()
        excess = len(opacities) - self._max_gaussians
        if excess > 0 and not self._is_mcmc:
            # gsplat's default strategy knows no budget.
            from gsplat.strategy.ops import remove

            remove(self._params, self._adams, self._state, lowest(opacities, excess))


def make_parameters(start: Gaussians, max_sh_degree: int, device: str) -> dict[str, torch.nn.Parameter]:
    """Return the Gaussians under gsplat's names, with room for all bands of the colours."""
    sh = np.zeros((len(start), (max_sh_degree + 1) ** 2, 3), np.float32)
    bases = min(sh.shape[1], start.sh.shape[1])
    sh[:, :bases] = start.sh[:, :bases]
    arrays = {name: getattr(start, ours) for name, ours in NAMES.items()} | {"sh0": sh[:, :1]}
    if max_sh_degree:
        # SelectiveAdam cannot step an empty tensor.
        arrays["shN"] = sh[:, 1:]
    return {
        name: torch.nn.Parameter(torch.tensor(np.ascontiguousarray(array), device=device))
        for name, array in arrays.items()
    }


def splats_from_parameters(params: Mapping[str, Tensor]) -> Splats:
    """Return the Gaussians under our names, differentiable back to the parameters."""
    sh = torch.cat([params["sh0"], params["shN"]], 1) if "shN" in params else params["sh0"]
    return Splats(**{ours: params[name] for name, ours in NAMES.items()}, sh=sh)


def make_default_strategy(densification: Densification) -> Any:
    """Return gsplat's DefaultStrategy with its thresholds and schedule."""
    from gsplat import DefaultStrategy

    return DefaultStrategy(
        prune_opa=MIN_OPACITY,
        grow_grad2d=densification.min_gradient,
        grow_scale3d=MAX_SPLIT_SCALE,
        # Opacities are not reset: short trainings do not recover from it.
        reset_every=densification.steps + 1,
        **_schedule(densification.steps),
    )


def make_mcmc_strategy(densification: Densification, means_lr: float) -> Any:
    """Return gsplat's MCMCStrategy, given the first learning rate of positions in units of the scene's depth."""
    from gsplat import MCMCStrategy

    # gsplat's noise is this times the learning rate times the covariance: made independent of the unit of length.
    noise = NOISE / max(means_lr * densification.scene_depth**2, 1e-12)
    return MCMCStrategy(
        cap_max=densification.max_gaussians,
        noise_lr=noise,
        min_opacity=MIN_OPACITY,
        **_schedule(densification.steps),
    )


def _schedule(steps: int) -> dict[str, Any]:
    """Return when gsplat's strategies refine in a training of so many steps."""
    return {
        "refine_start_iter": int(REFINE_FROM * steps),
        "refine_stop_iter": int(REFINE_UNTIL * steps),
        "refine_every": int(np.clip(steps // 60, *REFINE_EVERY)),
    }


def lowest(logit_opacities: Float[Tensor, "N"], count: int) -> Bool[Tensor, "N"]:
    """Mark the `count` Gaussians of the lowest opacity, ties by index."""
    mask = torch.zeros_like(logit_opacities, dtype=torch.bool)
    mask[torch.argsort(logit_opacities, stable=True)[:count]] = True
    return mask
