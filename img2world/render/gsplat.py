"""The gsplat rasterizer, for CUDA (Ye et al. 2024, "gsplat: An Open-Source Library for Gaussian Splatting")."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from img2world.core.conventions import NEAR
from img2world.core.errors import MissingPackageError
from img2world.core.sh import sh_degree
from img2world.render.semantics import FAR, LOW_PASS
from img2world.render.splats import CameraTensors, Rendering, Splats


def rasterize(
    splats: Splats,
    camera: CameraTensors,
    *,
    background: tuple[float, float, float],
    antialiased: bool = False,
    colors: Float[Tensor, "N 3"] | None = None,
) -> Rendering:
    """Draw Gaussians as one camera sees them. Needs float32 tensors on a CUDA device.

    Raises MissingPackageError without gsplat or CUDA.
    """
    # Without CUDA gsplat can be imported, but fails much later, inside its kernels.
    if not torch.cuda.is_available():
        raise MissingPackageError("gsplat needs a CUDA device, there is none", hint="use the native rasterizer")
    if find_spec("gsplat") is None:
        raise MissingPackageError("gsplat is not installed", hint="pip install 'img2world[cuda]'")
    if splats.means.dtype != torch.float32 or splats.means.device.type != "cuda":
        raise TypeError(f"the tensors are {splats.means.dtype} on {splats.means.device}, needs float32 on CUDA")
    from gsplat import rasterization

    return rasterize_by(rasterization, splats, camera, background=background, antialiased=antialiased, colors=colors)


def rasterize_by(
    rasterization: Callable[..., tuple[Tensor, Tensor, dict[str, Any]]],
    splats: Splats,
    camera: CameraTensors,
    *,
    background: tuple[float, float, float],
    antialiased: bool = False,
    colors: Float[Tensor, "N 3"] | None = None,
) -> Rendering:
    """Draw Gaussians as one camera sees them by `gsplat.rasterization`, or what does the same on another device."""
    splats.check_finite()
    arguments = rasterization_arguments(splats, camera, background, antialiased=antialiased, colors=colors)
    pictures, alphas, info = rasterization(**arguments)
    return Rendering(
        rgb=pictures[0, ..., :3],
        alpha=alphas[0, ..., 0],
        depth=pictures[0, ..., 3],
        screen_means=_with_gradient(info["means2d"]),
        radii=info["radii"][0].amax(-1).to(torch.int32),
    )


def rasterization_arguments(
    splats: Splats,
    camera: CameraTensors,
    background: tuple[float, float, float],
    *,
    antialiased: bool = False,
    colors: Float[Tensor, "N 3"] | None = None,
) -> dict[str, Any]:
    """Return the arguments of `gsplat.rasterization`, in its conventions."""
    device = splats.means.device
    return {
        "means": splats.means,
        "quats": splats.quats,
        "scales": splats.log_scales.exp(),
        "opacities": splats.logit_opacities.sigmoid(),
        "colors": splats.sh if colors is None else colors,
        "viewmats": camera.cam_from_world[None],
        "Ks": camera.intrinsics[None],
        "width": camera.width,
        "height": camera.height,
        "near_plane": NEAR,
        "far_plane": FAR,
        "eps2d": LOW_PASS,
        "sh_degree": sh_degree(splats.sh.shape[1]) if colors is None else None,
        "packed": False,
        "absgrad": False,
        "backgrounds": torch.tensor([background], device=device),
        "render_mode": "RGB+ED",
        "rasterize_mode": "antialiased" if antialiased else "classic",
    }


def _with_gradient(means: Tensor) -> Tensor:
    """Return the [N, 2] centres of one view [1, N, 2], whose .grad is filled by the backward pass."""
    # A slice made after drawing is not part of the graph of the image, so it would never get a gradient of its own.
    screen_means = means[0].detach().clone().requires_grad_(means.requires_grad)
    if means.requires_grad:

        def keep(gradient: Tensor) -> None:
            screen_means.grad = gradient[0]

        means.register_hook(keep)
    return screen_means
