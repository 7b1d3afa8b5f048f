"""Measure nano-fill: `python -m training.evaluate_fill CHECKPOINT|WEIGHTS [--count N] [--sheet PNG]`.

PSNR of held-out anchor frames where the photo shows nothing, and over all, with the network and before it: continued
colours and plain backs, and the nearest known colour where there is no surface at all.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from img2world.layered.fill_network import NanoFill
from training.fill_path_metrics import held_out_paths, in_use_table
from training.fill_metrics import composited, fill_table, filled, held_out_examples
from training.fill_stream import Example
from training.weights import with_weights

TRIED = (1, 2, 4)
"""Steps of the sampler. One gives the mean of what may be there, more a sample of it, which by PSNR is farther off."""

SHOWN = 10
"""Sequences on the sheet of pictures."""


def tables(network: NanoFill, examples: Sequence[Example]) -> Iterator[tuple[str, dict[str, float]]]:
    """All examples in few and fewer steps, those with one and with several given frames, and each kind."""
    for steps in TRIED:
        yield f"all, {steps} steps", fill_table(network, examples, steps=steps)
    for count in sorted({given(each) for each in examples}):
        yield f"{count} given", fill_table(network, [each for each in examples if given(each) == count])
    for kind in sorted({each.kind for each in examples}):
        yield kind, fill_table(network, [each for each in examples if each.kind == kind])


def given(example: Example) -> int:
    """Number of clean frames."""
    return len(example.maps) - len(example.truth)


def write_fill_sheet(network: NanoFill, examples: Sequence[Example], path: Path) -> None:
    """A row for each sequence: the photo; then for three frames truth, before, drawn, and what is used of it."""
    rows = []
    for each in examples[:SHOWN]:
        drawn = filled(network, each)
        used = composited(each, drawn)
        tiles = [each.maps[0, :3]]
        for i, alpha in enumerate(each.alpha[:3]):
            warp = each.maps[given(each) + i]
            cover = (warp[6] >= 0.5) | (not each.is_object)
            tiles.append(np.where(alpha > 0.5, each.truth[i], 1))
            tiles += [np.where(cover, picture, 1) for picture in (warp[:3], drawn[i], used[i])]
        eight_bit = [((tile.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255).astype(np.uint8) for tile in tiles]
        rows.append(np.concatenate([cv2.resize(tile[..., ::-1], (96, 96)) for tile in eight_bit], 1))
    cv2.imwrite(str(path), np.concatenate(rows))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--paths", type=int, default=40)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network, examples = with_weights(NanoFill(), options.weights), held_out_examples(options.count)
    if options.sheet:
        write_fill_sheet(network, examples, options.sheet)
    for name, row in tables(network, examples):
        print(json.dumps({"examples": name, **row}), flush=True)
    paths = held_out_paths(options.paths)
    for steps in TRIED:
        row = in_use_table(network, paths, steps=steps)
        print(json.dumps({"examples": f"frames between, as in use, {steps} steps", **row}), flush=True)
    row = in_use_table(network, paths, guessed=False)
    print(json.dumps({"examples": "frames between, true layers", **row}), flush=True)


if __name__ == "__main__":
    main()
