"""Views to a scene of Gaussians, by gradient descent (Kerbl et al. 2023, "3D Gaussian Splatting").

The training loop is the same on the CPU and on CUDA; what differs is the model: `cpu.CpuModel` or `cuda.CudaModel`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool

from img2world.core.alignment import similarity
from img2world.core.cameras import Cameras
from img2world.core.errors import Img2WorldError, MissingPackageError, SplatError
from img2world.core.gaussians import Gaussians
from img2world.core.live import UNWATCHED, Live
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Fraction, NonNegativeFloat, NonNegativeInt
from img2world.core.scene import Scene
from img2world.core.threads import one_torch_thread
from img2world.core.views import Views
from img2world.render import Color, resolve_backend
from img2world.splat.budget import Quality, budget
from img2world.splat.stopping import EarlyStopping, Result
from img2world.splat.views import background_color, halve, held_out_mask, training_views

if TYPE_CHECKING:
    import torch

    import img2world.splat.corrections
    import img2world.splat.cpu
    import img2world.splat.cuda

MIN_SIZE_TO_HALVE = 128
"""Pixels. Smaller images train fast enough, and at half the size they would show too little."""

MEANS_LR_DECAY = 0.05
"""Last learning rate of positions as a fraction of the first."""

REST_LR_FRACTION = 0.05
"""Learning rate of view-dependent colour as a fraction of that of constant colour (Kerbl 2023)."""

MIN_EXPOSURE_SPREAD = 0.02
"""Standard deviation of the views' brightness, in its logarithm, from which exposures are matched by themselves."""

SETTLING_FRACTION = 0.05
"""Steps that a training takes after it was stopped, as a fraction of those planned: at full size, with the small
learning rates of an end, and without new Gaussians. On photos stopped at a third, 3 % gained 0.4 dB and 0.03 SSIM."""

REPORT_EVERY = 10
"""Steps between progress reports."""


