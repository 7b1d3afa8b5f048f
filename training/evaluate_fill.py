"""Measure nano-fill: `python -m training.evaluate_fill CHECKPOINT|WEIGHTS [--count N] [--sheet PNG]`.

PSNR of held-out anchor frames, of unseen and of all pixels, with the network and without it: then objects have plain
backs, scenes continue in the colours beside them, and what is empty has the nearest known colour.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from img2world.layered.fill_network import NanoFill
from training.fill_batches import FillExample
from training.fill_metrics import composite, fill_metrics, generate_frames, held_out_examples
from training.fill_path_metrics import fill_path_metrics, held_out_paths
from training.weights import load_weights

SAMPLER_STEPS = (1, 2, 4)
"""Numbers of steps to measure. One step gives the mean of plausible images; more give a sample, whose PSNR is lower."""

SHEET_ROWS = 10


def grouped_metrics(network: NanoFill, examples: Sequence[FillExample]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the metrics of all examples by sampler steps, then of those by number of given frames, then by kind."""
    for steps in SAMPLER_STEPS:
        yield f"all, {steps} steps", fill_metrics(network, examples, steps=steps)
    for count in sorted({example.num_given for example in examples}):
        yield f"{count} given", fill_metrics(network, [each for each in examples if each.num_given == count])
    for kind in sorted({example.kind for example in examples}):
        yield kind, fill_metrics(network, [each for each in examples if each.kind == kind])


def write_fill_sheet(network: NanoFill, examples: Sequence[FillExample], path: Path) -> None:
    """Write a contact sheet with a row per sequence: the photo, then truth, input, output and composite of 3 frames."""
    rows = []
    for example in examples[:SHEET_ROWS]:
        generated = generate_frames(network, example)
        composited = composite(example, generated)
        tiles = [example.maps[0, :3]]
        for i, alpha in enumerate(example.alpha[:3]):
            warp = example.maps[example.num_given + i]
            shown = (warp[6] >= 0.5) | (not example.is_object)
            tiles.append(np.where(alpha > 0.5, example.truth[i], 1))
            tiles += [np.where(shown, image, 1) for image in (warp[:3], generated[i], composited[i])]
        eight_bit = [((tile.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255).astype(np.uint8) for tile in tiles]
        rows.append(np.concatenate([cv2.resize(tile[..., ::-1], (96, 96)) for tile in eight_bit], 1))
    cv2.imwrite(str(path), np.concatenate(rows))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--count", type=int, default=100, help="number of sequences")
    parser.add_argument("--paths", type=int, default=40, help="number of paths with frames between the generated ones")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this PNG file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network, examples = load_weights(NanoFill(), options.weights), held_out_examples(options.count)
    if options.sheet:
        write_fill_sheet(network, examples, options.sheet)
    for name, metrics in grouped_metrics(network, examples):
        print(json.dumps({"examples": name, **metrics}), flush=True)
    paths = held_out_paths(options.paths)
    for steps in SAMPLER_STEPS:
        metrics = fill_path_metrics(network, paths, steps=steps)
        print(json.dumps({"examples": f"frames between, {steps} steps", **metrics}), flush=True)
    metrics = fill_path_metrics(network, paths, predicted=False)
    print(json.dumps({"examples": "frames between, true layers", **metrics}), flush=True)


if __name__ == "__main__":
    main()
