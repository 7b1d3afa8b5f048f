"""Measure nano-geo: `python -m training.evaluate_geo [CHECKPOINT] [--assets MANIFEST] [--real FOLDER]`.

Without a checkpoint the shipped weights for objects and for scenes are measured. The baseline is the mean depth map of
procedural scenes.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from evaluation.measured_depth import DepthCases, load_depth_cases
from img2world.depth.network import OUTPUTS, Channel, GeometryNetwork, network_input
from img2world.depth.predict import OBJECT_WEIGHTS, SCENE_WEIGHTS, working_size
from training.geo_metrics import (
    SIDE,
    geo_metrics,
    held_out_views,
    mean_depth_map,
    predict_maps,
    scene_errors,
    stance_metrics,
)
from training.held_out import mean_values
from training.views import View, ViewGenerator
from training.weights import ASSETS, load_state

Networks = dict[bool, GeometryNetwork]
"""The network for scenes (False) and the one for objects (True)."""


def load_networks(checkpoint: Path | None) -> Networks:
    """Return a checkpoint's network for both kinds, or the networks that the program uses."""
    if checkpoint:
        network = GeometryNetwork.from_state(load_state(checkpoint)).eval()
        return {False: network, True: network}
    return {
        is_object: GeometryNetwork.from_state(load_state(ASSETS / weights)).eval()
        for is_object, weights in ((False, SCENE_WEIGHTS), (True, OBJECT_WEIGHTS))
    }


def predict_by_kind(networks: Networks, views: Sequence[View]) -> np.ndarray:
    """Return the maps [V, 10, H, W] of views of one size, each by the network for its kind."""
    maps = np.zeros((len(views), OUTPUTS, *views[0].shape), np.float32)
    for is_object, network in networks.items():
        chosen = [i for i, view in enumerate(views) if view.is_object == is_object]
        if chosen:
            maps[chosen] = predict_maps(network, [views[i] for i in chosen])
    return maps


def synthetic_metrics(networks: Networks, views: Sequence[View], mean_depth: np.ndarray) -> dict[str, dict[str, float]]:
    """Return the metrics of the networks and of the mean depth map on synthetic views."""
    baseline = np.zeros((len(views), OUTPUTS, *views[0].shape), np.float32)
    baseline[:, Channel.SCENE_DEPTH], baseline[:, Channel.MASK] = mean_depth, 1.0
    return {
        "network": geo_metrics(predict_by_kind(networks, views), views),
        "mean map": geo_metrics(baseline, views),
    }


def hidden_color_errors(networks: Networks, views: Sequence[View]) -> dict[str, float]:
    """Return the mean absolute error of the predicted hidden colours, and that of repeating the visible ones."""
    errors: dict[str, list[float]] = {}
    for maps, view in zip(predict_by_kind(networks, views), views, strict=True):
        hidden = view.hidden_known
        if hidden.any():
            seen, truth = view.rgb.astype(np.float32) / 255, view.hidden_rgb.astype(np.float32) / 255
            predicted = (seen + maps[Channel.RGB].transpose(1, 2, 0) / 2).clip(0, 1)
            kind = "object" if view.is_object else "scene"
            errors.setdefault(f"{kind} network", []).append(float(np.abs(predicted - truth)[hidden].mean()))
            errors.setdefault(f"{kind} in front", []).append(float(np.abs(seen - truth)[hidden].mean()))
    return mean_values(errors, 4)


def predict_log_depth(network: GeometryNetwork, rgb: np.ndarray) -> np.ndarray:
    """Return the log depth of a photo at the network's working size, the mean over the photo and its mirror image."""
    width, height = working_size(rgb.shape[1], rgb.shape[0])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    image = torch.from_numpy(small).permute(2, 0, 1)
    inputs = network_input(
        torch.stack([image, image.flip(2)]), torch.ones(2, height, width), torch.tensor([False, False])
    )
    with torch.no_grad():
        maps, _ = network(inputs.contiguous(memory_format=torch.channels_last))
    return (0.5 * (maps[0] + maps[1].flip(2)))[Channel.SCENE_DEPTH].numpy()


def real_metrics(network: GeometryNetwork, cases: DepthCases, mean_depth: np.ndarray) -> dict[str, dict[str, float]]:
    """Return AbsRel and δ1 on photos after removing the median of the log error."""
    rows: dict[str, dict[str, float]] = {}
    for name, pairs in cases.items():
        errors: dict[str, dict[str, list[float]]] = {}
        for rgb, truth in pairs:
            predictions = {"network": predict_log_depth(network, rgb), "mean map": mean_depth}
            for method, log_depth in predictions.items():
                full = cv2.resize(log_depth.astype(np.float32), truth.shape[::-1], interpolation=cv2.INTER_LINEAR)
                for metric, value in scene_errors(full, np.nan_to_num(truth), np.isfinite(truth)).items():
                    errors.setdefault(f"{name} {metric}", {}).setdefault(method, []).append(value)
        rows |= {row: mean_values(methods, 4) for row, methods in errors.items()}
    return rows


def held_out_asset_views(manifest: Path, count: int) -> list[View]:
    """Return two views of each of the first held-out assets of a manifest."""
    from evaluation.assets import split_manifest
    from training.imported_assets import load_assets

    assets, textures = load_assets(split_manifest(manifest)[1][:count], 0)
    views = []
    for i, asset in enumerate(assets):
        generator = ViewGenerator.of_assets([asset], textures)
        views += generator.object_views(np.random.default_rng((7, i)), count=2, size=SIDE)
    return views


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="measured on scenes and objects")
    parser.add_argument("--assets", type=Path, help="manifest.csv of assets, the held-out ones of which are measured")
    parser.add_argument(
        "--real", type=Path, help="folder with depth/ and multiview/ as described in assets/nano/README.md"
    )
    parser.add_argument("--views", type=int, default=160)
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = load_networks(options.checkpoint)
    mean_depth = mean_depth_map(held_out_views(options.views, seed=2))
    views = held_out_views(options.views)
    result: dict = {
        "synthetic": synthetic_metrics(networks, views, mean_depth),
        "hidden colours": hidden_color_errors(networks, views),
        "stance of synthetic objects": stance_metrics(networks[True], views),
    }
    if options.assets:
        held_out = held_out_asset_views(options.assets, 60)
        result["held-out assets"] = synthetic_metrics(networks, held_out, mean_depth)
        result["stance of held-out assets"] = stance_metrics(networks[True], held_out)
    if options.real:
        result["photos"] = real_metrics(networks[False], load_depth_cases(options.real), mean_depth)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
