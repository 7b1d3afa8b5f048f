"""The training loop on the CPU: draw a view, compare, step; now and then add and drop Gaussians."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.errors import Img2WorldError, MissingPackageError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress
from img2world.core.views import Views
from img2world.render import rasterize, render
from img2world.render.splats import Rendering, camera_tensors
from img2world.splat.coarse import halved
from img2world.splat.corrections import Corrections
from img2world.splat.densify import Limits, Need, densify
from img2world.splat.initialize import depth_of_scene
from img2world.splat.metrics import psnr as picture_psnr
from img2world.splat.metrics import unit_rgb
from img2world.splat.objective import (
    MAX_SCALE,
    MAX_SPLIT_SCALE,
    REPORT_EVERY,
    Shot,
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

CHECK_EVERY = 0.05
"""Share of the training between looks at unseen views."""

MIN_GAIN = 0.02
"""In dB, of unseen views. Less does not count as better."""

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
    unseen: Views | None = None,
) -> tuple[Gaussians, Cameras]:
    """Fit Gaussians to all the views; give them, and the cameras as they were refined.

    `unseen` views tell when to stop early. Raises SplatError when the loss is no longer a number.
    """
    rng = np.random.default_rng(seed)
    training = Training(start, views, options, background, rng)
    small = halved(views) if min(views.cameras.width, views.cameras.height) >= MIN_SIZE_TO_HALVE else views
    coarse, fine = ([shot_of(level, i, "cpu") for i in range(len(views))] for level in (small, views))
    plateau = Plateau(options.patience)
    order = np.zeros(0, np.int64)
    psnr = 0.0
    for step in range(options.steps):
        if len(order) == 0:
            order = rng.permutation(len(views))
        shots = coarse if step < options.coarse_share * options.steps else fine
        latest = training.step(step, shots[order[0]], int(order[0]))
        order = order[1:]
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == options.steps:
            psnr = _running(psnr, latest())
            progress(step + 1, options.steps, psnr=psnr, gaussians=float(len(training.parameters)))
        if unseen is not None and plateau.is_due(step, options.steps) and plateau.reached(training.gaussians(), unseen):
            progress(options.steps, options.steps, psnr=psnr, gaussians=float(len(training.parameters)))
            return plateau.best, training.corrections.cameras(views.cameras)
    return training.gaussians(), training.corrections.cameras(views.cameras)


class Training:
    """Gaussians under training, and all that changes with them."""

    def __init__(
        self,
        start: Gaussians,
        views: Views,
        options: "img2world.splat.optimize.GaussianSplat",
        background: tuple[float, float, float],
        rng: np.random.Generator,
    ) -> None:
        self._options, self._background, self._rng = options, background, rng
        self._size = size = depth_of_scene(views.cameras, start.means)
        self._limits = Limits(
            max_gaussians=options.max_gaussians,
            min_gradient=options.densify_gradient,
            min_opacity=MIN_OPACITY,
            max_split_scale=MAX_SPLIT_SCALE * size,
            max_scale=MAX_SCALE * size,
        )
        self.parameters = Parameters(start, "cpu")
        self.corrections = Corrections(
            len(views), poses=options.refine_poses, exposures=options.match_exposures, size=size
        )
        self._need = Need(self.parameters)

    def step(self, step: int, shot: Shot, i: int) -> Callable[[], float]:
        """Take view i in; gives what tells the PSNR that it had. Raises SplatError when the training diverges."""
        options, parameters = self._options, self.parameters
        share = step / options.steps
        rendering = self._draw(shot, i, step)
        rgb = self.corrections.tone(rendering.rgb, i)
        loss = loss_of(rgb, rendering.alpha, rendering.depth, shot, options, share)
        if not math.isfinite(loss.item()):
            raise diverged(step, f"the loss is {loss.item()}")
        loss.backward()
        rates = rates_at(options, share, self._size)
        self._need.observe(rendering)
        parameters.step(rates, rendering.radii)
        self.corrections.step(i, share)
        if _densify_now(step, options.steps):
            self._densify(step)
        if parameters.sh_degree < min(options.sh_degree, int((options.sh_degree + 1) * 2 * share)):
            parameters.raise_sh_degree()
        return lambda: psnr_of(rgb, shot.target)

    def gaussians(self) -> Gaussians:
        """A copy of those worth keeping."""
        gaussians = self.parameters.gaussians()
        return gaussians.select(gaussians.opacities >= MIN_OPACITY)

    def _draw(self, shot: Shot, i: int, step: int) -> Rendering:
        """What the camera sees now. Raises SplatError when a Gaussian is no longer finite."""
        camera = self.corrections.camera(camera_tensors(shot.camera), i)
        splats = self.parameters.splats()
        try:
            return rasterize(splats, camera, background=self._background, backend=self._options.backend)
        except MissingPackageError:
            raise
        except Img2WorldError as error:
            raise diverged(step, str(error)) from error

    def _densify(self, step: int) -> None:
        """Add and drop Gaussians."""
        densify(self.parameters, self._need, self._limits, self._rng)
        self._need = Need(self.parameters)
        if len(self.parameters) == 0:
            raise diverged(step, "no Gaussian is left")


class Plateau:
    """Whether unseen views still get better, and the Gaussians that showed them best."""

    def __init__(self, patience: int) -> None:
        self._patience, self._waited, self._psnr = patience, 0, 0.0

    def is_due(self, step: int, steps: int) -> bool:
        """Whether to look after this step."""
        return self._patience > 0 and (step + 1) % max(MIN_DENSIFY_STEPS, round(CHECK_EVERY * steps)) == 0

    def reached(self, gaussians: Gaussians, unseen: Views) -> bool:
        """Whether the last looks, as many as there is patience, brought next to nothing."""
        drawn = render(gaussians, unseen.cameras)
        value = float(np.mean([picture_psnr(*pair) for pair in zip(drawn.rgb, unit_rgb(unseen.rgb), strict=True)]))
        if value > self._psnr + MIN_GAIN:
            self._psnr, self._waited, self.best = value, 0, gaussians
        else:
            self._waited += 1
        return self._waited >= self._patience


def _densify_now(step: int, steps: int) -> bool:
    """Whether Gaussians are added and dropped after this step."""
    every = max(MIN_DENSIFY_STEPS, round(DENSIFY_EVERY * steps))
    return (step + 1) % every == 0 and DENSIFY_FROM * steps <= step < DENSIFY_UNTIL * steps


def _running(mean: float, value: float) -> float:
    """Mean that forgets slowly, as single views differ much."""
    return value if mean == 0 else 0.8 * mean + 0.2 * value
