"""Training loop shared by all networks. Training can stop at any checkpoint and resumes with the same bits."""

import argparse
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from training.curves import draw_curves
from training.optimizer import MuonAdamW
from training.views import OBJECT_VIEW_FRACTION, ViewGenerator
from training.weights import load_weights
from training.workers import current_worker

Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config", bound="TrainingConfig")

MANIFEST_REPEATS = 4
"""An asset of the manifest, a quarter of which are scans of real objects, is drawn so often for each extra one."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that determines the result of a training."""

    steps: int
    seed: int
    batch: int
    rate: float = 1e-3
    """Learning rate of AdamW."""
    matrix_rate: float = 3e-3
    """Learning rate of Muon, for inner layers; see `MuonAdamW`."""
    warmup: int = 100
    window: int = 160
    """Groups of examples that batches are drawn from; see `Stream`."""
    max_gradient_norm: float = 2.0
    decay: float = 0.4
    """Fraction of the steps, at the end, in which the learning rates fall to zero."""
    reuse: float = 4.0
    """Average number of times that each example is drawn."""
    textures: int = 320
    object_fraction: float = OBJECT_VIEW_FRACTION
    """Fraction of examples that are cut-out objects; the others are scenes."""
    assets: str = ""
    """Manifest of assets, every third of which is held out."""
    extra_assets: str = ""
    """Folder of more assets, none of which are held out."""
    channels: tuple[int, int, int] = (64, 128, 192)
    peak: float = 1.0
    """Largest factor on the learning rates; below 1 for fine-tuning."""
    weights: str = ""
    """Weights or checkpoint to start from; empty starts from random weights."""

    def rate_factor(self, step: int) -> float:
        """Return the factor on the learning rates at a step."""
        left = (self.steps - step) / (self.decay * self.steps)
        return self.peak * min(1.0, (step + 1) / self.warmup, max(left, 0.01))


