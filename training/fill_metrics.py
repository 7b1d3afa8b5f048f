"""Accuracy of the anchor frames of nano-fill on held-out sequences."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32

from img2world.layered.ddim import denoise
from img2world.layered.diffusion_fill import NUM_STEPS
from img2world.layered.fill_network import NanoFill
from training.fill_batches import FillExample, example_at, make_fill_batch
from training.held_out import SEED, collect, mean_values, psnr_from_error
from training.sequences import SequenceGenerator
from training.views import ViewGenerator

MIN_UNSEEN = 0.005
"""Examples with a smaller unseen fraction of the surface are left out of the means."""


@lru_cache(maxsize=1)
def held_out_examples(count: int, *, seed: int = SEED, textures: int = 160) -> tuple[FillExample, ...]:
    """Return `count` examples with other seeds and textures than any training's."""
    generator = SequenceGenerator(ViewGenerator(seed, textures=textures))
    return collect(lambda number: example_at(generator, number), count)


def generate_frames(
    network: NanoFill, example: FillExample, *, steps: int = NUM_STEPS
) -> Float32[np.ndarray, "K 3 H W"]:
    """Return the frames that the network generates, -1 to 1."""
    batch = make_fill_batch([example])

    def predict(sample: torch.Tensor, level: int) -> torch.Tensor:
        return network(sample, torch.tensor([level]), batch.maps, batch.cameras).float()

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return denoise(predict, batch.noise, steps)[0].numpy()


def composite(example: FillExample, generated: Float32[np.ndarray, "K 3 H W"]) -> Float32[np.ndarray, "K 3 H W"]:
    """Return the warped frames with generated colours where the photo shows nothing."""
    warp = example.maps[-len(generated) :]
    seen = warp[:, 3:4]
    return seen * warp[:, :3] + (1 - seen) * generated


def fill_errors(example: FillExample, generated: Float32[np.ndarray, "K 3 H W"]) -> dict[str, float]:
    """Return mean squared errors (values 0 to 1) of unseen and of all pixels, and the unseen fraction."""
    error = ((composite(example, generated) - example.truth) / 2) ** 2
    shown = (example.alpha > 0.5)[:, None]
    unseen = shown & (example.maps[-len(generated) :, 3:4] < 0.5)
    return {
        "unseen": float((error * unseen).sum() / max(3 * unseen.sum(), 1)),
        "all": float((error * shown).sum() / max(3 * shown.sum(), 1)),
        "fraction": float(unseen.sum() / max(shown.sum(), 1)),
    }


def fill_metrics(network: NanoFill, examples: Sequence[FillExample], *, steps: int = NUM_STEPS) -> dict[str, float]:
    """Return the mean PSNR in dB of objects and scenes with the network and without it (`_before`)."""
    rows: dict[str, list[float]] = {}
    for example in examples:
        kind = "object" if example.is_object else "scene"
        before = fill_errors(example, example.maps[example.num_given :, :3])
        if before["fraction"] < MIN_UNSEEN:
            continue
        after = fill_errors(example, generate_frames(network, example, steps=steps))
        for region in ("unseen", "all"):
            psnr_before, psnr = psnr_from_error(before[region]), psnr_from_error(after[region])
            rows.setdefault(f"{kind}_{region}_before", []).append(psnr_before)
            rows.setdefault(f"{kind}_{region}", []).append(psnr)
            rows.setdefault(f"{kind}_{region}_gain", []).append(psnr - psnr_before)
    return mean_values(rows, 3)
