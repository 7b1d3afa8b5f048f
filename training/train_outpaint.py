"""Train nano-outpaint: `python -m training.train_outpaint OUT --minutes 60`. Stops and goes on at any checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from img2world.depth.network import NanoGeo
from training.outpainting import WideStudio, held_out_parts, outpaint_loss, outpaint_table
from training.stream import Stream
from training.trainer import Plan, Training, plan_as_typed, run_training

STEPS_PER_MINUTE = 60
"""Of one core with AMX at 32 pictures a step; only turns a budget into a number of steps."""


@dataclass(frozen=True, kw_only=True)
class OutpaintPlan(Plan):
    """What a training of nano-outpaint is by default."""

    seed: int = 3
    batch: int = 32
    rate: float = 1e-3
    matrix_rate: float = 3e-3
    warmup: int = 100
    window: int = 160
    largest_gradient: float = 2.0
    objects: float = 0.0
    channels: tuple[int, int, int] = (48, 96, 128)


class OutpaintTraining(Training[NanoGeo]):
    """nano-outpaint in training."""

    def __init__(self, plan: OutpaintPlan) -> None:
        super().__init__(plan, NanoGeo)
        studio = WideStudio(plan.seed, textures=plan.textures, objects=0)
        self.stream = Stream(studio, self.worker, batch=plan.batch, window=plan.window, reuse=plan.reuse)

    def loss(self) -> Tensor:
        """The loss of the present step's batch, differentiable."""
        batch = self.stream.at(self.step)
        with torch.autocast("cpu", torch.bfloat16):
            maps, _ = self.network(batch.inputs.contiguous(memory_format=torch.channels_last))
        return outpaint_loss(maps, batch)


def train_outpaint(
    plan: OutpaintPlan, out: Path, *, report_every: int = 250, held_out: int = 200, stop_at: int = 0
) -> OutpaintTraining:
    """Train as `run_training` does; `held_out` made pictures tell how good the network is."""
    training, views = OutpaintTraining(plan), held_out_parts(held_out)
    run_training(
        training,
        out,
        lambda network: outpaint_table(network, views),
        report_every=report_every,
        stop_at=stop_at,
        curves=("loss", "beside", "behind"),
    )
    return training


if __name__ == "__main__":
    train_outpaint(*plan_as_typed(OutpaintPlan, __doc__, steps_per_minute=STEPS_PER_MINUTE))