@dataclass(frozen=True, kw_only=True)
class GaussianSplat:
    """Static Gaussians, trained here: on the CPU, or by gsplat where there is CUDA (Kerbl et al. 2023)."""

    quality: Quality = "normal"
    """Decides how long to train, and on how many Gaussians, where steps and max_gaussians are 0."""
    steps: NonNegativeInt = 1000
    """Each step trains on one view. 0: as many as the quality asks for with so many views."""
    max_gaussians: NonNegativeInt = 80_000
    """0: as many as the quality asks for with so many pixels."""
    sh_degree: Literal[0, 1, 2, 3] = 1
    """Degree of the spherical harmonics: how finely colour may change with the viewing direction."""
    holdout_every: NonNegativeInt = 8
    """Every so many views one is held out from training, to test the scene on. 0 trains on all views."""
    backend: Literal["auto", "native", "gsplat", "reference"] = "auto"
    """The rasterizer; gsplat trains on CUDA, the others on the CPU."""
    dssim_fraction: Fraction = 0.2
    """Fraction of structural dissimilarity in the colour loss, 0 to 1; the rest is absolute error."""
    alpha_weight: NonNegativeFloat = 0.1
    """Weight of the object's silhouette, or of a scene having no holes, relative to colour."""
    depth_weight: NonNegativeFloat = 0.1
    """Weight of relative depth errors, where the views have depth, relative to colour; falls to zero."""
    means_lr: NonNegativeFloat = 4e-4
    """First learning rate of positions, in units of the scene's median depth; falls to a twentieth."""
    quats_lr: NonNegativeFloat = 2e-3
    scales_lr: NonNegativeFloat = 2e-2
    opacities_lr: NonNegativeFloat = 3e-2
    colors_lr: NonNegativeFloat = 1e-2
    """Learning rate of constant colour; the view-dependent bands learn at a twentieth."""
    coarse_fraction: Fraction = 0.4
    """Fraction of the steps, 0 to 1, that come first and train on images of half the size, unless these are small."""
    stereo: bool = True
    """Start from surfaces that stereo between the views finds, where these have no depth; else from sparse points."""
    densify_gradient: NonNegativeFloat = 2e-4
    """Threshold of the classic strategy: Gaussians with a larger mean screen-space gradient are cloned or split."""
    strategy: Literal["classic", "mcmc"] = "classic"
    """Strategy for adding and removing Gaussians. classic: where the error is largest (Kerbl 2023); mcmc: by resampling
    (Kheradmand 2024), with gsplat on CUDA only, better for long trainings."""
    refine_poses: bool = False
    """Refine the cameras along with the scene, where they are known to be slightly wrong; their mean pose is kept."""
    match_exposures: Literal["auto", "on", "off"] = "auto"
    """Let each image differ from the scene in brightness and tint, as photos with automatic exposure do. auto: where
    the sparse points differ in brightness from view to view."""
    patience: NonNegativeInt = 0
    """Stop when the held-out views have not improved for so many twentieths of the steps. 0 never stops early."""

    def held_out(self, num_views: int, times: np.ndarray | None = None) -> Bool[np.ndarray, "V"]:
        """Return the mask of the views that are never trained on, whatever their times."""
        return held_out_mask(num_views, self.holdout_every)

    def optimize(self, views: Views, *, seed: int = 0, progress: Progress = silent, live: Live = UNWATCHED) -> Scene:
        """Reconstruct the scene that the views show.

        The same views and seed give the same bits for any number of threads, but not on CUDA. Someone who looks on
        changes nothing, unless the training is stopped early. Raises SplatError when there are fewer than two views,
        nothing to start from or in view, too few Gaussians allowed, no held-out views to stop early by, the training
        diverges, or the strategy is not available here, and MissingPackageError when the rasterizer is not.
        """
        from img2world.formats.splat_file import join
        from img2world.splat.far_shell import FarShell
        from img2world.splat.initialize import MIN_POINTS, initialize, median_scene_depth, with_stereo_depth

        if not (self.steps and self.max_gaussians):
            return self.with_budget(views).optimize(views, seed=seed, progress=progress, live=live)
        if self.max_gaussians < MIN_POINTS:
            raise SplatError(
                f"{self.max_gaussians} Gaussians make no scene", hint=f"set splat.max_gaussians to {MIN_POINTS} or more"
            )
        rasterizer = resolve_backend(self.backend)
        if self.strategy == "mcmc" and rasterizer != "gsplat":
            raise SplatError(
                f"strategy mcmc needs gsplat on CUDA, the rasterizer is {rasterizer}",
                hint="set splat.strategy to classic",
            )
        held_out = self.held_out(len(views))
        trained = training_views(views, held_out)
        unseen = views.select(np.flatnonzero(held_out)) if held_out.any() else None
        if self.patience and unseen is None:
            raise SplatError(
                "patience needs held-out views, there are none", hint="set splat.patience to 0, or splat.holdout_every"
            )
        surfaces = with_stereo_depth(trained, progress) if self.stereo and views.depth is None else None
        start = initialize(trained, self.max_gaussians, surfaces)
        scene_depth = median_scene_depth(trained.cameras, start.means)
        shell = FarShell.around(trained) if views.depth is None and views.alpha is None else None
        if shell is not None and (behind := shell.gaussians(trained)) is not None:
            start = join(start, behind)
        with one_torch_thread():
            model = make_model(self, rasterizer, start, scene_depth=scene_depth, background=background_color(trained))

            def scene_of(gaussians: Gaussians, refined: Cameras) -> Scene:
                return Scene(
                    gaussians=gaussians,
                    cameras=_with_held_out(views.cameras, held_out, refined),
                    background=model.background,
                    is_object=views.alpha is not None,
                )

            def look(done: int, result: Callable[[], Result]) -> bool:
                if live.is_looking():
                    now = result()
                    live.show(lambda: scene_of(*now))
                return live.stops(done)

            gaussians, refined = train(self, model, trained, unseen, seed=seed, progress=progress, look=look)
            if shell is not None:
                gaussians = shell.without_hidden(gaussians, refined)
        if self.refine_poses:
            # The scene may have drifted as a whole together with its cameras, but not with those held out.
            undo_drift = similarity(refined, trained.cameras)
            gaussians, refined = gaussians.transformed(undo_drift.astype(np.float32)), refined.transformed(undo_drift)
        return scene_of(gaussians, refined)

    def with_budget(self, views: Views) -> "GaussianSplat":
        """Return these options with steps and Gaussians as the quality asks for, where they are 0."""
        spent = budget(self.quality, views)
        return replace(self, steps=self.steps or spent.steps, max_gaussians=self.max_gaussians or spent.max_gaussians)

    def learning_rates(self, fraction: float, scene_depth: float) -> dict[str, float]:
        """Return the learning rates by parameter when a fraction of the training, 0 to 1, is done."""
        return {
            "means": self.means_lr * scene_depth * MEANS_LR_DECAY**fraction,
            "quats": self.quats_lr,
            "log_scales": self.scales_lr,
            "logit_opacities": self.opacities_lr,
            "dc": self.colors_lr,
            "rest": self.colors_lr * REST_LR_FRACTION,
        }


