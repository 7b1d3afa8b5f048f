"""Write a checkpoint's mean weights where the program finds them: `python -m training.ship_geo CHECKPOINT object`."""

from img2world.geometry.guess import OBJECT_WEIGHTS, SCENE_WEIGHTS
from img2world.geometry.nano_geo import NanoGeo
from training.weights import ASSETS, ship, ship_parser

FILES = {"object": OBJECT_WEIGHTS, "scene": SCENE_WEIGHTS}


def main() -> None:
    """The command line."""
    parser = ship_parser(__doc__)
    parser.add_argument("kind", choices=FILES, help="what the program shall use them for")
    options = parser.parse_args()
    ship(options.checkpoint, options.out or ASSETS / FILES[options.kind], NanoGeo.of, model="nano-geo")


if __name__ == "__main__":
    main()