class Training(ABC, Generic[Network]):
    """A network in training, with its optimizer and the running mean of its weights."""

    curves: ClassVar[tuple[str, ...]]
    """Values of the log to plot: three or six."""

    def __init__(
        self,
        config: TrainingConfig,
        make: Callable[[tuple[int, int, int]], Network],
        *,
        optional: tuple[str, ...] = (),
    ) -> None:
        """`make` returns a network of the config's channels; `optional` prefixes layers that its weights may lack."""
        self.config, self.step, self._make = config, 0, make
        self.worker = current_worker()
        torch.manual_seed(config.seed)
        self.network = make(config.channels)
        if config.weights:
            load_weights(self.network, Path(config.weights), optional=optional).train()
        self.optimizer = MuonAdamW(self.network, rate=config.rate, matrix_rate=config.matrix_rate)
        self.mean: dict[str, Tensor] = {name: values.clone() for name, values in self.network.state_dict().items()}

    @abstractmethod
    def loss(self) -> Tensor:
        """Return the differentiable loss of the current step's batch."""

    @abstractmethod
    def measure(self, network: Network) -> dict[str, float]:
        """Return metrics of a network on held-out data."""

    def advance(self) -> float:
        """Take one step and return its loss."""
        loss = self.loss()
        loss.backward()
        self.worker.average_gradients(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_gradient_norm)
        self.optimizer.step(self.config.rate_factor(self.step))
        self.step += 1
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        for name, values in self.network.state_dict().items():
            self.mean[name].lerp_(values, 1 - keep)
        return float(loss.detach())

    def averaged(self) -> Network:
        """Return a network with the mean weights."""
        network = self._make(self.config.channels)
        network.load_state_dict(self.mean)
        return network.eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "mean": self.mean,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.step, self.mean = state["step"], state["mean"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def make_view_generator(config: TrainingConfig) -> ViewGenerator:
    """Return the generator of training views, with the assets that may be trained on."""
    from evaluation.assets import find_assets, split_manifest
    from training.imported_assets import load_assets

    listed, textures = load_assets(split_manifest(Path(config.assets))[0] if config.assets else [], config.textures)
    extra_paths = find_assets(Path(config.extra_assets)) if config.extra_assets else []
    extra, extra_textures = load_assets(extra_paths, config.textures + len(textures))
    return ViewGenerator(
        config.seed,
        textures=config.textures,
        object_fraction=config.object_fraction,
        assets=listed * (MANIFEST_REPEATS if extra else 1) + extra,
        asset_textures=textures + extra_textures,
    )


def run_training(training: Training[Any], out: Path, *, report_every: int = 250, stop_at: int = 0) -> None:
    """Train to the configured number of steps (or to step `stop_at`), from the checkpoint in `out` if there is one.

    Every `report_every` steps the first worker measures the network and writes checkpoint, log and curves to `out`.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, log = out / "checkpoint.pt", out / "log.jsonl"
    if checkpoint.exists():
        training.load(checkpoint)
    losses: list[float] = []
    started, cpu = time.monotonic(), time.process_time()
    end = stop_at or training.config.steps
    while training.step < end:
        losses.append(training.advance())
        if training.worker.rank == 0 and (training.step % report_every == 0 or training.step == end):
            row = {
                "step": training.step,
                "loss": round(sum(losses) / len(losses), 4),
                "wall_s": round(time.monotonic() - started),
                "cpu_s": round(time.process_time() - cpu),
                **training.measure(training.averaged()),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            training.save(checkpoint)
            draw_curves(log, out / "curves.png", training.curves)
            losses = []
            print(json.dumps(row), flush=True)


def parse_config(make: type[Config], description: str | None, *, steps_per_minute: int) -> tuple[Config, Path]:
    """Return the config and the output folder given on the command line; time is converted to steps."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("out", type=Path, help="folder of checkpoint, log and curves; training resumes from it")
    parser.add_argument("--minutes", type=float, default=90, help="approximate CPU minutes (%(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="number of steps; overrides --minutes")
    add_asset_arguments(parser)
    parser.add_argument("--batch", type=int, help="examples per worker and step")
    parser.add_argument("--seed", type=int, help="seed of weights and training data")
    parser.add_argument(
        "--object-fraction", type=float, help="fraction of cut-out objects, 0 to 1; the rest are scenes"
    )
    if hasattr(make, "depth"):
        parser.add_argument("--depth", type=int, help="attention blocks; those that WEIGHTS lacks start from scratch")
    parser.add_argument("--weights", help="weights or checkpoint to start from where OUT has none")
    parser.add_argument("--peak", type=float, help="largest factor on the learning rates; below 1 for fine-tuning")
    parser.add_argument("--decay", type=float, help="fraction of the steps in which the learning rates fall to zero")
    options = parser.parse_args()
    check_asset_arguments(parser, options)
    if options.object_fraction is not None and not 0 <= options.object_fraction <= 1:
        parser.error(f"--object-fraction is {options.object_fraction}, needs 0 to 1")
    torch.set_num_threads(1)
    steps = options.steps or round(options.minutes * steps_per_minute)
    names = ("batch", "seed", "object_fraction", "depth", "weights", "peak", "decay")
    chosen = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    return make(steps=steps, assets=options.assets, extra_assets=options.extra_assets, **chosen), options.out


def add_asset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that select assets to train on."""
    parser.add_argument("--assets", default="", help="manifest.csv of assets, every third of which is held out")
    parser.add_argument("--extra-assets", default="", help="folder of more assets, none of which are held out")


def check_asset_arguments(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a usage error where the assets do not exist."""
    if options.assets and not Path(options.assets).is_file():
        parser.error(f"--assets: no such file: {options.assets}")
    if options.extra_assets and not Path(options.extra_assets).is_dir():
        parser.error(f"--extra-assets: no such folder: {options.extra_assets}")
