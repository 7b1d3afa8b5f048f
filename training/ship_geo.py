"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_geo CHECKPOINT object`.

`--share 0.75 --before WEIGHTS` ships the mean with the weights that the training began with: it may be better than
either for what neither was trained on (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

from pathlib import Path

import torch
from torch import Tensor

from img2world.depth.network import GROWING, HEAD, LAST_OF_BLOCK, NanoGeo
from img2world.depth.predict import OBJECT_WEIGHTS, SCENE_WEIGHTS
from img2world.layered.outpaint import WEIGHTS as OUTPAINT_WEIGHTS
from training.weights import ASSETS, ship, ship_parser, state_of

FILES = {"object": OBJECT_WEIGHTS, "scene": SCENE_WEIGHTS, "outpaint": OUTPAINT_WEIGHTS}
MODELS = {"object": "nano-geo", "scene": "nano-geo", "outpaint": "nano-outpaint"}


def mean_of(after: dict[str, Tensor], before: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """`share` of a state and the rest of the one it began with; its missing blocks did nothing, its head knew nothing.

    Raises KeyError where something else is missing.
    """

    def grown(name: str) -> Tensor:
        values = after[name]
        if name.startswith(HEAD):
            return values
        if not name.startswith(GROWING):
            raise KeyError(name)
        return torch.zeros_like(values) if any(part in name for part in LAST_OF_BLOCK) else values

    rest = {name: before[name] if name in before else grown(name) for name in after}
    return {name: share * values + (1 - share) * rest[name] for name, values in after.items()}


def main() -> None:
    """The command line."""
    parser = ship_parser(__doc__)
    parser.add_argument("kind", choices=FILES, help="what the program shall use them for")
    parser.add_argument("--before", type=Path, help="weights that the training began with, to take the mean with")
    parser.add_argument("--share", type=float, default=0.5, help="of the checkpoint in that mean, 0 to 1")
    options = parser.parse_args()
    if not 0 <= options.share <= 1:
        parser.error(f"--share: {options.share} is no share, needs 0 to 1")
    state = state_of(options.checkpoint)
    if options.before:
        state = mean_of(state, state_of(options.before), options.share)
    ship(state, options.out or ASSETS / FILES[options.kind], NanoGeo.of, model=MODELS[options.kind])


if __name__ == "__main__":
    main()
