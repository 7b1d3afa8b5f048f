"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_fill CHECKPOINT`."""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from img2world.geometry.filled_world import WEIGHTS
from training.evaluate_fill import load_fill
from training.ship_geo import ASSETS


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=ASSETS / WEIGHTS)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: values.to(torch.float16).contiguous()
        for name, values in load_fill(options.checkpoint).state_dict().items()
    }
    save_file(state, options.out, metadata={"model": "nano-fill", "licence": "Apache-2.0"})
    options.out.chmod(0o644)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
