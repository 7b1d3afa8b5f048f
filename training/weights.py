"""Reading checkpoints and weights, and writing weights as they are shipped."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from img2world.depth.weights import quantize, read_weights

ASSETS = Path(__file__).resolve().parent.parent / "assets"

Network = TypeVar("Network", bound=nn.Module)


def load_state(path: Path) -> dict[str, Tensor]:
    """Return the mean weights of a checkpoint, or shipped weights."""
    return read_weights(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)["mean"]


def load_weights(network: Network, path: Path, *, optional: tuple[str, ...] = ()) -> Network:
    """Return the network in evaluation mode with the weights of a file.

    Layers whose names begin with one of `optional` keep their weights if the file lacks them.
    """
    own = {name: values for name, values in network.state_dict().items() if optional and name.startswith(optional)}
    network.load_state_dict(own | load_state(path))
    return network.eval()


def ship_weights(
    state: dict[str, Tensor],
    out: Path,
    load: Callable[[dict[str, Tensor]], object],
    *,
    model: str,
    half: tuple[str, ...] = (),
) -> None:
    """Check that `load` accepts the weights, then write them in the format that the program reads; see `quantize`."""
    load(state)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(quantize(state, half=half), out, metadata={"model": model, "licence": "Apache-2.0"})
    out.chmod(0o644)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def ship_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all shipping commands share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, help="file to write instead of the one that the program reads")
    return parser
