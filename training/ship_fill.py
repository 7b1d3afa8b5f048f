"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_fill CHECKPOINT`."""

from img2world.layered.diffusion_fill import WEIGHTS
from img2world.layered.fill_network import NanoFill
from training.weights import ASSETS, load_state, ship_parser, ship_weights


def main() -> None:
    """Run the command line."""
    options = ship_parser(__doc__).parse_args()
    state, out = load_state(options.checkpoint), options.out or ASSETS / WEIGHTS
    ship_weights(state, out, NanoFill().load_state_dict, model="nano-fill")


if __name__ == "__main__":
    main()
