"""Views of something that moves to a scene of Gaussians and bones.

Gaussians are trained at the time that most views show. From there, bones that a few of them share follow the optical
flow of all views from one time to the next, corrected by what they look like there; at last all is trained together.
Bones and weights as in sparse-controlled splatting (Huang et al. 2024, "SC-GS").
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float64

from img2world.core.errors import SplatError
from img2world.core.live import UNWATCHED, Live
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt
from img2world.core.scene import Scene
from img2world.core.threads import one_torch_thread
from img2world.core.views import Views
from img2world.render import rasterize, resolve_backend
from img2world.splat.bones import Bones
from img2world.splat.views import held_out_mask, training_views

if TYPE_CHECKING:
    from img2world.splat.dynamic_training import DynamicTraining
    from img2world.splat.optimize import GaussianSplat

MIN_FIRST_VIEWS = 3
"""Views of one time from which a scene can be made of it alone."""


@dataclass(frozen=True, kw_only=True)
class DynamicSplat:
    """Gaussians that move with a few bones, trained on views of several times (Huang et al. 2024, SC-GS)."""

    static_steps: PositiveInt = 400
    """Steps at the first time alone."""
    sweep_steps: NonNegativeInt = 24
    """Steps at each further time as the bones get there."""
    steps: NonNegativeInt = 2500
    """Steps on all times together."""
    max_gaussians: PositiveInt = 15_000
    num_bones: PositiveInt = 32
    rigidity: NonNegativeFloat = 0.01
    """Weight of distances between neighbours staying the same, relative to colour."""
    smoothness: NonNegativeFloat = 0.1
    """Weight of bones moving evenly, relative to colour."""
    alpha_weight: NonNegativeFloat = 0.1
    """Weight of the silhouette, relative to colour."""
    backend: Literal["auto", "native", "gsplat", "reference"] = "auto"
    """The rasterizer; gsplat trains on CUDA, the others on the CPU."""
    holdout_every: NonNegativeInt = 8
    """Every so many views one is held out from training, to test the scene on. 0 trains on all views."""

    def held_out(self, num_views: int, times: Float64[np.ndarray, "V"] | None = None) -> Bool[np.ndarray, "V"]:
        """Return the mask of the views that are never trained on, of each camera and each time some."""
        return held_out_mask(num_views, self.holdout_every, times)

    def optimize(
        self,
        views: Views,
        *,
        seed: int = 0,
        progress: Progress = silent,
        live: Live = UNWATCHED,
        known: tuple[Scene, Bones] | None = None,
    ) -> Scene:
        """Reconstruct the scene that the views show at their times.

        The same views and seed give the same bits for any number of threads, but not on CUDA. Someone who looks on may
        stop the last part, on all times together. With `known`, training starts from that scene, and bones that are
        at rest in it are not trained: their motion is known. Raises SplatError when the views have no times, or all
        the same, and as `GaussianSplat.optimize` does.
        """
        if views.times is None or np.ptp(views.times) == 0:
            raise SplatError(
                "the views have no times, or all the same: nothing moves between them",
                hint="a scene that stands still is reconstructed with --set splat.name=gaussians",
            )
        trained = training_views(views, self.held_out(len(views), views.times)).with_moving_part()
        if trained.times is None or np.ptp(trained.times) == 0:
            raise SplatError(
                f"of {len(views)} views, the {len(trained)} that are trained on show a single time",
                hint="raise splat.holdout_every, or set it to 0 to train on all views",
            )
        with one_torch_thread():
            training = self._begin(trained, seed, known)

            def result() -> Scene:
                gaussians, motion = training.result()
                return Scene(
                    gaussians=gaussians,
                    cameras=views.cameras,
                    background=training.background,
                    is_object=views.alpha is not None,
                    motion=motion,
                )

            def look(done: int) -> bool:
                if live.is_looking():
                    now = result()
                    live.show(lambda: now)
                return live.stops(done)

            if known is None:
                training.sweep(progress)
            training.train_together(progress, look)
            return result()

    def _begin(self, views: Views, seed: int, known: tuple[Scene, Bones] | None) -> "DynamicTraining":
        """Return a training that starts from what is known, or else from what static trainings show."""
        from img2world.splat.dynamic_training import DynamicTraining
        from img2world.splat.optimize import GaussianSplat
        from img2world.splat.orbit_training import OrbitTraining
        from img2world.splat.still_part import tell_apart

        time, first = _best_time(views)
        rng, rasterizer = np.random.default_rng(seed), resolve_backend(self.backend)
        on = {"draw": partial(rasterize, backend=rasterizer), "device": "cuda" if rasterizer == "gsplat" else "cpu"}
        if known is not None:
            return DynamicTraining(self, views, known[0], time, rng, known[1], **on)
        static = GaussianSplat(
            steps=self.static_steps,
            max_gaussians=self.max_gaussians,
            holdout_every=0,
            stereo=False,
            sh_degree=0,
            backend=self.backend,
        )
        if len(first) < MIN_FIRST_VIEWS and views.alpha is not None:
            parts = tell_apart(views, static, seed)
            if parts is not None:
                return OrbitTraining(self, views, parts, rng, **on)
        return DynamicTraining(self, views, _first_scene(views, first, static, seed), time, rng, **on)


def _first_scene(views: Views, first: Views, static: "GaussianSplat", seed: int) -> Scene:
    """Return a static scene of the best time, made of all views where that has too few."""
    from img2world.tracking.hull_points import hull_points, with_hull_points

    if len(first) < MIN_FIRST_VIEWS:
        return static.optimize(views, seed=seed)
    # Points that were given may be of another time.
    hull = None if first.alpha is None else hull_points(first)
    return static.optimize(first if hull is None else with_hull_points(first, hull), seed=seed)


def _best_time(views: Views) -> tuple[float, Views]:
    """Return the time that most views show, with these; of several, that at which most is to be seen, else the middle.

    Surfaces that touch, or are hidden, are told apart only at other times.
    """
    assert views.times is not None
    times, time_of, counts = np.unique(views.times, return_inverse=True, return_counts=True)
    best = np.flatnonzero(counts == counts.max())
    index = best[len(best) // 2]
    if views.alpha is not None:
        areas = np.bincount(time_of, [np.count_nonzero(each > 127) for each in views.alpha])
        index = best[areas[best].argmax()]
    return float(times[index]), views.select(np.flatnonzero(time_of == index))
