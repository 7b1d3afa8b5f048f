"""The loss of a rendered view, with its gradient."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from img2world.core.errors import Img2WorldError
from img2world.render.extension import native_module, num_threads, simd_level
from img2world.render.native import as_array

WINDOW = 11
"""Side of the windows of structural similarity, in pixels (Wang et al. 2004, "Image Quality Assessment")."""

SIGMA = 1.5
"""Standard deviation of the windows' weights, in pixels."""

MAX_DEPTH_ERROR = 0.1
"""Largest |depth / target - 1| that counts. Beyond it the two show different surfaces, as at a depth edge, and pulling
them together would smear the edge."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Target images of a view as they are stored: bytes 0 to 255."""

    rgb: UInt8[Tensor, "H W 3"]
    alpha: UInt8[Tensor, "H W"] | None = None
    """None when everything should be opaque, since every pixel of a photo shows something."""
    depth: Float32[Tensor, "H W"] | None = None
    """0 where nothing is known."""
    mask: UInt8[Tensor, "H W"] | None = None
    """0 where a pixel is ignored; None when every pixel counts."""


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """LossWeights of the terms of the loss."""

    colors: float = 1.0
    dssim_fraction: float = 0.2
    """Fraction of structural dissimilarity in the colour loss; the rest is absolute error."""
    alpha: float = 0.0
    depth: float = 0.0


def view_loss(
    rgb: Float[Tensor, "H W 3"],
    alpha: Float[Tensor, "H W"] | None,
    depth: Float[Tensor, "H W"] | None,
    target: Target,
    weights: LossWeights,
) -> Float[Tensor, ""]:
    """Return the loss of a rendered view, differentiable with respect to rgb, alpha and depth.

    `alpha` and `depth` may be None if their weight is 0. Colours 0 to 1: (1 - fraction) mean |rgb - target| +
    fraction (1 - mean SSIM), which is equation 7 of Kerbl et al. 2023, "3D Gaussian Splatting", with only the windows
    that lie inside the image. Alpha: mean absolute error. Depth: mean relative error, where the target is known and the
    error below MAX_DEPTH_ERROR. Native code computes it for float32 on the CPU, torch otherwise. Raises Img2WorldError
    when the image is smaller than a window.
    """
    if rgb.shape != target.rgb.shape:
        raise ValueError(f"pictures have shapes {tuple(rgb.shape)} and {tuple(target.rgb.shape)}, need equal ones")
    if min(rgb.shape[:2]) < WINDOW:
        raise Img2WorldError(
            f"the picture is {rgb.shape[1]}x{rgb.shape[0]}, needs at least {WINDOW}x{WINDOW} pixels",
            hint="use larger pictures, or a loss without structural similarity",
        )
    alpha = alpha if weights.alpha > 0 else None
    depth = depth if weights.depth > 0 and target.depth is not None else None
    if target.mask is not None:
        rgb, alpha, depth = _fill_ignored(rgb, alpha, depth, target, target.mask == 0)
    if rgb.dtype == torch.float32 and rgb.device.type == "cpu":
        return NativeLoss.apply(rgb, alpha, depth, target, weights)
    return view_loss_in_torch(rgb, alpha, depth, target, weights)


def _fill_ignored(
    rgb: Tensor, alpha: Tensor | None, depth: Tensor | None, target: Target, ignored: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Replace ignored pixels of what was rendered by the target, so that they add no error and get no gradient."""
    rgb = torch.where(ignored[..., None], target.rgb.to(rgb.dtype) / 255, rgb)
    if alpha is not None:
        opaque = torch.ones_like(alpha) if target.alpha is None else target.alpha.to(alpha.dtype) / 255
        alpha = torch.where(ignored, opaque, alpha)
    if depth is not None and target.depth is not None:
        depth = torch.where(ignored, target.depth.to(depth.dtype), depth)
    return rgb, alpha, depth


class NativeLoss(torch.autograd.Function):
    """`view_loss` in C++ (see native/image_loss.cpp); the gradients are computed along with the value."""

    @staticmethod
    def forward(
        ctx: Any, rgb: Tensor, alpha: Tensor | None, depth: Tensor | None, target: Target, weights: LossWeights
    ) -> Tensor:
        """Return the loss."""
        rendered = [None if t is None else t.detach().contiguous() for t in (rgb, alpha, depth)]
        wanted = any(ctx.needs_input_grad)
        gradients = [torch.empty_like(t) if wanted and t is not None else None for t in rendered]
        truth = [None if t is None else t.contiguous() for t in (target.rgb, target.alpha, target.depth)]
        factors = weights.colors, weights.dssim_fraction, weights.alpha, weights.depth, MAX_DEPTH_ERROR
        arrays = [as_array(tensor) for tensor in (*rendered, *truth)]
        loss = native_module().view_loss(simd_level(), num_threads(), *arrays, *factors, *map(as_array, gradients))
        ctx.gradients = gradients
        return rgb.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of rgb, alpha and depth."""
        scale = float(gradients[0])
        return *(g if g is None or scale == 1 else g * scale for g in ctx.gradients), None, None


def view_loss_in_torch(
    rgb: Float[Tensor, "H W 3"],
    alpha: Float[Tensor, "H W"] | None,
    depth: Float[Tensor, "H W"] | None,
    target: Target,
    weights: LossWeights,
) -> Float[Tensor, ""]:
    """Compute `view_loss` in plain torch, for any device and float type."""
    loss = weights.colors * _l1_dssim(rgb, target.rgb.to(rgb) / 255, weights.dssim_fraction)
    if alpha is not None:
        opaque = torch.ones_like(alpha) if target.alpha is None else target.alpha.to(alpha) / 255
        loss = loss + weights.alpha * (alpha - opaque).abs().mean()
    if depth is not None and target.depth is not None:
        known = target.depth > 0
        error = (depth / torch.where(known, target.depth.to(depth), 1) - 1).abs()
        error = torch.where(known & (error < MAX_DEPTH_ERROR), error, 0)
        loss = loss + weights.depth * error.mean()
    return loss


def _l1_dssim(rgb: Float[Tensor, "H W 3"], target: Float[Tensor, "H W 3"], fraction: float) -> Float[Tensor, ""]:
    """Return the colour loss, of which `fraction` is structural dissimilarity."""
    x, y = rgb.permute(2, 0, 1)[:, None], target.permute(2, 0, 1)[:, None]  # [3, 1, H, W]
    offset = torch.arange(WINDOW, dtype=rgb.dtype, device=rgb.device) - WINDOW // 2
    window = torch.exp(-0.5 * (offset / SIGMA) ** 2)
    window = window / window.sum()

    def blur(values: Tensor) -> Tensor:
        rows = torch.nn.functional.conv2d(values, window[None, None, :, None])
        return torch.nn.functional.conv2d(rows, window[None, None, None, :])

    mean_x, mean_y = blur(x), blur(y)
    variances = blur(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similar = similar / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    return (1 - fraction) * (rgb - target).abs().mean() + fraction * (1 - similar.mean())
