"""How far a rendered picture is from a photo, with gradient."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from img2world.core.errors import Img2WorldError
from img2world.render.native import native_module, num_threads, simd_level

WINDOW = 11
"""Side of the windows of structural similarity, in pixels (Wang et al. 2004, "Image Quality Assessment")."""

SIGMA = 1.5
"""Standard deviation of the windows' weights, in pixels."""


def l1_dssim(rgb: Float[Tensor, "H W 3"], target: Float[Tensor, "H W 3"], weight: float = 0.2) -> Float[Tensor, ""]:
    """Return (1 - weight) mean |rgb - target| + weight (1 - mean SSIM), differentiable in rgb.

    The loss of Kerbl et al. 2023, "3D Gaussian Splatting", equation 7, but only windows that lie inside
    the picture count. Values are 0 to 1. float32 on the CPU is computed by native code, the rest by torch.
    Raises Img2WorldError when the picture is smaller than a window.
    """
    if rgb.shape != target.shape or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"pictures have shapes {tuple(rgb.shape)} and {tuple(target.shape)}, need equal [H, W, 3]")
    if min(rgb.shape[:2]) < WINDOW:
        raise Img2WorldError(
            f"the picture is {rgb.shape[1]}x{rgb.shape[0]}, needs at least {WINDOW}x{WINDOW} pixels",
            hint="use larger pictures, or a loss without structural similarity",
        )
    if rgb.dtype == torch.float32 and rgb.device.type == "cpu":
        return NativeLoss.apply(rgb, target, weight)
    return l1_dssim_in_torch(rgb, target, weight)


class NativeLoss(torch.autograd.Function):
    """`l1_dssim` in C++ (see native/image_loss.cpp); the gradient is found with the value."""

    @staticmethod
    def forward(ctx: Any, rgb: Tensor, target: Tensor, weight: float) -> Tensor:
        """Return the loss."""
        image = rgb.detach().contiguous()
        gradient = torch.empty_like(image) if ctx.needs_input_grad[0] else None
        arrays = image.numpy(), target.detach().float().contiguous().numpy()
        out = None if gradient is None else gradient.numpy()
        loss = native_module().l1_dssim(simd_level(), num_threads(), *arrays, weight, out)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return image.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Gradient of rgb."""
        return ctx.saved_tensors[0] * gradients[0], None, None


def l1_dssim_in_torch(
    rgb: Float[Tensor, "H W 3"], target: Float[Tensor, "H W 3"], weight: float = 0.2
) -> Float[Tensor, ""]:
    """`l1_dssim` in plain torch, for any device and float type."""
    x, y = rgb.permute(2, 0, 1)[:, None], target.permute(2, 0, 1)[:, None]  # [3, 1, H, W]
    place = torch.arange(WINDOW, dtype=rgb.dtype, device=rgb.device) - WINDOW // 2
    weights = torch.exp(-0.5 * (place / SIGMA) ** 2)
    weights = weights / weights.sum()

    def blur(values: Tensor) -> Tensor:
        rows = torch.nn.functional.conv2d(values, weights[None, None, :, None])
        return torch.nn.functional.conv2d(rows, weights[None, None, None, :])

    mean_x, mean_y = blur(x), blur(y)
    variances = blur(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similar = similar / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    return (1 - weight) * (rgb - target).abs().mean() + weight * (1 - similar.mean())
