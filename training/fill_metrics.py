"""How near filled anchor frames come to the truth, on sequences that nothing was trained on."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32

from img2world.layered.ddim import denoised
from img2world.layered.diffusion_fill import STEPS
from img2world.layered.fill_network import NanoFill
from training.fill_stream import Example, fill_batch, made_example
from training.held_out import SEED
from training.sequences import Filming
from training.views import Studio


@lru_cache(maxsize=1)
def held_out_examples(count: int, *, seed: int = SEED, textures: int = 160) -> tuple[Example, ...]:
    """`count` sequences of other seeds and textures than any training's."""
    filming = Filming(Studio(seed, textures=textures))
    examples: list[Example] = []
    number = 0
    while len(examples) < count:
        if (each := made_example(filming, number)) is not None:
            examples.append(each)
        number += 1
    return tuple(examples)


def filled(network: NanoFill, example: Example, *, steps: int = STEPS) -> Float32[np.ndarray, "K 3 H W"]:
    """The network's frames of one sequence, -1 to 1."""
    batch = fill_batch([example])

    def predict(sample: torch.Tensor, level: int) -> torch.Tensor:
        return network(sample, torch.tensor([level]), batch.maps, batch.cameras).float()

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return denoised(predict, batch.noise, steps)[0].numpy()


def composited(example: Example, drawn: Float32[np.ndarray, "K 3 H W"]) -> Float32[np.ndarray, "K 3 H W"]:
    """Drawn frames where nothing was seen, what was seen elsewhere."""
    warp = example.maps[-len(drawn) :]
    seen = warp[:, 3:4]
    return seen * warp[:, :3] + (1 - seen) * drawn


def errors(example: Example, drawn: Float32[np.ndarray, "K 3 H W"]) -> dict[str, float]:
    """Mean squared errors, of values from 0 to 1: where nothing was seen, and over all that the truth shows."""
    wrong = ((composited(example, drawn) - example.truth) / 2) ** 2
    shown = (example.alpha > 0.5)[:, None]
    unseen = shown & (example.maps[-len(drawn) :, 3:4] < 0.5)
    return {
        "unseen": float((wrong * unseen).sum() / max(3 * unseen.sum(), 1)),
        "all": float((wrong * shown).sum() / max(3 * shown.sum(), 1)),
        "share": float(unseen.sum() / max(shown.sum(), 1)),
    }


def fill_table(network: NanoFill, examples: Sequence[Example], *, steps: int = STEPS) -> dict[str, float]:
    """Mean PSNR in dB of objects and scenes, with the network, and with what was there before (`_before`)."""
    rows: dict[str, list[float]] = {}
    for each in examples:
        kind = "object" if each.is_object else "scene"
        before = errors(each, each.maps[-len(each.truth) :, :3])
        if before["share"] < 0.005:
            continue
        after = errors(each, filled(network, each, steps=steps))
        for region in ("unseen", "all"):
            rows.setdefault(f"{kind}_{region}_before", []).append(decibels(before[region]))
            rows.setdefault(f"{kind}_{region}", []).append(decibels(after[region]))
            rows.setdefault(f"{kind}_{region}_gain", []).append(decibels(after[region]) - decibels(before[region]))
    return {name: round(float(np.mean(values)), 3) for name, values in sorted(rows.items())}


def decibels(error: float) -> float:
    """PSNR of a mean squared error."""
    return float(-10 * np.log10(max(error, 1e-6)))
