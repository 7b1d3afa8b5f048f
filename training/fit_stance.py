"""Fit the head that predicts the orientation of objects: `python -m training.fit_stance WEIGHTS OUT`.

The rest of the network is not changed, so its maps stay as good as they are.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from img2world.depth.network import STANCE_PREFIX, GeometryNetwork
from training.geo_batches import make_batch
from training.geo_loss import stance_errors
from training.train_geo import GeoConfig
from training.trainer import add_asset_arguments, check_asset_arguments, make_view_generator
from training.views import ViewGenerator
from training.weights import load_state

FEATURE_BATCH = 32
"""Views per pass through the network."""

VALIDATION_FRACTION = 1 / 16
"""Fraction of the views that decide which step is kept."""

RATE, DECAY, BATCH, VALIDATE_EVERY = 1e-3, 0.02, 512, 250


def compute_features(network: GeometryNetwork, generator: ViewGenerator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the head's inputs for about `count` views of objects [N, C], their planes [N, 37] and elevations [N]."""
    features: list[Tensor] = []
    hook = network.stance.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float()))
    rng = np.random.default_rng((generator.seed, 8))
    planes, elevations, views, number = [], [], [], 0
    while sum(map(len, features)) < count:
        views += generator.views(number, count=8, width=96, height=96)
        number += 1
        if len(views) >= FEATURE_BATCH:
            batch = make_batch(views, rng)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                network(batch.inputs.contiguous(memory_format=torch.channels_last))
            planes.append(batch.planes)
            elevations.append(batch.elevation)
            views = []
    hook.remove()
    return torch.cat(features), torch.cat(planes), torch.cat(elevations)


def fit_head(head: nn.Module, features: Tensor, planes: Tensor, elevations: Tensor, *, steps: int, seed: int) -> float:
    """Fit a head in place and return the least validation loss, whose weights it keeps."""
    torch.manual_seed(seed)
    num_train = len(features) - round(VALIDATION_FRACTION * len(features))

    def loss(chosen: Tensor | slice) -> Tensor:
        divergence, angle = stance_errors(head(features[chosen]), planes[chosen], elevations[chosen])
        return divergence + 3 * angle

    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    least, best = float("inf"), {}
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss(torch.randint(num_train, (min(BATCH, num_train),))).backward()
        optimizer.step()
        schedule.step()
        if step % VALIDATE_EVERY == 0 or step == steps:
            with torch.no_grad():
                current = float(loss(slice(num_train, None)))
            if current < least:
                least, best = current, {name: values.clone() for name, values in head.state_dict().items()}
    head.load_state_dict(best)
    return least


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="weights or checkpoint whose head is fitted")
    parser.add_argument("out", type=Path, help="checkpoint to write, for `python -m training.ship_geo`")
    parser.add_argument("--head", type=Path, help="weights or checkpoint whose head to start from")
    parser.add_argument("--views", type=int, default=33_000)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=900)
    add_asset_arguments(parser)
    options = parser.parse_args()
    check_asset_arguments(parser, options)
    torch.set_num_threads(1)
    state = load_state(options.weights)
    if options.head:
        state |= {name: values for name, values in load_state(options.head).items() if name.startswith(STANCE_PREFIX)}
    network = GeometryNetwork.from_state(state).eval()
    config = GeoConfig(
        steps=1, seed=options.seed, object_fraction=1.0, assets=options.assets, extra_assets=options.extra_assets
    )
    data = compute_features(network, make_view_generator(config), options.views)
    least = fit_head(network.stance, *data, steps=options.steps, seed=options.seed)
    torch.save({"mean": network.state_dict()}, options.out)
    print(f"{options.out}: validation loss {least:.3f}")


if __name__ == "__main__":
    main()
