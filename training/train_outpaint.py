"""Train nano-outpaint: `python -m training.train_outpaint OUT --minutes 60`. The same command resumes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from img2world.depth.network import GeometryNetwork
from training.geo_batches import view_stream
from training.outpainting import OutpaintViewGenerator, held_out_partial_views, outpaint_loss, outpaint_metrics
from training.trainer import Training, TrainingConfig, parse_config, run_training

STEPS_PER_MINUTE = 60
"""Speed of one core with AMX at 32 images per step; only converts minutes to steps."""


@dataclass(frozen=True, kw_only=True)
class OutpaintConfig(TrainingConfig):
    """Configuration of nano-outpaint."""

    seed: int = 3
    batch: int = 32
    object_fraction: float = 0.0
    channels: tuple[int, int, int] = (48, 96, 128)


class OutpaintTraining(Training[GeometryNetwork]):
    """Training of nano-outpaint."""

    curves = ("loss", "beside", "behind")

    def __init__(self, config: OutpaintConfig, *, held_out: int = 200) -> None:
        """`held_out` is the number of views to measure on."""
        super().__init__(config, GeometryNetwork)
        self.held_out = held_out
        self.stream = view_stream(
            OutpaintViewGenerator(config.seed, textures=config.textures, object_fraction=0),
            self.worker, batch=config.batch, window=config.window, reuse=config.reuse,
        )  # fmt: skip

    def loss(self) -> Tensor:
        """Return the differentiable loss of the current step's batch."""
        batch = self.stream.at(self.step)
        with torch.autocast("cpu", torch.bfloat16):
            maps, _ = self.network(batch.inputs.contiguous(memory_format=torch.channels_last))
        return outpaint_loss(maps, batch)

    def measure(self, network: GeometryNetwork) -> dict[str, float]:
        """Return metrics on held-out views."""
        return outpaint_metrics(network, held_out_partial_views(self.held_out))


if __name__ == "__main__":
    config, out = parse_config(OutpaintConfig, __doc__, steps_per_minute=STEPS_PER_MINUTE)
    run_training(OutpaintTraining(config), out)
