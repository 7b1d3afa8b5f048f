"""Linear-blend skinning: Gaussians follow the rigid motions of a few bones, differentiable in all that is given."""

from typing import Any

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from img2world.render.extension import native_module, num_threads

BONES_OF_EACH = 4
"""Bones that each Gaussian follows."""


def skin(
    bones: Float[Tensor, "B 16"],
    indices: Int32[Tensor, "N 4"],
    logits: Float[Tensor, "N 4"],
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
    """Return where Gaussians are and how they are turned, by the weighted mean of the motions of their bones.

    A bone is a rotation matrix by rows, a translation, and its wxyz quaternion; weights are the softmax of the logits.
    The quaternions returned are not of unit length. Native code works on float32 on the CPU, torch on all others; the
    former gives the same bits for any number of threads. Raises IndexError when there is no bone of an index.
    """
    if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < len(bones)):
        raise IndexError(f"Gaussians follow bones {indices.min()} to {indices.max()}, there are {len(bones)}")
    if means.dtype == torch.float32 and means.device.type == "cpu":
        return Skin.apply(bones, indices, logits, means, quats)
    return skin_by_torch(bones, indices, logits, means, quats)


def skin_by_torch(
    bones: Float[Tensor, "B 16"],
    indices: Int32[Tensor, "N 4"],
    logits: Float[Tensor, "N 4"],
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
    """Return what `skin` does, by torch."""
    values = bones[indices.long()]  # [N, 4, 16]
    # A quaternion and its negative are the same turn; summed up, they must not cancel out.
    signs = torch.where((values[..., 12:] * values[:, :1, 12:]).sum(-1, keepdim=True) < 0, -1.0, 1.0).detach()
    weights = logits.softmax(1)[..., None]
    affine = (values[..., :12] * weights).sum(1)
    turned = (values[..., 12:] * signs * weights).sum(1)
    moved = (affine[:, :9].reshape(-1, 3, 3) * means[:, None]).sum(-1) + affine[:, 9:]
    return moved, product(turned, quats)


class Skin(torch.autograd.Function):
    """Skinning by native code and its gradient (see native/skinning.hpp)."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and quaternions after the motion."""
        inputs = [tensor.detach().contiguous() for tensor in tensors]
        means, quats = inputs[3:]
        moved, turned = torch.empty_like(means), torch.empty_like(quats)
        native_module().skin(num_threads(), *(each.numpy() for each in (*inputs, moved, turned)))
        ctx.save_for_backward(*inputs)
        return moved, turned

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the tensors given to `forward`."""
        bones, indices, logits, means, quats = ctx.saved_tensors
        upstream = [gradient.contiguous() for gradient in gradients]
        outputs = [torch.empty_like(each) for each in (bones, logits, means, quats)]
        arrays = (each.numpy() for each in (bones, indices, logits, means, quats, *upstream, *outputs))
        native_module().skin_backward(num_threads(), *arrays)
        return outputs[0], None, *outputs[1:]


def product(first: Float[Tensor, "N 4"], second: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
    """Return the wxyz quaternions that rotate by `second` and then by `first`."""
    a, b, c, d = first.unbind(-1)
    w, x, y, z = second.unbind(-1)
    return torch.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        -1,
    )
