"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_geo CHECKPOINT`."""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from img2world.geometry.guess import WEIGHTS
from training.evaluate_geo import load_network

ASSETS = Path(__file__).resolve().parent.parent / "assets"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=ASSETS / WEIGHTS)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # Half precision changes the depths by less than a thousandth and halves the file.
    state = {
        name: values.to(torch.float16).contiguous()
        for name, values in load_network(options.checkpoint).state_dict().items()
    }
    save_file(state, options.out, metadata={"model": "nano-geo", "licence": "Apache-2.0"})
    options.out.chmod(0o644)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
