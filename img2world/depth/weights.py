"""Weights of the embedded networks as shipped: quantized to 8 bits, with one scale per output channel."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from img2world.core.errors import MissingPackageError
from img2world.core.resources import resource_folder

SCALE = ".scale"
"""Suffix of the name of the scales [outputs] of quantized weights."""

MAX_INT8 = 127


def quantize(state: dict[str, Tensor], *, half: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Return a network's state with matrices and kernels as int8 and everything else as float16.

    Layers whose names begin with one of `half` are float16, too.
    """
    stored = {}
    for name, values in state.items():
        if values.ndim > 1 and not (half and name.startswith(half)):
            scale = (values.flatten(1).abs().amax(1) / MAX_INT8).clamp(min=1e-12)
            rows = scale.reshape(-1, *[1] * (values.ndim - 1))
            stored[name], stored[name + SCALE] = (values / rows).round().to(torch.int8).contiguous(), scale
        else:
            stored[name] = values.to(torch.float16).contiguous()
    return stored


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a network's state in single precision from a file of quantized or plain weights."""
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
    """Read the state of a network from the assets. Raises MissingPackageError with `hint` when the file is missing."""
    path = resource_folder("assets") / file
    if not path.is_file():
        raise MissingPackageError(f"the embedded network's weights are missing: {path}", hint=hint)
    return read_weights(path)
