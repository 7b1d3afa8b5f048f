"""Train nano-geo: `python -m training.train_geo OUT --minutes 90`. The same command resumes."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from img2world.depth.network import MIDDLE_PREFIX, STANCE_PREFIX, GeometryNetwork
from training.geo_batches import view_stream
from training.geo_loss import geo_loss
from training.geo_metrics import geo_metrics, held_out_views, predict_maps, stance_metrics
from training.trainer import Training, TrainingConfig, make_view_generator, parse_config, run_training

STEPS_PER_MINUTE = 90
"""Speed of one core with AMX at 16 images per step; only converts minutes to steps."""


@dataclass(frozen=True, kw_only=True)
class GeoConfig(TrainingConfig):
    """Configuration of nano-geo."""

    seed: int = 1
    batch: int = 16
    warmup: int = 200
    depth: int = 2
    """Attention blocks in the middle of the network."""


class GeoTraining(Training[GeometryNetwork]):
    """Training of nano-geo."""

    curves = ("loss", "scene_absrel", "scene_delta1", "object_front_mae", "object_hidden_mae", "object_iou")

    def __init__(self, config: GeoConfig, *, held_out: int = 160) -> None:
        """`held_out` is the number of views to measure on."""
        super().__init__(config, partial(GeometryNetwork, depth=config.depth), optional=(MIDDLE_PREFIX, STANCE_PREFIX))
        self.held_out = held_out
        self.stream = view_stream(
            make_view_generator(config), self.worker, batch=config.batch, window=config.window, reuse=config.reuse
        )

    def loss(self) -> Tensor:
        """Return the differentiable loss of the current step's batch."""
        batch = self.stream.at(self.step)
        with torch.autocast("cpu", torch.bfloat16):
            maps, stance = self.network(batch.inputs.contiguous(memory_format=torch.channels_last))
        return geo_loss(maps, stance, batch)

    def measure(self, network: GeometryNetwork) -> dict[str, float]:
        """Return metrics on held-out views, of objects or scenes only if only they are trained."""
        views = held_out_views(self.held_out)
        if self.config.object_fraction in (0, 1):
            views = [view for view in views if view.is_object == self.config.object_fraction]
        stances = stance_metrics(network, views) if any(view.is_object for view in views) else {}
        return geo_metrics(predict_maps(network, views), views) | stances


if __name__ == "__main__":
    config, out = parse_config(GeoConfig, __doc__, steps_per_minute=STEPS_PER_MINUTE)
    run_training(GeoTraining(config), out)
