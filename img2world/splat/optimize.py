"""Views to a scene of Gaussians, by gradient descent on what the views show."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool

from img2world.core.alignment import similarity
from img2world.core.errors import SplatError
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.core.threads import one_torch_thread
from img2world.core.views import Views
from img2world.render import resolve_backend

MIN_VIEWS = 2
"""One view says nothing about depth."""

MIN_VIEWS_TO_HOLD_OUT = 4
"""With fewer, each view is worth more for training than for judging."""


@dataclass(frozen=True, kw_only=True)
class GaussianSplat:
    """Static Gaussians, trained here: on the CPU, or by gsplat where there is CUDA (Kerbl et al. 2023)."""

    steps: int = 1000
    """One view each."""
    max_gaussians: int = 80_000
    sh_degree: Literal[0, 1, 2, 3] = 1
    """How finely colour may change with the direction it is seen from."""
    holdout_every: int = 8
    """One view of so many is never trained on, to judge the scene by. 0 trains on all."""
    backend: Literal["auto", "native", "gsplat", "reference"] = "auto"
    """The rasterizer."""
    dssim_share: float = 0.2
    """Of structural dissimilarity in the loss of colours, 0 to 1; the rest is absolute error."""
    alpha_weight: float = 0.1
    """Of the object's outline, or of a scene having no holes, against colours at 1."""
    depth_weight: float = 0.1
    """Of relative depth errors, where the views have depth, against colours at 1; falls to zero."""
    means_lr: float = 8e-4
    """First learning rate of positions, in units of the scene's median depth; falls to a hundredth."""
    quats_lr: float = 2e-3
    scales_lr: float = 2e-2
    opacities_lr: float = 3e-2
    colors_lr: float = 1e-2
    """Of the constant colour; the directional parts learn at a twentieth."""
    coarse_share: float = 0.4
    """Of the steps, 0 to 1, the first, which are made on pictures of half the size."""
    densify_gradient: float = 2e-4
    """Gaussians whose position on the screen wants to move more than this are cloned or split."""
    strategy: Literal["classic", "mcmc"] = "classic"
    """How Gaussians are added and removed. classic: where the error is largest (Kerbl 2023); mcmc: by resampling
    (Kheradmand 2024), with gsplat on CUDA only, better for long trainings."""
    refine_poses: bool = False
    """Whether cameras move to where the pictures agree best. For cameras known to be a little wrong; all together
    stay where they were."""
    match_exposures: bool = False
    """Whether each picture may be brighter or of another tint than the scene, as photos with automatic exposure are."""
    patience: int = 0
    """Stop early when the held-out views have not become better for so many twentieths of the steps. 0 never does."""

    def held_out(self, num_views: int) -> Bool[np.ndarray, "V"]:
        """The views that are never trained on, as a mask.

        Every `holdout_every`-th but never the first, which is the picture the world is made from; at
        least one of four or more views.
        """
        mask = np.zeros(num_views, bool)
        if self.holdout_every > 0 and num_views >= MIN_VIEWS_TO_HOLD_OUT:
            mask[max(1, min(self.holdout_every, num_views) // 2) :: self.holdout_every] = True
        return mask

    def optimize(self, views: Views, *, seed: int = 0, progress: Progress = silent) -> Scene:
        """Reconstruct the scene that the views show.

        The same views and seed give the same bits, whatever the number of threads, but not on CUDA. Raises
        SplatError when there are fewer than two views, nothing to start from, the training diverges, or the
        strategy cannot run here.
        """
        from img2world.splat.initialize import initialize

        rasterizer = resolve_backend(self.backend)
        if self.strategy == "mcmc" and rasterizer != "gsplat":
            raise SplatError(
                f"strategy mcmc needs gsplat on CUDA, the rasterizer is {rasterizer}",
                hint="set splat.strategy to classic",
            )
        if rasterizer == "gsplat":
            from img2world.splat.cuda import train
        else:
            from img2world.splat.training import train

        if len(views) < MIN_VIEWS:
            raise SplatError(
                f"{len(views)} view, needs at least {MIN_VIEWS}", hint="raise video.num_frames, or add pictures"
            )
        held_out = self.held_out(len(views))
        trained = views.select(np.flatnonzero(~held_out))
        background = background_color(trained)
        start = initialize(trained, self.max_gaussians)
        unseen = views.select(np.flatnonzero(held_out)) if held_out.any() else None
        with one_torch_thread():
            gaussians, refined = train(
                start, trained, self, background=background, seed=seed, progress=progress, unseen=unseen
            )
        if self.refine_poses:
            # As a whole the scene may have turned, shrunk and moved with its cameras; those held out did not.
            back = similarity(refined, trained.cameras)
            gaussians, refined = gaussians.transformed(back.astype(np.float32)), refined.transformed(back)
        world_from_cam = views.cameras.world_from_cam.copy()
        world_from_cam[~held_out] = refined.world_from_cam
        cameras = replace(views.cameras, world_from_cam=world_from_cam)
        return Scene(gaussians=gaussians, cameras=cameras, background=background, is_object=views.alpha is not None)


def background_color(views: Views) -> tuple[float, float, float]:
    """White for objects, whose pictures have it already; else the mean colour of the pictures' borders.

    In a scene the background shows only where nothing was ever seen, which is mostly beyond the borders
    of the views: their mean colour is the least wrong there, where black would gape.
    """
    if views.alpha is not None:
        return (1.0, 1.0, 1.0)
    rgb = views.rgb
    border = np.concatenate([rgb[:, :, [0, -1]].reshape(-1, 3), rgb[:, [0, -1]].reshape(-1, 3)])
    red, green, blue = (border.astype(np.float64).mean(0) / 255).tolist()
    return (red, green, blue)
