"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_geo CHECKPOINT`."""

from img2world.geometry.guess import WEIGHTS
from img2world.geometry.nano_geo import NanoGeo
from training.weights import ship_as_typed


def main() -> None:
    """The command line."""
    ship_as_typed(NanoGeo, WEIGHTS, __doc__, model="nano-geo")


if __name__ == "__main__":
    main()
