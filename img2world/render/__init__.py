"""Rasterizers of Gaussians and of triangle meshes.

`rasterize` draws torch tensors and is differentiable; `render` draws a finished scene, NumPy arrays in and out. Both
take the name of a rasterizer, or "auto" for the fastest one on this machine.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from img2world.core.cameras import Cameras
from img2world.core.errors import Img2WorldError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress, silent

if TYPE_CHECKING:
    import torch

    import img2world.render.splats

RASTERIZERS = {
    "reference": "img2world.render.reference:rasterize",
    "native": "img2world.render.native:rasterize",
    "gsplat": "img2world.render.gsplat:rasterize",
}
"""Name to "module:function" of a `rasterize(splats, camera, *, background, antialiased, colors) -> Rendering`."""

Color = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class RenderedViews:
    """Images of a scene, one per camera."""

    rgb: Float32[np.ndarray, "V H W 3"]
    """sRGB clipped to 0 to 1, background included."""
    alpha: Float32[np.ndarray, "V H W"]
    """Opacity, 0 to 1."""
    depth: Float32[np.ndarray, "V H W"]
    """Expected distance along +Z in world units, 0 where alpha is 0."""


def resolve_backend(backend: str) -> str:
    """Return the name of the rasterizer to use: for "auto" gsplat on CUDA, else native, else reference.

    Raises Img2WorldError when there is no rasterizer of that name. Warns when only the slow one is available.
    """
    if backend in RASTERIZERS:
        return backend
    if backend != "auto":
        raise Img2WorldError(f"there is no rasterizer {backend!r}", hint=f"use auto, {', '.join(RASTERIZERS)}")
    if find_spec("gsplat") is not None:
        import torch

        if torch.cuda.is_available():
            return "gsplat"
    if find_spec("img2world.render._native") is not None:
        return "native"
    warnings.warn(
        "the native rasterizer was not built, rendering with plain torch, hundreds of times slower", stacklevel=2
    )
    return "reference"


def rasterize(
    splats: "img2world.render.splats.Splats",
    camera: "Cameras | img2world.render.splats.CameraTensors",
    *,
    background: Color = (0.0, 0.0, 0.0),
    antialiased: bool = False,
    colors: "torch.Tensor | None" = None,
    backend: str = "auto",
) -> "img2world.render.splats.Rendering":
    """Draw Gaussians as one camera sees them; differentiable with respect to every tensor given.

    EWA splatting with a 0.3 px² low-pass, front to back by camera z; alpha is clipped at 0.999 and
    contributions below 1/255 are skipped (Kerbl et al. 2023, "3D Gaussian Splatting"; Zwicker et al.
    2001, "EWA Splatting"). `antialiased` makes Gaussians fainter where the low-pass widens them (Yu et
    al. 2024, "Mip-Splatting", equation 9). `colors` [N, 3] of any sign are drawn in place of the
    colours in `splats.sh`: the normals of `gaussian_normals`, or other features. Raises Img2WorldError
    when a value is not finite, MissingPackageError when the backend cannot run here.
    """
    from img2world.render.splats import camera_tensors

    if isinstance(camera, Cameras):
        if len(camera) != 1:
            raise ValueError(f"{len(camera)} cameras, rasterize draws one; use cameras.select([i])")
        camera = camera_tensors(camera, dtype=splats.means.dtype, device=splats.means.device)
    if colors is not None and colors.shape != splats.means.shape:
        raise ValueError(f"colors have shape {tuple(colors.shape)}, need {tuple(splats.means.shape)}")
    module, function = RASTERIZERS[resolve_backend(backend)].split(":")
    draw = getattr(import_module(module), function)
    return draw(splats, camera, background=background, antialiased=antialiased, colors=colors)


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    background: Color = (0.0, 0.0, 0.0),
    backend: str = "auto",
    progress: Progress = silent,
) -> RenderedViews:
    """Draw a scene as each camera sees it."""
    shape = (len(cameras), cameras.height, cameras.width)
    rgb, alpha, depth = np.empty((*shape, 3), np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
    for i, view in enumerate(render_each(gaussians, cameras, background=background, backend=backend)):
        rgb[i], alpha[i], depth[i] = view
        progress(i + 1, len(cameras))
    return RenderedViews(rgb=rgb, alpha=alpha, depth=depth)


def render_each(
    gaussians: Gaussians, cameras: Cameras, *, background: Color = (0.0, 0.0, 0.0), backend: str = "auto"
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rgb [H, W, 3], alpha [H, W] and depth [H, W] for one camera after the other, as in `RenderedViews`."""
    import torch

    from img2world.render.splats import splats_from_gaussians

    backend = resolve_backend(backend)
    splats = splats_from_gaussians(gaussians, device="cuda" if backend == "gsplat" else "cpu")
    for i in range(len(cameras)):
        with torch.no_grad():
            view = rasterize(splats, cameras.select([i]), background=background, backend=backend)
        rgb, alpha, depth = (tensor.cpu().numpy() for tensor in (view.rgb, view.alpha, view.depth))
        # Torch would wake a pool of threads for this, which then spin on the cores that the rasterizer is to use.
        yield rgb.clip(0, 1, out=rgb), alpha, depth
