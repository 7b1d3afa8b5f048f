"""Weights as trainings keep them and as the program ships them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

ASSETS = Path(__file__).resolve().parent.parent / "assets"

Network = TypeVar("Network", bound=nn.Module)


def with_weights(network: Network, path: Path) -> Network:
    """The network with the mean weights of a checkpoint, or with weights as they are shipped."""
    if path.suffix == ".safetensors":
        state = {name: values.float() for name, values in load_file(path).items()}
    else:
        state = torch.load(path, weights_only=True)["mean"]
    network.load_state_dict(state)
    return network.eval()


def ship_as_typed(make: Callable[[], nn.Module], weights: str, about: str | None, *, model: str) -> None:
    """Write a checkpoint's mean weights where the program finds them, as a command line asks."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=ASSETS / weights)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # Half precision changes what comes out by less than a thousandth and halves the file.
    state = {
        name: values.to(torch.float16).contiguous()
        for name, values in with_weights(make(), options.checkpoint).state_dict().items()
    }
    save_file(state, options.out, metadata={"model": model, "licence": "Apache-2.0"})
    options.out.chmod(0o644)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
