"""Weights of the embedded networks as they are shipped: a byte each, and a scale for each output of a layer."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from img2world.core.errors import MissingPackageError
from img2world.core.resources import resource_folder

SCALE = ".scale"
"""Behind the name of weights in bytes: what one step of a byte is worth, for each output."""

LARGEST = 127


def compact(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's state in a quarter of its size: matrices and kernels as bytes, all else in half precision."""
    stored = {}
    for name, values in state.items():
        if values.ndim > 1:
            scale = (values.flatten(1).abs().amax(1) / LARGEST).clamp(min=1e-12)
            rows = scale.reshape(-1, *[1] * (values.ndim - 1))
            stored[name], stored[name + SCALE] = (values / rows).round().to(torch.int8).contiguous(), scale
        else:
            stored[name] = values.to(torch.float16).contiguous()
    return stored


def restored(path: Path) -> dict[str, Tensor]:
    """The state in single precision that a file written of `compact` holds, or one of plain weights."""
    stored = load_file(path)
    state = {}
    for name, values in stored.items():
        if not name.endswith(SCALE):
            scale = stored.get(name + SCALE)
            state[name] = values.float()
            if scale is not None:
                state[name] *= scale.reshape(-1, *[1] * (values.ndim - 1))
    return state


def shipped(file: str, *, hint: str) -> dict[str, Tensor]:
    """The state of a network whose weights are in the assets. Raises MissingPackageError when they are not there."""
    path = resource_folder("assets") / file
    if not path.is_file():
        raise MissingPackageError(f"the embedded network's weights are missing: {path}", hint=hint)
    return restored(path)