def make_model(
    options: GaussianSplat, rasterizer: str, start: Gaussians, *, scene_depth: float, background: Color
) -> "img2world.splat.cpu.CpuModel | img2world.splat.cuda.CudaModel":
    """Return the Gaussians to train, on the device of the rasterizer."""
    from img2world.splat.densify import Densification

    densification = Densification(
        steps=options.steps,
        max_gaussians=options.max_gaussians,
        min_gradient=options.densify_gradient,
        scene_depth=scene_depth,
    )
    if rasterizer == "gsplat":
        from img2world.splat.cuda import CudaModel, gsplat_kernels

        return CudaModel(
            start,
            densification,
            strategy=options.strategy,
            means_lr=options.means_lr,
            max_sh_degree=options.sh_degree,
            background=background,
            kernels=gsplat_kernels(),
        )
    from img2world.splat.cpu import CpuModel

    return CpuModel(start, densification, rasterizer=rasterizer, background=background)


def train(
    options: GaussianSplat,
    model: "img2world.splat.cpu.CpuModel | img2world.splat.cuda.CudaModel",
    views: Views,
    unseen: Views | None,
    *,
    seed: int,
    progress: Progress,
    look: Callable[[int, Callable[[], Result]], bool] = lambda done, result: False,
) -> Result:
    """Fit the model to the views and return the Gaussians and the cameras, which are refined if that is asked for.

    The `unseen` views decide when to stop early. So does `look`, which is given the number of steps done and what
    returns the result so far: where it returns True, the training comes to an orderly end within a few steps. The best
    result is returned, if the unseen views tell. Raises SplatError when the training diverges.
    """
    from img2world.splat.corrections import Corrections, exposure_gains
    from img2world.splat.metrics import compare, psnr, unit_rgb

    rng = np.random.default_rng(seed)
    gains = None if options.match_exposures == "off" else exposure_gains(views)
    if options.match_exposures == "on":
        gains = np.zeros(len(views)) if gains is None else gains
    elif gains is not None and gains.std() < MIN_EXPOSURE_SPREAD:
        gains = None
    corrections = Corrections(len(views), poses=options.refine_poses, gains=gains, scene_depth=model.scene_depth)
    coarse = halve(views) if min(views.cameras.width, views.cameras.height) >= MIN_SIZE_TO_HALVE else views
    stopping = EarlyStopping(options.steps, options.patience)
    mean_psnr, is_stopped = 0.0, False

    def result() -> Result:
        return model.gaussians(), corrections.correct_cameras(views.cameras)

    for step, i in enumerate(view_order(len(views), rng)):
        level = coarse if step < options.coarse_fraction * options.steps else views
        rgb = train_on_view(options, model, corrections, level, i, step=step, rng=rng)
        is_last = step + 1 == options.steps
        if (step + 1) % REPORT_EVERY == 0 or is_last:
            mean_psnr = running_mean(mean_psnr, psnr(rgb.clamp(0, 1).cpu().numpy(), unit_rgb(level.rgb[i])))
            progress(step + 1, options.steps, psnr=mean_psnr, gaussians=float(len(model)))
        if not (is_last or is_stopped) and look(step + 1, result):
            is_stopped = True
            options = _settling(options, step + 1)
            model.stop_growing()
        if unseen is not None and (stopping.is_due(step) or (is_stopped and is_last and stopping.has_best)):
            now = result()
            value = np.mean([psnr(*pair) for pair in compare(now[0], unseen, model.background)])
            if stopping.is_reached(float(value), now) or (is_stopped and is_last):
                progress(options.steps, options.steps, psnr=mean_psnr, gaussians=float(len(model)))
                return stopping.best
        if is_last:
            break
    return result()


