"""Train nano-fill: `python -m training.train_fill OUT --minutes 90`. The same command resumes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from img2world.layered.ddim import add_noise, timesteps
from img2world.layered.fill_network import NUM_TIMESTEPS, NanoFill
from training.fill_batches import FillBatch, fill_stream
from training.fill_metrics import fill_metrics, held_out_examples
from training.sequences import OBJECT_SEQUENCE_FRACTION, SequenceGenerator
from training.trainer import Training, TrainingConfig, make_view_generator, parse_config, run_training

STEPS_PER_MINUTE = 50
"""Speed of one core with AMX at 4 sequences per step; only converts minutes to steps."""

SAMPLER_STEPS = 4
"""Sampler steps whose noise levels are trained most; those of one and of two steps are among them."""


@dataclass(frozen=True, kw_only=True)
class FillConfig(TrainingConfig):
    """Configuration of nano-fill."""

    seed: int = 2
    batch: int = 4
    rate: float = 8e-4
    window: int = 96
    max_gradient_norm: float = 1.0
    object_fraction: float = OBJECT_SEQUENCE_FRACTION


class FillTraining(Training[NanoFill]):
    """Training of nano-fill."""

    curves = ("loss", "object_unseen_gain", "scene_unseen_gain", "object_unseen", "scene_unseen", "object_all_gain")

    def __init__(self, config: FillConfig, *, held_out: int = 48) -> None:
        """`held_out` is the number of sequences to measure on."""
        super().__init__(config, NanoFill)
        self.held_out = held_out
        generator = SequenceGenerator(make_view_generator(config), object_fraction=config.object_fraction)
        self.stream = fill_stream(generator, self.worker, batch=config.batch, window=config.window, reuse=config.reuse)

    def loss(self) -> Tensor:
        """Return the differentiable loss of the current step's batch."""
        batch = self.stream.at(self.step)
        rng = np.random.default_rng((self.config.seed, 5, self.worker.own_index(self.step)))
        level = noise_levels(len(batch.truth), rng)
        sample = add_noise(batch.truth, batch.noise, level)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = self.network(sample, level, batch.maps, batch.cameras)
        return fill_loss(predicted, batch)

    def measure(self, network: NanoFill) -> dict[str, float]:
        """Return metrics on held-out sequences."""
        return fill_metrics(network, held_out_examples(self.held_out))


def noise_levels(count: int, rng: np.random.Generator) -> Tensor:
    """Return noise levels to train: mostly those of the sampler, and most often pure noise, which decides most."""
    sampled = rng.choice(timesteps(SAMPLER_STEPS), size=count)
    mixed = np.where(rng.random(count) < 0.3, rng.integers(NUM_TIMESTEPS, size=count), sampled)
    return torch.from_numpy(np.where(rng.random(count) < 0.6, NUM_TIMESTEPS - 1, mixed))


def fill_loss(predicted: Tensor, batch: FillBatch) -> Tensor:
    """Return the weighted mean of the squared and a little of the absolute error; about 1 for errors of full range."""
    error = (predicted.float() - batch.truth) / 2
    pixel_loss = (4 * error.square() + 0.2 * error.abs()).mean(2)  # [B, K, H, W]
    # Sequences with few unseen pixels have less weight, but not in proportion.
    total = batch.weight.sum((1, 2, 3))
    pixels = batch.weight[0].numel()
    return ((pixel_loss * batch.weight).sum((1, 2, 3)) / (total + 0.1 * pixels)).mean()


if __name__ == "__main__":
    config, out = parse_config(FillConfig, __doc__, steps_per_minute=STEPS_PER_MINUTE)
    run_training(FillTraining(config), out)
