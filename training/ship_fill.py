"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_fill CHECKPOINT`."""

from img2world.geometry.filled_world import WEIGHTS
from img2world.geometry.nano_fill import NanoFill
from training.weights import ship_as_typed


def main() -> None:
    """The command line."""
    ship_as_typed(NanoFill, WEIGHTS, __doc__, model="nano-fill")


if __name__ == "__main__":
    main()
