"""Train nano-fill: `python -m training.train_fill OUT --minutes 90`. Stops and goes on at any checkpoint."""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2world.geometry.few_steps import levels, noised
from img2world.geometry.nano_fill import STEPS, NanoFill
from training.curves import draw_curves
from training.fill_measure import fill_table, held_out_examples
from training.fill_stream import FillBatch, FillStream
from training.sequences import Filming
from training.train_geo import studio_of

STEPS_PER_MINUTE = 60
"""Of one core with AMX at 4 sequences a step; only turns a budget into a number of steps."""

SAMPLED = 4
"""Steps of the sampler that the levels are mostly learned for; those of one and of two are among them."""

CURVES = (*("loss", "object_unseen_gain", "scene_unseen_gain", "object_unseen", "scene_unseen", "object_all_gain"),)


@dataclass(frozen=True, kw_only=True)
class FillPlan:
    """All that decides the result."""

    steps: int
    seed: int = 2
    batch: int = 4
    rate: float = 8e-4
    warmup: int = 100
    decay: float = 0.4
    """Last share of the steps in which the rate falls to nothing."""
    window: int = 96
    reuse: float = 4.0
    textures: int = 320
    assets: str = ""
    """A manifest of models; every third is kept aside."""
    channels: tuple[int, int, int] = (64, 128, 192)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        left = (self.steps - step) / (self.decay * self.steps)
        return self.rate * min(1.0, (step + 1) / self.warmup, max(left, 0.01))


class FillTraining:
    """A network in training, with its optimizer and the running mean of its weights."""

    def __init__(self, plan: FillPlan) -> None:
        self.plan, self.step = plan, 0
        torch.manual_seed(plan.seed)
        self.network = NanoFill(plan.channels)
        plain = [values for values in self.network.parameters() if values.ndim <= 1]
        decayed = [values for values in self.network.parameters() if values.ndim > 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}],
            lr=plan.rate,
            betas=(0.9, 0.98),
            foreach=True,
        )
        self.mean: dict[str, Tensor] = {name: values.clone() for name, values in self.network.state_dict().items()}
        self.stream = FillStream(Filming(studio_of(plan)), batch=plan.batch, window=plan.window, reuse=plan.reuse)

    def advance(self) -> float:
        """One step; gives its loss."""
        batch = self.stream.at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        level = noise_levels(len(batch.truth), np.random.default_rng((self.plan.seed, 5, self.step)))
        sample = noised(batch.truth, batch.noise, level)
        with torch.autocast("cpu", torch.bfloat16):
            drawn = self.network(sample, level, batch.maps, batch.cameras)
        loss = fill_loss(drawn, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        for name, values in self.network.state_dict().items():
            self.mean[name].lerp_(values, 1 - keep)
        return float(loss.detach())

    def averaged(self) -> NanoFill:
        """A network with the mean weights."""
        network = NanoFill(self.plan.channels)
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


def noise_levels(count: int, rng: np.random.Generator) -> Tensor:
    """Levels to learn: mostly those sampled in use, and most of all nothing but noise, where all is decided."""
    at_use = rng.choice(levels(SAMPLED), size=count)
    drawn = np.where(rng.random(count) < 0.3, rng.integers(STEPS, size=count), at_use)
    return torch.from_numpy(np.where(rng.random(count) < 0.35, STEPS - 1, drawn))


def fill_loss(drawn: Tensor, batch: FillBatch) -> Tensor:
    """Mean squared error and a little of the absolute one, weighted; 1 if every pixel is wrong by a whole range."""
    wrong = (drawn.float() - batch.truth) / 2
    each = (4 * wrong.square() + 0.2 * wrong.abs()).mean(2)  # [B, K, H, W]
    # Sequences with little to draw count less, but not in proportion.
    total = batch.weight.sum((1, 2, 3))
    pixels = batch.weight[0].numel()
    return ((each * batch.weight).sum((1, 2, 3)) / (total + 0.1 * pixels)).mean()


def train_fill(
    plan: FillPlan, out: Path, *, report_every: int = 250, held_out: int = 48, stop_at: int = 0
) -> FillTraining:
    """Train to the end of the plan (or to step `stop_at`), from the checkpoint in `out` if there is one.

    Logs and curves go there, too.
    """
    out.mkdir(parents=True, exist_ok=True)
    training = FillTraining(plan)
    checkpoint, log = out / "checkpoint.pt", out / "log.jsonl"
    if checkpoint.exists():
        training.load(checkpoint)
    examples = held_out_examples(held_out)
    losses: list[float] = []
    started, cpu = time.monotonic(), time.process_time()
    end = stop_at or plan.steps
    while training.step < end:
        losses.append(training.advance())
        if training.step % report_every == 0 or training.step == end:
            row = {
                "step": training.step,
                "loss": round(sum(losses) / len(losses), 4),
                "wall_s": round(time.monotonic() - started),
                "cpu_s": round(time.process_time() - cpu),
                **fill_table(training.averaged(), examples),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            training.save(checkpoint)
            draw_curves(log, out / "curves.png", CURVES)
            losses = []
            print(json.dumps(row), flush=True)
    return training


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=90, help="CPU minutes, about")
    parser.add_argument("--steps", type=int, default=0, help="overrules --minutes")
    parser.add_argument("--assets", default="", help="manifest.csv of models to draw among the made things")
    parser.add_argument("--seed", type=int, default=FillPlan.seed)
    parser.add_argument("--rate", type=float, default=FillPlan.rate)
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = options.steps or round(options.minutes * STEPS_PER_MINUTE)
    train_fill(FillPlan(steps=steps, seed=options.seed, assets=options.assets, rate=options.rate), options.out)


if __name__ == "__main__":
    main()