def train_on_view(
    options: GaussianSplat,
    model: "img2world.splat.cpu.CpuModel | img2world.splat.cuda.CudaModel",
    corrections: "img2world.splat.corrections.Corrections",
    views: Views,
    i: int,
    *,
    step: int,
    rng: np.random.Generator,
) -> "torch.Tensor":
    """Take one step on view i and return its image [H, W, 3] as it was rendered before the step.

    Raises SplatError when the training diverges.
    """
    import torch

    from img2world.render.loss import LossWeights, Target, view_loss
    from img2world.render.splats import camera_tensors

    fraction = step / options.steps
    camera = corrections.correct_camera(camera_tensors(views.cameras.select(np.array([i])), device=model.device), i)
    images = {"rgb": views.rgb, "alpha": views.alpha, "depth": views.depth, "mask": views.mask}
    target = {name: torch.from_numpy(image[i]).to(model.device) for name, image in images.items() if image is not None}
    confidence = float(views.confidence[i])
    weights = LossWeights(
        colors=confidence,
        dssim_fraction=options.dssim_fraction,
        alpha=confidence * options.alpha_weight,
        depth=confidence * options.depth_weight * (1 - fraction),
    )
    try:
        rendering = model.rasterize(camera)
    except MissingPackageError:
        raise
    except Img2WorldError as error:
        raise _diverged(step, str(error)) from error
    rgb = corrections.expose(rendering.rgb, i)
    loss = view_loss(rgb, rendering.alpha, rendering.depth, Target(**target), weights)
    if not math.isfinite(loss.item()):
        raise _diverged(step, f"the loss is {loss.item()}")
    model.step(loss, options.learning_rates(fraction, model.scene_depth), rng)
    corrections.step(i, fraction)
    if len(model) == 0:
        raise _diverged(step, "no Gaussian is left")
    if model.sh_degree < min(options.sh_degree, int((options.sh_degree + 1) * 2 * fraction)):
        model.raise_sh_degree()
    return rgb.detach()


def _with_held_out(cameras: Cameras, held_out: Bool[np.ndarray, "V"], refined: Cameras) -> Cameras:
    """Return all cameras, with those that were trained on as they are now."""
    world_from_cam = cameras.world_from_cam.copy()
    world_from_cam[~held_out] = refined.world_from_cam
    return replace(cameras, world_from_cam=world_from_cam)


def _settling(options: GaussianSplat, done: int) -> GaussianSplat:
    """Return the options with which a training ends soon."""
    last = done + math.ceil(SETTLING_FRACTION * options.steps)
    return replace(options, steps=min(options.steps, last), coarse_fraction=0.0)


def view_order(num_views: int, rng: np.random.Generator) -> Iterator[int]:
    """Yield the views in random order again and again, each once per round."""
    while True:
        yield from rng.permutation(num_views).tolist()


def running_mean(mean: float, value: float) -> float:
    """Update a mean over the last few values, as single views differ much."""
    return value if mean == 0 else 0.8 * mean + 0.2 * value


def _diverged(step: int, reason: str) -> SplatError:
    """Return the error for a training that diverged."""
    return SplatError(
        f"the training diverged at step {step}: {reason}",
        hint="lower splat.means_lr, splat.scales_lr and splat.colors_lr, or check the cameras with `img2world doctor`",
    )
