"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_fill CHECKPOINT`."""

from img2world.layered.diffusion_fill import WEIGHTS
from img2world.layered.fill_network import NanoFill
from training.weights import ASSETS, ship, ship_parser, state_of


def main() -> None:
    """The command line."""
    options = ship_parser(__doc__).parse_args()
    state, out = state_of(options.checkpoint), options.out or ASSETS / WEIGHTS
    ship(state, out, NanoFill().load_state_dict, model="nano-fill")


if __name__ == "__main__":
    main()
