"""Measure nano-geo: `python -m training.evaluate_geo [CHECKPOINT] [--assets MANIFEST] [--real FOLDER]`.

Without a checkpoint it is the shipped weights for objects and those for scenes that are measured. Beside them stand the
mean map of made scenes.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from img2world.depth.network import OUTPUTS, Channel, NanoGeo, network_input
from img2world.depth.predict import OBJECT_WEIGHTS, SCENE_WEIGHTS, working_size
from training.geo_loss import scene_errors
from training.held_out import SIDE, held_out_views, mean_map, predict, stance_table, table
from training.views import Studio, View
from training.weights import ASSETS, state_of

MOTORCYCLE = {"focal": 994.978, "offset": 31.086}
"""Of the Middlebury 2014 pair at a quarter of its size: depth = focal * baseline / (disparity + offset)."""


Networks = dict[bool, NanoGeo]
"""The network for scenes (False) and the one for objects (True)."""


def networks_of(checkpoint: Path | None) -> Networks:
    """One network for both, or those that the program uses."""
    if checkpoint:
        network = NanoGeo.of(state_of(checkpoint)).eval()
        return {False: network, True: network}
    return {
        is_object: NanoGeo.of(state_of(ASSETS / weights)).eval()
        for is_object, weights in ((False, SCENE_WEIGHTS), (True, OBJECT_WEIGHTS))
    }


def predict_each(networks: Networks, views: Sequence[View]) -> np.ndarray:
    """The maps [V, 10, H, W] of views of one size, each by the network for its kind."""
    maps = np.zeros((len(views), OUTPUTS, *views[0].known.shape), np.float32)
    for is_object, network in networks.items():
        chosen = [i for i, view in enumerate(views) if view.is_object == is_object]
        if chosen:
            maps[chosen] = predict(network, [views[i] for i in chosen])
    return maps


def made_tables(networks: Networks, views: Sequence[View], mean: np.ndarray) -> dict[str, dict[str, float]]:
    """Return the errors of the network and of the mean map on made views."""
    flat = np.zeros((len(views), OUTPUTS, *views[0].known.shape), np.float32)
    flat[:, Channel.SCENE_DEPTH], flat[:, Channel.MASK] = mean, 1.0
    return {
        "network": table(predict_each(networks, views), views),
        "mean map": table(flat, views),
    }


def hidden_colors(networks: Networks, views: Sequence[View]) -> dict[str, float]:
    """Mean absolute error of the hidden colours, and that of taking the colours in front."""
    errors: dict[str, list[float]] = {}
    for maps, view in zip(predict_each(networks, views), views, strict=True):
        where = view.hidden_known
        if where.any():
            seen, truth = view.rgb.astype(np.float32) / 255, view.hidden_rgb.astype(np.float32) / 255
            guess = (seen + maps[Channel.RGB].transpose(1, 2, 0) / 2).clip(0, 1)
            kind = "object" if view.is_object else "scene"
            errors.setdefault(f"{kind} network", []).append(float(np.abs(guess - truth)[where].mean()))
            errors.setdefault(f"{kind} in front", []).append(float(np.abs(seen - truth)[where].mean()))
    return {name: round(float(np.mean(values)), 4) for name, values in errors.items()}


def real_cases(folder: Path) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Photos with log depth (NaN where it is not known): a stereo rig's, a moving camera's, a scan's."""
    cases = {}
    with np.load(folder / "depth/motorcycle/motorcycle_disp.npz") as file:
        disparity = file["arr_0"]
    picture = _picture(folder / "depth/motorcycle/motorcycle_left.png")
    with np.errstate(divide="ignore", invalid="ignore"):
        log_depth = np.where(np.isfinite(disparity), -np.log(disparity + MOTORCYCLE["offset"]), np.nan)
    cases["motorcycle"] = [(picture, log_depth)]
    room = folder / "multiview/pi3_room"
    with np.load(room / "condition_f16.npz") as file:
        depths = file["depths"].astype(np.float32)
    with np.errstate(divide="ignore"):
        cases["pi3_room"] = [
            (_picture(room / f"rgb/{i}.png"), np.where(depth > 0, np.log(depth), np.nan))
            for i, depth in enumerate(depths)
        ]
        with np.load(folder / "depth/habitat/van-gogh-room-depth_f16.npz") as file:
            depth = file["depth"].astype(np.float32)
        cases["habitat"] = [
            (_picture(folder / "depth/habitat/van-gogh-room-color.png"), np.where(depth > 0, np.log(depth), np.nan))
        ]
    return cases


