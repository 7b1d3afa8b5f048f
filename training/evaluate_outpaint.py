"""Measure nano-outpaint as it is shipped: `python -m training.evaluate_outpaint [--count N] [--paths N]`.

PSNR beside procedural images and behind objects that were removed from them, of the network's raw output; and, as in
use, of frames along paths through procedural scenes where the photo shows nothing, against the nearest seen colour.
"""

import argparse
import json
from collections.abc import Sequence

import numpy as np
import torch

from img2world.depth.predict import network
from img2world.layered.diffusion_fill import NUM_ANCHORS
from img2world.layered.outpaint import WEIGHTS
from img2world.layered.warp import Warper
from training.fill_path_metrics import MIN_PIXELS, fill_nearest, held_out_paths, squared_errors
from training.held_out import psnr_from_error
from training.layered_frames import build_layers
from training.outpainting import held_out_partial_views, outpaint_metrics
from training.sequences import FrameSequence


def outpaint_path_metrics(paths: Sequence[FrameSequence], *, predicted: bool) -> dict[str, float]:
    """Return the mean PSNR in dB of unseen pixels in frames of scenes: nearest colour, drawn by `nano`, and the gain.

    Layers are `predicted`, as in use, or true, which measures the outpainting alone.
    """
    rows = []
    for sequence in paths:
        warper = Warper(build_layers(sequence.frames[0], None, is_object=sequence.is_object, predicted=predicted))
        unseen = np.zeros((2, 2))
        for frame in sequence.frames[1 + NUM_ANCHORS :]:
            drawn = warper.draw(frame.camera)
            unseen += [squared_errors(warp, frame)[0] for warp in (fill_nearest(drawn), drawn)]
        if unseen[0, 1] >= MIN_PIXELS:
            rows.append([psnr_from_error(error / pixels) for error, pixels in unseen])
    nearest, drawn = np.mean(rows, 0)
    values = {"nearest": nearest, "drawn": drawn, "gain": drawn - nearest}
    return {"paths": len(rows)} | {name: round(float(value), 3) for name, value in values.items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="number of procedural images")
    parser.add_argument("--paths", type=int, default=48, help="number of paths through procedural scenes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    metrics = outpaint_metrics(network(WEIGHTS), held_out_partial_views(options.count))
    print(json.dumps({"examples": "procedural images", **metrics}), flush=True)
    paths = held_out_paths(options.paths, object_fraction=0)
    for predicted, layers in ((False, "true"), (True, "predicted")):
        metrics = outpaint_path_metrics(paths, predicted=predicted)
        print(json.dumps({"examples": f"paths, {layers} layers", **metrics}), flush=True)


if __name__ == "__main__":
    main()
