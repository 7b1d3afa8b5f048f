"""Train the depth head on features of U²-Net-p: `python -m training.train_scene OUT --backbone u2netp.onnx`.

The same command resumes. `python -m training.ship_scene` writes head and features where the program finds them.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from img2world.depth.scene_network import DepthHead
from img2world.depth.u2net import U2Net
from training.geo_loss import MAX_LOG_DEPTH
from training.geo_metrics import scene_errors
from training.held_out import SEED, collect, mean_values
from training.published_weights import load_u2netp
from training.scene_batches import SceneBatch, SceneExample, collate, scene_examples, scene_stream
from training.trainer import Training, TrainingConfig, make_view_generator, parse_config, run_training
from training.views import ViewGenerator

STEPS_PER_MINUTE = 60
"""Speed of one core at 16 images per step; only converts minutes to steps."""

STRIDES = (1, 2, 4, 8)
"""Distances, in pixels, of the neighbours whose differences of depth are compared."""

SKY_WEIGHT = 0.3


@dataclass(frozen=True, kw_only=True)
class SceneConfig(TrainingConfig):
    """Configuration of the depth head."""

    seed: int = 11
    batch: int = 16
    matrix_rate: float = 2e-3
    object_fraction: float = 0.0


class SceneTraining(Training[DepthHead]):
    """Training of the depth head; the backbone stays as it was published, since it has learned from photos."""

    curves = ("loss", "absrel", "delta1")

    def __init__(self, config: SceneConfig, backbone: U2Net, *, held_out: int = 60) -> None:
        """`held_out` is the number of views to measure on."""
        super().__init__(config, lambda _: DepthHead())
        self.backbone, self.held_out = backbone, held_out
        generator = make_view_generator(config)
        self.stream = scene_stream(
            backbone, generator, self.worker, batch=config.batch, window=config.window, reuse=config.reuse
        )

    def loss(self) -> Tensor:
        """Return the differentiable loss of the current step's batch."""
        batch = self.stream.at(self.step)
        torch.manual_seed(self.step)  # Of the dropout, so that a resumed training has the same.
        with torch.autocast("cpu", torch.bfloat16):
            maps = self.network.train()(batch.features)
        return scene_loss(maps.float(), batch)

    def measure(self, network: DepthHead) -> dict[str, float]:
        """Return the mean errors on held-out scenes."""
        rows: dict[str, list[float]] = {}
        for example in held_out_scenes(self.backbone, self.held_out):
            with torch.no_grad():
                log_depth = network(collate([example]).features)[0, 0].numpy()
            truth = example.log_depth.clamp(max=MAX_LOG_DEPTH).numpy()
            for name, value in scene_errors(log_depth, truth, example.known.numpy()).items():
                rows.setdefault(name, []).append(value)
        return mean_values(rows, 4)


@lru_cache(maxsize=1)
def held_out_scenes(backbone: U2Net, count: int, *, side: int = 160) -> Sequence[SceneExample]:
    """Return `count` square views, each of another scene."""
    generator = ViewGenerator(SEED, textures=160, object_fraction=0.0)
    views = collect(lambda n: next(iter(generator.views(n, count=1, width=side, height=side)), None), count)
    return [example for view in views for example in scene_examples(backbone, [view])]


def scene_loss(maps: Tensor, batch: SceneBatch) -> Tensor:
    """Return the loss of log depth without its mean error, of its differences between neighbours, and of the sky.

    Errors are relative to the spread of depths, see `geo_loss`.
    """
    weight = batch.known.float()
    truth = torch.where(batch.known, batch.log_depth.clamp(max=MAX_LOG_DEPTH), 0)
    total = weight.sum((1, 2)).clamp(min=1)

    def centered(values: Tensor) -> Tensor:
        return (values - ((values * weight).sum((1, 2)) / total)[:, None, None]) * weight

    spread = (centered(truth).square().sum((1, 2)) / total).sqrt() + 0.2
    error = centered(maps[:, 0] - truth) / (2 * spread)[:, None, None]
    loss = 2 * (error.abs().sum((1, 2)) / total).mean()
    for stride in STRIDES:
        e, w = error[:, ::stride, ::stride], weight[:, ::stride, ::stride]
        down, right = w[:, 1:] * w[:, :-1], w[:, :, 1:] * w[:, :, :-1]
        loss = loss + ((e[:, 1:] - e[:, :-1]).abs() * down).sum() / down.sum().clamp(min=1)
        loss = loss + ((e[:, :, 1:] - e[:, :, :-1]).abs() * right).sum() / right.sum().clamp(min=1)
    return loss + SKY_WEIGHT * functional.binary_cross_entropy_with_logits(maps[:, 1], 1 - weight)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--backbone", type=Path, required=True)
    options, sys.argv[1:] = parser.parse_known_args()
    config, out = parse_config(SceneConfig, __doc__, steps_per_minute=STEPS_PER_MINUTE)
    run_training(SceneTraining(config, load_u2netp(options.backbone)), out)


if __name__ == "__main__":
    main()