def _picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None, path
    return np.ascontiguousarray(picture[..., ::-1])


def network_log_depth(network: NanoGeo, rgb: np.ndarray) -> np.ndarray:
    """The network's log depth at its own size, mirrored and not."""
    width, height = working_size(rgb.shape[1], rgb.shape[0])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    picture = torch.from_numpy(small).permute(2, 0, 1)
    inputs = network_input(
        torch.stack([picture, picture.flip(2)]), torch.ones(2, height, width), torch.tensor([False, False])
    )
    with torch.no_grad():
        maps, _ = network(inputs.contiguous(memory_format=torch.channels_last))
    return (0.5 * (maps[0] + maps[1].flip(2)))[Channel.SCENE_DEPTH].numpy()


def real_table(
    network: NanoGeo, cases: dict[str, list[tuple[np.ndarray, np.ndarray]]], mean: np.ndarray
) -> dict[str, dict[str, float]]:
    """AbsRel and δ1 on photos after the median of the log error was taken off."""
    rows: dict[str, dict[str, float]] = {}
    for name, pairs in cases.items():
        errors: dict[str, list[dict[str, float]]] = {}
        for rgb, truth in pairs:
            guesses = {
                "network": network_log_depth(network, rgb),
                "mean map": mean,
            }
            for guess, values in guesses.items():
                full = cv2.resize(values.astype(np.float32), truth.shape[::-1], interpolation=cv2.INTER_LINEAR)
                errors.setdefault(guess, []).append(scene_errors(full, np.nan_to_num(truth), np.isfinite(truth)))
        for guess, each in errors.items():
            for metric in each[0]:
                rows.setdefault(f"{name} {metric}", {})[guess] = round(
                    float(np.mean([error[metric] for error in each])), 4
                )
    return rows


def asset_views(manifest: Path, count: int) -> list[View]:
    """Views of models that are kept aside."""
    from evaluation.assets import manifest_split
    from training.imported_assets import load_assets

    compositions, pictures = load_assets(manifest_split(manifest)[1][:count], 0)
    views = []
    for i, composition in enumerate(compositions):
        studio = Studio.of_models([composition], pictures)
        views += studio.object_views(np.random.default_rng((7, i)), count=2, size=SIDE)
    return views


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", help="measured for scenes and objects; else what is shipped"
    )
    parser.add_argument("--assets", type=Path, help="manifest.csv of models; those kept aside are measured")
    parser.add_argument(
        "--real", type=Path, help="folder with depth/ and multiview/ as they are described in assets/nano/README.md"
    )
    parser.add_argument("--views", type=int, default=160)
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = networks_of(options.checkpoint)
    mean = mean_map(held_out_views(options.views, seed=2))
    views = held_out_views(options.views)
    result: dict = {
        "made": made_tables(networks, views, mean),
        "hidden colours": hidden_colors(networks, views),
        "stance of made objects": stance_table(networks[True], views),
    }
    if options.assets:
        aside = asset_views(options.assets, 60)
        result["models kept aside"] = made_tables(networks, aside, mean)
        result["stance of models kept aside"] = stance_table(networks[True], aside)
    if options.real:
        result["photos"] = real_table(networks[False], real_cases(options.real), mean)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
