"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_geo CHECKPOINT object`.

`--initial WEIGHTS --fraction 0.75` ships an interpolation with the weights that the training started from, which may
generalize better than either (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

from pathlib import Path

import torch
from torch import Tensor

from img2world.depth.network import MIDDLE_PREFIX, STANCE_PREFIX, ZERO_INITIALIZED, GeometryNetwork
from img2world.depth.predict import OBJECT_WEIGHTS, SCENE_WEIGHTS
from img2world.layered.outpaint import WEIGHTS as OUTPAINT_WEIGHTS
from training.weights import ASSETS, load_state, ship_parser, ship_weights

FILES = {"object": OBJECT_WEIGHTS, "scene": SCENE_WEIGHTS, "outpaint": OUTPAINT_WEIGHTS}
MODELS = {"object": "nano-geo", "scene": "nano-geo", "outpaint": "nano-outpaint"}


def interpolate_weights(final: dict[str, Tensor], initial: dict[str, Tensor], fraction: float) -> dict[str, Tensor]:
    """Return `fraction` of the final and the rest of the initial weights.

    Blocks that the initial weights lack count as identity there; a head that they lack is taken from the final ones.
    Raises KeyError where anything else is missing.
    """

    def initial_values(name: str) -> Tensor:
        if name in initial:
            return initial[name]
        values = final[name]
        if name.startswith(STANCE_PREFIX):
            return values
        if not name.startswith(MIDDLE_PREFIX):
            raise KeyError(name)
        return torch.zeros_like(values) if any(part in name for part in ZERO_INITIALIZED) else values

    return {name: fraction * values + (1 - fraction) * initial_values(name) for name, values in final.items()}


def main() -> None:
    """Run the command line."""
    parser = ship_parser(__doc__)
    parser.add_argument("kind", choices=FILES, help="what the program uses the weights for")
    parser.add_argument("--initial", type=Path, help="weights that the training started from, to interpolate with")
    parser.add_argument("--fraction", type=float, default=0.5, help="of the checkpoint in the interpolation, 0 to 1")
    options = parser.parse_args()
    if not 0 <= options.fraction <= 1:
        parser.error(f"--fraction is {options.fraction}, needs 0 to 1")
    state = load_state(options.checkpoint)
    if options.initial:
        state = interpolate_weights(state, load_state(options.initial), options.fraction)
    ship_weights(
        state, options.out or ASSETS / FILES[options.kind], GeometryNetwork.from_state, model=MODELS[options.kind]
    )


if __name__ == "__main__":
    main()
