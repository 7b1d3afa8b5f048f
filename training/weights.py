"""Weights as trainings keep them and as the program ships them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from img2world.depth.weights import compact, restored

ASSETS = Path(__file__).resolve().parent.parent / "assets"

Network = TypeVar("Network", bound=nn.Module)


def state_of(path: Path) -> dict[str, Tensor]:
    """The mean weights of a checkpoint, or weights as they are shipped."""
    return restored(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)["mean"]


def with_weights(network: Network, path: Path, *, grown: tuple[str, ...] = ()) -> Network:
    """The network with the weights of `state_of`.

    Layers whose names begin with one of `grown` may be missing there: they stay as they were made.
    """
    own = {name: values for name, values in network.state_dict().items() if name.startswith(grown)} if grown else {}
    network.load_state_dict(own | state_of(path))
    return network.eval()


def ship(state: dict[str, Tensor], out: Path, load: Callable[[dict[str, Tensor]], object], *, model: str) -> None:
    """Write a network's weights as the program reads them, once `load` has taken them."""
    load(state)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(compact(state), out, metadata={"model": model, "licence": "Apache-2.0"})
    out.chmod(0o644)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def ship_parser(about: str | None) -> argparse.ArgumentParser:
    """What both kinds of weights are shipped by."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, help="another file than that which the program reads")
    return parser
