"""Weights as trainings keep them and as the program ships them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ASSETS = Path(__file__).resolve().parent.parent / "assets"

Network = TypeVar("Network", bound=nn.Module)


def with_weights(network: Network, *paths: Path) -> Network:
    """The network with the mean weights of a checkpoint, or with weights as they are shipped.

    Of several the mean is taken: trainings that began with the same weights and saw other pictures err in other ways
    (Wortsman et al. 2022, "Model soups").
    """
    states = [weights_of(path) for path in paths]
    network.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return network.eval()


def weights_of(path: Path) -> dict[str, Tensor]:
    """What lies in a file of either kind, in single precision."""
    if path.suffix == ".safetensors":
        return {name: values.float() for name, values in load_file(path).items()}
    return torch.load(path, weights_only=True)["mean"]


def ship_as_typed(make: Callable[[], nn.Module], weights: str, about: str | None, *, model: str) -> None:
    """Write a checkpoint's mean weights, or the mean of several, where the program finds them, as typed."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--out", type=Path, default=ASSETS / weights)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # Half precision changes what comes out by less than a thousandth and halves the file.
    state = {
        name: values.to(torch.float16).contiguous()
        for name, values in with_weights(make(), *options.checkpoints).state_dict().items()
    }
    save_file(state, options.out, metadata={"model": model, "licence": "Apache-2.0"})
    options.out.chmod(0o644)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
