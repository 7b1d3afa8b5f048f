"""Train nano-geo: `python -m training.train_geo OUT --minutes 90`. Stops and goes on at any checkpoint."""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from img2world.geometry.nano_geo import NanoGeo
from training.curves import draw_curves
from training.geo_loss import geo_loss
from training.held_out import held_out_views, predict, table
from training.stream import Stream
from training.views import Studio

STEPS_PER_MINUTE = 100
"""Of one core with AMX at 16 pictures a step; only turns a budget into a number of steps."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides the result."""

    steps: int
    seed: int = 1
    batch: int = 16
    rate: float = 1e-3
    warmup: int = 200
    decay: float = 0.4
    """Last share of the steps in which the rate falls to nothing."""
    window: int = 160
    reuse: float = 4.0
    textures: int = 320
    assets: str = ""
    """A manifest of models; every third is kept aside."""
    channels: tuple[int, int, int] = (64, 128, 192)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        left = (self.steps - step) / (self.decay * self.steps)
        return self.rate * min(1.0, (step + 1) / self.warmup, max(left, 0.01))


class Training:
    """A network in training, with its optimizer and the running mean of its weights."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.step = plan, 0
        torch.manual_seed(plan.seed)
        self.network = NanoGeo(plan.channels)
        plain = [values for values in self.network.parameters() if values.ndim <= 1]
        decayed = [values for values in self.network.parameters() if values.ndim > 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}],
            lr=plan.rate,
            betas=(0.9, 0.98),
            foreach=True,
        )
        self.mean: dict[str, Tensor] = {name: values.clone() for name, values in self.network.state_dict().items()}
        self.stream = Stream(
            studio_of(plan),
            batch=plan.batch,
            window=plan.window,
            reuse=plan.reuse,
        )

    def advance(self) -> float:
        """One step; gives its loss."""
        batch = self.stream.at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        with torch.autocast("cpu", torch.bfloat16):
            maps, lens = self.network(batch.inputs.contiguous(memory_format=torch.channels_last))
        loss = geo_loss(maps, lens, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        for name, values in self.network.state_dict().items():
            self.mean[name].lerp_(values, 1 - keep)
        return float(loss.detach())

    def averaged(self) -> NanoGeo:
        """A network with the mean weights."""
        network = NanoGeo(self.plan.channels)
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


def studio_of(plan: "Plan | FillPlan") -> Studio:
    """The maker of the pictures, with the models that may be trained on."""
    if not plan.assets:
        return Studio(plan.seed, textures=plan.textures)
    from img2world.evaluation.assets import manifest_split
    from training.assets import load_assets

    compositions, pictures = load_assets(manifest_split(Path(plan.assets))[0], plan.textures)
    return Studio(plan.seed, textures=plan.textures, assets=compositions, asset_pictures=pictures)


def train(plan: Plan, out: Path, *, report_every: int = 250, held_out: int = 160, stop_at: int = 0) -> Training:
    """Train to the end of the plan (or to step `stop_at`), from the checkpoint in `out` if there is one.

    Logs and curves go there, too.
    """
    out.mkdir(parents=True, exist_ok=True)
    training = Training(plan)
    checkpoint, log = out / "checkpoint.pt", out / "log.jsonl"
    if checkpoint.exists():
        training.load(checkpoint)
    views = held_out_views(held_out)
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
                **table(predict(training.averaged(), views), views),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            training.save(checkpoint)
            draw_curves(log, out / "curves.png")
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
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=Plan.rate)
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = options.steps or round(options.minutes * STEPS_PER_MINUTE)
    train(Plan(steps=steps, seed=options.seed, assets=options.assets, rate=options.rate), options.out)


if __name__ == "__main__":
    main()
