"""Train nano-fill: `python -m training.train_fill OUT --minutes 90`. Stops and goes on at any checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2world.layered.ddim import levels, noised
from img2world.layered.fill_network import STEPS, NanoFill
from training.fill_metrics import fill_table, held_out_examples
from training.fill_stream import FillBatch, FillStream
from training.sequences import OBJECT_SHARE_OF_SEQUENCES, Filming
from training.trainer import Plan, Training, plan_as_typed, run_training, studio_of

STEPS_PER_MINUTE = 50
"""Of one core with AMX at 4 sequences a step; only turns a budget into a number of steps."""

SAMPLED = 4
"""Steps of the sampler that the levels are mostly learned for; those of one and of two are among them."""

CURVES = ("loss", "object_unseen_gain", "scene_unseen_gain", "object_unseen", "scene_unseen", "object_all_gain")


@dataclass(frozen=True, kw_only=True)
class FillPlan(Plan):
    """What a training of nano-fill is by default."""

    seed: int = 2
    batch: int = 4
    rate: float = 8e-4
    matrix_rate: float = 3e-3
    warmup: int = 100
    window: int = 96
    objects: float = OBJECT_SHARE_OF_SEQUENCES
    largest_gradient: float = 1.0


class FillTraining(Training[NanoFill]):
    """nano-fill in training."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, NanoFill)
        filming = Filming(studio_of(plan), objects=plan.objects)
        self.stream = FillStream(filming, self.worker, batch=plan.batch, window=plan.window, reuse=plan.reuse)

    def loss(self) -> Tensor:
        """The loss of the present step's batch, differentiable."""
        batch = self.stream.at(self.step)
        rng = np.random.default_rng((self.plan.seed, 5, self.worker.own(self.step)))
        level = noise_levels(len(batch.truth), rng)
        sample = noised(batch.truth, batch.noise, level)
        with torch.autocast("cpu", torch.bfloat16):
            drawn = self.network(sample, level, batch.maps, batch.cameras)
        return fill_loss(drawn, batch)


def noise_levels(count: int, rng: np.random.Generator) -> Tensor:
    """Levels to learn: mostly those sampled in use, and most of all nothing but noise, where all is decided."""
    at_use = rng.choice(levels(SAMPLED), size=count)
    drawn = np.where(rng.random(count) < 0.3, rng.integers(STEPS, size=count), at_use)
    return torch.from_numpy(np.where(rng.random(count) < 0.6, STEPS - 1, drawn))


def fill_loss(drawn: Tensor, batch: FillBatch) -> Tensor:
    """Mean squared error and a little of the absolute one, weighted; 1 if every pixel is wrong by a whole range."""
    wrong = (drawn.float() - batch.truth) / 2
    each = (4 * wrong.square() + 0.2 * wrong.abs()).mean(2)  # [B, K, H, W]
    # Sequences with little to draw count less, but not in proportion.
    total = batch.weight.sum((1, 2, 3))
    pixels = batch.weight[0].numel()
    return ((each * batch.weight).sum((1, 2, 3)) / (total + 0.1 * pixels)).mean()


def train_fill(plan: Plan, out: Path, *, report_every: int = 250, held_out: int = 48, stop_at: int = 0) -> FillTraining:
    """Train as `run_training` does; `held_out` made sequences tell how good the network is."""
    training = FillTraining(plan)
    run_training(
        training,
        out,
        lambda network: fill_table(network, held_out_examples(held_out)),
        report_every=report_every,
        stop_at=stop_at,
        curves=CURVES,
    )
    return training


if __name__ == "__main__":
    train_fill(*plan_as_typed(FillPlan, __doc__, steps_per_minute=STEPS_PER_MINUTE))
