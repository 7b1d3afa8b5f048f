"""Train nano-geo: `python -m training.train_geo OUT --minutes 90`. Stops and goes on at any checkpoint."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from img2world.depth.network import GROWING, HEAD, NanoGeo
from training.geo_loss import geo_loss
from training.held_out import held_out_views, predict, stance_table, table
from training.stream import Stream
from training.trainer import Plan, Training, plan_as_typed, run_training, studio_of

STEPS_PER_MINUTE = 90
"""Of one core with AMX at 16 pictures a step; only turns a budget into a number of steps."""

CURVES = ("loss", "scene_absrel", "scene_delta1", "object_front_mae", "object_hidden_mae", "object_iou")


@dataclass(frozen=True, kw_only=True)
class GeoPlan(Plan):
    """What a training of nano-geo is by default."""

    seed: int = 1
    batch: int = 16
    rate: float = 1e-3
    matrix_rate: float = 3e-3
    warmup: int = 200
    window: int = 160
    largest_gradient: float = 2.0
    depth: int = 2
    """Attentions in the middle of the network."""


class GeoTraining(Training[NanoGeo]):
    """nano-geo in training."""

    def __init__(self, plan: GeoPlan) -> None:
        super().__init__(plan, partial(NanoGeo, depth=plan.depth), grown=(GROWING, HEAD))
        self.stream = Stream(studio_of(plan), self.worker, batch=plan.batch, window=plan.window, reuse=plan.reuse)

    def loss(self) -> Tensor:
        """The loss of the present step's batch, differentiable."""
        batch = self.stream.at(self.step)
        with torch.autocast("cpu", torch.bfloat16):
            maps, stance = self.network(batch.inputs.contiguous(memory_format=torch.channels_last))
        return geo_loss(maps, stance, batch)


def train(plan: GeoPlan, out: Path, *, report_every: int = 250, held_out: int = 160, stop_at: int = 0) -> GeoTraining:
    """Train as `run_training` does; `held_out` made pictures tell how good the network is."""
    training = GeoTraining(plan)

    def measure(network: NanoGeo) -> dict[str, float]:
        views = [view for view in held_out_views(held_out) if 0 < plan.objects < 1 or view.is_object == plan.objects]
        stances = stance_table(network, views) if any(view.is_object for view in views) else {}
        return table(predict(network, views), views) | stances

    run_training(
        training,
        out,
        measure,
        report_every=report_every,
        stop_at=stop_at,
        curves=CURVES,
    )
    return training


if __name__ == "__main__":
    train(*plan_as_typed(GeoPlan, __doc__, steps_per_minute=STEPS_PER_MINUTE))
