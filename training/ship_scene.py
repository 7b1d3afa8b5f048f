"""Write features and head where the program finds them: `python -m training.ship_scene CHECKPOINT --backbone FILE`."""

from pathlib import Path

from img2world.depth.predict import PHOTO_WEIGHTS
from img2world.depth.scene_network import SceneNetwork
from training.published_weights import load_u2netp
from training.weights import ASSETS, load_state, ship_parser, ship_weights


def main() -> None:
    """Run the command line."""
    parser = ship_parser(__doc__)
    parser.add_argument("--backbone", type=Path, required=True, help="u2netp.onnx")
    options = parser.parse_args()
    state = {f"backbone.{name}": values for name, values in load_u2netp(options.backbone).state_dict().items()}
    state |= {f"head.{name}": values for name, values in load_state(options.checkpoint).items()}
    # With 8 bits the features of the narrow layers changed depths by a fifth of their spread.
    out = options.out or ASSETS / PHOTO_WEIGHTS
    ship_weights(state, out, SceneNetwork.from_state, model="nano-depth", half=("backbone.",))


if __name__ == "__main__":
    main()
