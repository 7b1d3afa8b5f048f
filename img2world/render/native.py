"""The native rasterizer: C++ with SIMD and threads, on any CPU, with exact gradients.

It differs from `reference` by float32 rounding and by stopping where the transmittance falls below 1e-4.
Results are bit-identical for any number of threads on one machine; another instruction set rounds differently.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from img2world.core.errors import Img2WorldError
from img2world.render.extension import native_module, num_threads, simd_level
from img2world.render.splats import CameraTensors, Rendering, Splats, not_finite_error


def rasterize(
    splats: Splats,
    camera: CameraTensors,
    *,
    background: tuple[float, float, float],
    antialiased: bool = False,
    colors: Float[Tensor, "N 3"] | None = None,
) -> Rendering:
    """Draw Gaussians as one camera sees them. Needs float32 tensors on the CPU."""
    if splats.means.dtype != torch.float32 or splats.means.device.type != "cpu":
        raise TypeError(f"the tensors are {splats.means.dtype} on {splats.means.device}, needs float32 on the CPU")
    size = (camera.width, camera.height)
    inputs = [camera.cam_from_world, camera.intrinsics, *splats.tensors(), colors]
    # A leaf that is filled while drawing, and whose gradient is that of the centres on the screen.
    screen_means = torch.empty(len(splats), 2)
    screen_means.requires_grad_(torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs))
    rgb, alpha, depth, radii = Draw.apply(size, background, antialiased, screen_means, *inputs)
    return Rendering(rgb=rgb, alpha=alpha, depth=depth, screen_means=screen_means, radii=radii)


FRAMES: list[Any] = []
"""Native frames whose backward pass is done or will not come: their buffers are reused."""


class Draw(torch.autograd.Function):
    """Rasterization and its gradient (see native/rasterizer.hpp)."""

    @staticmethod
    def forward(
        ctx: Any,
        size: tuple[int, int],
        background: tuple[float, float, float],
        antialiased: bool,
        screen_means: Tensor,
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Return rgb, alpha, depth, radii."""
        cam_from_world, intrinsics, *inputs = [None if t is None else t.detach().contiguous() for t in tensors]
        assert cam_from_world is not None
        assert intrinsics is not None
        width, height = size
        picture = [torch.empty(height, width, 3), torch.empty(height, width), torch.empty(height, width)]
        radii = torch.empty(len(screen_means), dtype=torch.int32)
        frame = FRAMES.pop() if FRAMES else native_module().Frame()
        ctx.view = (simd_level(), num_threads(), native_camera(cam_from_world, intrinsics, *size), antialiased)
        arrays = [*map(as_array, inputs), np.array(background, np.float32), *map(as_array, picture)]
        finite = frame.draw(*ctx.view, *arrays, screen_means.detach().numpy(), radii.numpy())
        if not finite:
            raise _first_not_finite(inputs)
        if any(ctx.needs_input_grad):
            ctx.frame, ctx.num_entries = frame, frame.num_entries
            ctx.save_for_backward(cam_from_world, *inputs, radii, *picture)
        else:
            FRAMES.append(frame)
        ctx.mark_non_differentiable(radii)
        ctx.set_materialize_grads(False)
        return (*picture, radii)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the tensors given to `forward`."""
        cam_from_world, *inputs, radii, rgb, alpha, depth = ctx.saved_tensors
        if ctx.frame is None:
            raise RuntimeError("the buffers of this image have been reused; render it again for another backward pass")
        upstream = [gradients[0] if gradients[0] is not None else torch.zeros_like(rgb)]
        # Gradients of alpha and depth cost extra; most losses use neither.
        if gradients[1] is not None or gradients[2] is not None:
            upstream += [torch.zeros_like(alpha) if g is None else g for g in gradients[1:3]]
        upstream = [gradient.contiguous() for gradient in upstream]
        *splats, colors = inputs
        outputs: list[Tensor | None] = [torch.empty_like(tensor) for tensor in splats[:4]]
        outputs += [torch.empty_like(splats[4]), None] if colors is None else [None, torch.empty_like(colors)]
        screen_means = torch.empty(len(radii), 2)
        camera_sums = np.empty(19) if any(ctx.needs_input_grad[4:6]) else None
        ctx.frame.backward(
            *ctx.view,
            *map(as_array, (*inputs, radii, rgb, alpha, depth, *upstream)),
            *[None] * (3 - len(upstream)),
            *map(as_array, (*outputs, screen_means)),
            camera_sums,
        )
        FRAMES.append(ctx.frame)
        ctx.frame = None
        if outputs[4] is None:
            outputs[4] = torch.zeros_like(splats[4])
        pose_gradients = (None, None) if camera_sums is None else camera_gradients(camera_sums, cam_from_world)
        return (None, None, None, screen_means, *pose_gradients, *outputs)


def as_array(tensor: Tensor | None) -> np.ndarray | None:
    """Return the tensor's memory as the array that the native module takes."""
    return None if tensor is None else tensor.numpy()


def camera_gradients(camera_sums: np.ndarray, cam_from_world: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of cam_from_world [4, 4] and intrinsics [3, 3] from the native sums (see CAMERA_VALUES)."""
    matrix = cam_from_world.numpy().astype(np.float64)
    pose, center_gradient = camera_sums[:12].reshape(3, 4).copy(), camera_sums[12:15]
    # The centre is -rotation^T translation.
    pose[:, :3] -= np.outer(matrix[:3, 3], center_gradient)
    pose[:, 3] -= matrix[:3, :3] @ center_gradient
    intrinsics = np.zeros((3, 3))
    intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]] = camera_sums[15:]
    pose = np.concatenate([pose, np.zeros((1, 4))])
    return torch.tensor(pose).to(cam_from_world), torch.tensor(intrinsics).to(cam_from_world)


def native_camera(cam_from_world: Tensor, intrinsics: Tensor, width: int, height: int) -> Any:
    """Convert one camera to what the native module takes."""
    matrix = cam_from_world.numpy()
    center = -(matrix[:3, :3].astype(np.float64).T @ matrix[:3, 3]).astype(np.float32)
    (fx, _, cx), (_, fy, cy), _ = intrinsics.tolist()
    return native_module().Camera(np.ascontiguousarray(matrix), center, fx, fy, cx, cy, width, height)


def _first_not_finite(inputs: list[Tensor | None]) -> Img2WorldError:
    """Return the error that names the first value that is NaN or infinite."""
    for name, tensor in zip((*Splats.__dataclass_fields__, "colors"), inputs, strict=True):
        if tensor is not None and not torch.isfinite(tensor).all():
            return not_finite_error(name, tensor)
    raise AssertionError("the native rasterizer found a value that is not finite, and there is none")
