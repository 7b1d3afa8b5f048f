"""What both trainings have in common: they stop, and go on at any checkpoint with the same bits."""

import argparse
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from training.curves import draw_curves
from training.optimizer import MuonAdamW
from training.views import OBJECT_SHARE_OF_VIEWS, Studio
from training.weights import with_weights
from training.workers import this_worker

Network = TypeVar("Network", bound=nn.Module)
PlanKind = TypeVar("PlanKind", bound="Plan")

LISTED_AS_OFTEN = 4
"""How often a model of the manifest, a quarter of which are scans of real things, is drawn for each further one."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides the result."""

    steps: int
    seed: int
    batch: int
    rate: float
    matrix_rate: float
    """Of inner layers; see `MuonAdamW`."""
    warmup: int
    window: int
    largest_gradient: float
    """Norm to which larger gradients are shortened."""
    decay: float = 0.4
    """Last share of the steps in which the rate falls to nothing."""
    reuse: float = 4.0
    textures: int = 320
    objects: float = OBJECT_SHARE_OF_VIEWS
    """Share of cut-out objects; the others are scenes."""
    assets: str = ""
    """A manifest of models; every third is kept aside."""
    more: str = ""
    """A folder of further models, all trained on."""
    channels: tuple[int, int, int] = (64, 128, 192)
    peak: float = 1.0
    """Highest share of the rates; less refines weights that are good."""
    weights: str = ""
    """Weights or a checkpoint to begin with; empty begins with chance."""

    def share_at(self, step: int) -> float:
        """The share of the highest learning rates that a step has."""
        left = (self.steps - step) / (self.decay * self.steps)
        return self.peak * min(1.0, (step + 1) / self.warmup, max(left, 0.01))


class Training(ABC, Generic[Network]):
    """A network in training, with its optimizer and the running mean of its weights."""

    def __init__(
        self, plan: Plan, make: Callable[[tuple[int, int, int]], Network], *, grown: tuple[str, ...] = ()
    ) -> None:
        """`make` makes the network of a plan's channels; `grown` are layers that the plan's weights may lack."""
        self.plan, self.step, self._make = plan, 0, make
        self.worker = this_worker()
        torch.manual_seed(plan.seed)
        self.network = make(plan.channels)
        if plan.weights:
            with_weights(self.network, Path(plan.weights), grown=grown).train()
        self.optimizer = MuonAdamW(self.network, rate=plan.rate, matrix_rate=plan.matrix_rate)
        self.mean: dict[str, Tensor] = {name: values.clone() for name, values in self.network.state_dict().items()}

    @abstractmethod
    def loss(self) -> Tensor:
        """The loss of the present step's batch, differentiable."""

    def advance(self) -> float:
        """One step; gives its loss."""
        loss = self.loss()
        loss.backward()
        self.worker.average_gradients(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.largest_gradient)
        self.optimizer.step(self.plan.share_at(self.step))
        self.step += 1
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        for name, values in self.network.state_dict().items():
            self.mean[name].lerp_(values, 1 - keep)
        return float(loss.detach())

    def averaged(self) -> Network:
        """A network with the mean weights."""
        network = self._make(self.plan.channels)
        network.load_state_dict(self.mean)
        return network.eval()

    def save(self, path: Path) -> None:
        """Write the state beside the old one, then in its place."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "mean": self.mean,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Go on where a state was saved."""
        state = torch.load(path, weights_only=True)
        self.step, self.mean = state["step"], state["mean"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def studio_of(plan: Plan) -> Studio:
    """The maker of the pictures, with the models that may be trained on."""
    from evaluation.assets import find_assets, manifest_split
    from training.imported_assets import load_assets

    listed, pictures = load_assets(manifest_split(Path(plan.assets))[0] if plan.assets else [], plan.textures)
    further, others = load_assets(find_assets(Path(plan.more)) if plan.more else [], plan.textures + len(pictures))
    assets = listed * (LISTED_AS_OFTEN if further else 1) + further
    return Studio(
        plan.seed, textures=plan.textures, objects=plan.objects, assets=assets, asset_pictures=pictures + others
    )


def run_training(
    training: Training[Any],
    out: Path,
    measure: Callable[[Any], dict[str, float]],
    *,
    report_every: int,
    stop_at: int,
    curves: tuple[str, ...],
) -> None:
    """Train to the end of the plan (or to step `stop_at`), from the checkpoint in `out` if there is one.

    Logs and curves go there, too; `measure` tells how good a network is. Of several workers the first does all that.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, log = out / "checkpoint.pt", out / "log.jsonl"
    if checkpoint.exists():
        training.load(checkpoint)
    losses: list[float] = []
    started, cpu = time.monotonic(), time.process_time()
    end = stop_at or training.plan.steps
    while training.step < end:
        losses.append(training.advance())
        if training.worker.rank == 0 and (training.step % report_every == 0 or training.step == end):
            row = {
                "step": training.step,
                "loss": round(sum(losses) / len(losses), 4),
                "wall_s": round(time.monotonic() - started),
                "cpu_s": round(time.process_time() - cpu),
                **measure(training.averaged()),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            training.save(checkpoint)
            draw_curves(log, out / "curves.png", curves)
            losses = []
            print(json.dumps(row), flush=True)


def plan_as_typed(make: type[PlanKind], about: str | None, *, steps_per_minute: int) -> tuple[PlanKind, Path]:
    """The plan that a command line asks for, and the folder; `steps_per_minute` turns a budget into steps."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=90, help="CPU minutes, about")
    parser.add_argument("--steps", type=int, default=0, help="overrules --minutes")
    parser.add_argument("--assets", default="", help="manifest.csv of models to draw among the made things")
    parser.add_argument("--more", default="", help="folder of further models, all of which are trained on")
    parser.add_argument("--batch", type=int, help="pictures or sequences of a worker's step")
    parser.add_argument("--seed", type=int, help="another seed makes other pictures")
    parser.add_argument("--objects", type=float, help="share of cut-out objects, 0 to 1; the others are scenes")
    if hasattr(make, "depth"):
        parser.add_argument("--depth", type=int, help="attentions in the middle; those that WEIGHTS lacks begin anew")
    parser.add_argument("--weights", help="weights or a checkpoint to begin with, where OUT has none")
    parser.add_argument("--peak", type=float, help="highest share of the rates; less refines weights that are good")
    parser.add_argument("--decay", type=float, help="last share of the steps in which the rates fall to nothing")
    options = parser.parse_args()
    if options.assets and not Path(options.assets).is_file():
        parser.error(f"--assets: no such file: {options.assets}")
    if options.more and not Path(options.more).is_dir():
        parser.error(f"--more: no such folder: {options.more}")
    if options.objects is not None and not 0 <= options.objects <= 1:
        parser.error(f"--objects: {options.objects} is no share, needs 0 to 1")
    torch.set_num_threads(1)
    steps = options.steps or round(options.minutes * steps_per_minute)
    names = ("batch", "seed", "objects", "depth", "weights", "peak", "decay")
    chosen = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    return make(steps=steps, assets=options.assets, more=options.more, **chosen), options.out
