"""The native rasterizer: C++ with SIMD and threads, on any CPU. Exact gradients, no torch inside.

It differs from `reference` by float32 and by stopping where less than 1e-4 of the light comes through.
Results are bit-identical for any number of threads on one machine; another instruction set rounds differently.
"""

import os
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from img2world.core.cameras import Cameras
from img2world.core.errors import Img2WorldError, MissingPackageError
from img2world.render.splats import Rendering, Splats

THREADS_VARIABLE = "IMG2WORLD_THREADS"
SIMD_VARIABLE = "IMG2WORLD_SIMD"


def native_module() -> ModuleType:
    """Return the compiled module. Raises MissingPackageError when it was not built."""
    try:
        return import_module("img2world.render._native")
    except ImportError as error:
        raise MissingPackageError(
            f"the native rasterizer cannot be loaded: {error}",
            hint="install a wheel of img2world, or a C++20 compiler and then img2world again",
        ) from error


def num_threads() -> int:
    """Count the threads to use: IMG2WORLD_THREADS, or else every core this process may use."""
    text = os.environ.get(THREADS_VARIABLE)
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise Img2WorldError(f"{THREADS_VARIABLE} is {text!r}, needs a number from 1 to 1024", hint="unset it")
    return int(text)


def simd_level() -> str:
    """Name the instruction set to use: IMG2WORLD_SIMD, or else the best this machine has."""
    levels: list[str] = native_module().simd_levels()
    level = os.environ.get(SIMD_VARIABLE) or levels[0]
    if level not in levels:
        raise Img2WorldError(f"{SIMD_VARIABLE} is {level!r}, this machine has {', '.join(levels)}", hint="unset it")
    return level


def describe() -> dict[str, str | int]:
    """What the native rasterizer runs on, for people to read."""
    return {"simd": simd_level(), "threads": num_threads()}


def rasterize(splats: Splats, camera: Cameras, background: tuple[float, float, float]) -> Rendering:
    """Draw Gaussians as one camera sees them. Needs float32 tensors on the CPU."""
    if splats.means.dtype != torch.float32 or splats.means.device.type != "cpu":
        raise TypeError(f"the tensors are {splats.means.dtype} on {splats.means.device}, needs float32 on the CPU")
    screen_means, whitenings, depths, opacities, rgb, radii = Project.apply(camera, *splats.tensors())
    if screen_means.requires_grad:
        screen_means.retain_grad()
    color, alpha, depth = Blend.apply(camera, background, screen_means, whitenings, depths, opacities, rgb, radii)
    return Rendering(rgb=color, alpha=alpha, depth=depth, screen_means=screen_means, radii=radii)


class Project(torch.autograd.Function):
    """Gaussians in the world to Gaussians on the screen (see native/project.cpp)."""

    @staticmethod
    def forward(ctx: Any, camera: Cameras, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return screen_means, whitenings, depths, opacities, rgb, radii."""
        inputs = [tensor.detach().contiguous() for tensor in tensors]
        count = len(inputs[0])
        outputs = [torch.empty(count, *rest) for rest in ((2,), (3,), (), (), (3,))]
        outputs.append(torch.empty(count, dtype=torch.int32))
        ctx.native_camera = native_camera(camera)
        finite = native_module().project(
            simd_level(), num_threads(), ctx.native_camera, *map(torch.Tensor.numpy, inputs + outputs)
        )
        if not finite:
            Splats(**dict(zip(Splats.__dataclass_fields__, inputs, strict=True))).check_finite()
        ctx.save_for_backward(*inputs, *outputs[4:])
        ctx.mark_non_differentiable(outputs[5])
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of means, quats, log_scales, logit_opacities, sh."""
        inputs = [*ctx.saved_tensors, *(gradient.contiguous() for gradient in gradients[:5])]
        outputs = [torch.empty_like(tensor) for tensor in inputs[:5]]
        native_module().project_backward(
            simd_level(), num_threads(), ctx.native_camera, *map(torch.Tensor.numpy, inputs + outputs)
        )
        return (None, *outputs)


class Blend(torch.autograd.Function):
    """Gaussians on the screen to pixels (see native/blend.cpp)."""

    @staticmethod
    def forward(ctx: Any, camera: Cameras, background: tuple[float, float, float], *seen: Tensor) -> tuple[Tensor, ...]:
        """Return rgb, alpha, depth."""
        inputs = [tensor.detach() for tensor in seen]
        size = (camera.height, camera.width)
        outputs = [torch.empty(*size, 3), torch.empty(size), torch.empty(size)]
        arrays = [tensor.numpy() for tensor in inputs], [tensor.numpy() for tensor in outputs]
        behind = np.array(background, np.float32)
        ctx.blended = native_module().blend(simd_level(), num_threads(), *arrays[0], behind, *arrays[1])
        ctx.save_for_backward(inputs[1], inputs[3], *outputs)
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of screen_means, whitenings, depths, opacities, rgb."""
        whitenings, opacities, *picture = ctx.saved_tensors
        # Gradients of alpha and depth cost extra; most losses use neither.
        wanted = gradients if gradients[1:] != (None, None) else gradients[:1]
        upstream = [
            (torch.zeros_like(drawn) if gradient is None else gradient.contiguous()).numpy()
            for gradient, drawn in zip(wanted, picture, strict=False)
        ]
        upstream += [None] * (3 - len(upstream))
        count = len(opacities)
        outputs = [torch.empty(count, *rest) for rest in ((2,), (3,), (), (), (3,))]
        saved = [tensor.numpy() for tensor in (whitenings, opacities, *picture)]
        results = [tensor.numpy() for tensor in outputs]
        native_module().blend_backward(simd_level(), num_threads(), ctx.blended, *saved, *upstream, *results)
        return (None, None, *outputs, None)


def native_camera(camera: Cameras) -> Any:
    """Convert the one camera to what the native module takes."""
    intrinsics = camera.intrinsics[0]
    return native_module().Camera(
        np.ascontiguousarray(camera.cam_from_world[0]),
        np.ascontiguousarray(camera.centers_in_world[0]),
        float(intrinsics[0, 0]),
        float(intrinsics[1, 1]),
        float(intrinsics[0, 2]),
        float(intrinsics[1, 2]),
        camera.width,
        camera.height,
    )
