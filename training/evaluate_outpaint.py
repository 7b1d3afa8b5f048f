"""Measure nano-outpaint as it is shipped: `python -m training.evaluate_outpaint [--count N] [--paths N]`.

PSNR beside made pictures and behind the things in them, of all that the network says; and in use, of frames along paths
before made places where the photo shows nothing, beside the nearest colour that a frame shows.
"""

import argparse
import json
from collections.abc import Sequence as Many

import numpy as np
import torch

from img2world.depth.predict import network
from img2world.layered.outpaint import WEIGHTS
from img2world.layered.warp import Warper
from training.layered_frames import cache_of
from training.fill_path_metrics import ANCHORS, BETWEEN, SIDE, held_out_paths, sums, with_nearest
from training.fill_metrics import decibels
from training.outpainting import held_out_parts, outpaint_table
from training.sequences import Sequence


def holes_table(paths: Many[Sequence], *, guessed: bool) -> dict[str, float]:
    """Mean PSNR in dB of frames before scenes where the photo shows nothing: nearest colour, as it is, and the gain.

    Layers are `guessed`, as in use, or true, so that what they show where the photo does not is measured alone.
    """
    rows = []
    for sequence in paths:
        warper = Warper(cache_of(sequence.frames[0], None, is_object=sequence.is_object, guessed=guessed))
        unseen = np.zeros((2, 2))
        for frame in sequence.frames[1 + ANCHORS :]:
            drawn, truth = warper.draw(frame.camera), frame.rgb.astype(np.float32) / 255
            unseen += [sums(each, truth, frame)[0] for each in (with_nearest(drawn), drawn)]
        if unseen[0, 1] >= 0.003 * BETWEEN * SIDE * SIDE:
            rows.append([decibels(error / pixels) for error, pixels in unseen])
    nearest, drawn = np.mean(rows, 0)
    values = {"nearest": nearest, "drawn": drawn, "gain": drawn - nearest}
    return {"paths": len(rows)} | {name: round(float(value), 3) for name, value in values.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="made pictures")
    parser.add_argument("--paths", type=int, default=48, help="paths before made places")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = outpaint_table(network(WEIGHTS), held_out_parts(options.count))
    print(json.dumps({"examples": "made pictures", **table}), flush=True)
    paths = held_out_paths(options.paths, objects=0)
    for guessed, layers in ((False, "true"), (True, "guessed")):
        print(json.dumps({"examples": f"paths, {layers} layers", **holes_table(paths, guessed=guessed)}), flush=True)


if __name__ == "__main__":
    main()
