"""Fit the head that tells how objects stand: `python -m training.fit_stance WEIGHTS OUT [--assets MANIFEST]`.

The network itself stays as it is, so nothing that it tells of shapes gets worse.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from img2world.depth.network import HEAD, NanoGeo
from training.geo_loss import stance_errors
from training.stream import batch_of
from training.train_geo import GeoPlan
from training.trainer import studio_of
from training.views import Studio
from training.weights import state_of

TOGETHER = 32
"""Views that the network looks at together."""

SHARE_KEPT_ASIDE = 1 / 16
"""Of the views, which tell when to stop."""

RATE, DECAY, BATCH, LOOK_EVERY = 1e-3, 0.02, 512, 250


def features(network: NanoGeo, studio: Studio, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the head is given of about `count` views of objects [N, C], their planes [N, 37] and elevations [N]."""
    found: list[Tensor] = []
    hook = network.stance.register_forward_pre_hook(lambda _, given: found.append(given[0].float()))
    rng = np.random.default_rng((studio.seed, 8))
    planes, elevations, views, number = [], [], [], 0
    while sum(map(len, found)) < count:
        views += studio.views(number, count=8, width=96, height=96)
        number += 1
        if len(views) >= TOGETHER:
            batch = batch_of(views, rng)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                network(batch.inputs.contiguous(memory_format=torch.channels_last))
            planes.append(batch.planes)
            elevations.append(batch.elevation)
            views = []
    hook.remove()
    return torch.cat(found), torch.cat(planes), torch.cat(elevations)


def fitted(head: nn.Module, given: Tensor, planes: Tensor, elevations: Tensor, *, steps: int, seed: int) -> float:
    """Fit a head in place; it ends as it was when the views kept aside had the least error, which is given."""
    torch.manual_seed(seed)
    learned = len(given) - round(SHARE_KEPT_ASIDE * len(given))

    def error(chosen: Tensor | slice) -> Tensor:
        surprise, angle = stance_errors(head(given[chosen]), planes[chosen], elevations[chosen])
        return surprise + 3 * angle

    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=DECAY)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    least, best = float("inf"), {}
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        error(torch.randint(learned, (min(BATCH, learned),))).backward()
        optimizer.step()
        falling.step()
        if step % LOOK_EVERY == 0 or step == steps:
            with torch.no_grad():
                now = float(error(slice(learned, None)))
            if now < least:
                least, best = now, {name: values.clone() for name, values in head.state_dict().items()}
    head.load_state_dict(best)
    return least


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="weights or a checkpoint whose head is fitted anew")
    parser.add_argument("out", type=Path, help="a checkpoint, for `python -m training.ship_geo`")
    parser.add_argument("--head", type=Path, help="weights or a checkpoint whose head it begins with")
    parser.add_argument("--views", type=int, default=33_000)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=900)
    parser.add_argument("--assets", default="", help="manifest.csv of models to draw among the made things")
    parser.add_argument("--more", default="", help="folder of further models, all of which are trained on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    state = state_of(options.weights)
    if options.head:
        state |= {name: values for name, values in state_of(options.head).items() if name.startswith(HEAD)}
    network = NanoGeo.of(state).eval()
    plan = GeoPlan(steps=1, seed=options.seed, objects=1.0, assets=options.assets, more=options.more)
    least = fitted(
        network.stance, *features(network, studio_of(plan), options.views), steps=options.steps, seed=options.seed
    )
    torch.save({"mean": network.state_dict()}, options.out)
    print(f"{options.out}: {least:.3f} of surprise and three times the elevation's error, views kept aside")


if __name__ == "__main__":
    main()
