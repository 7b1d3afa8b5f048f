"""Pictures that nothing was trained on: other seeds, other textures, other models."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from img2world.depth.network import Channel, NanoGeo, Stance
from img2world.depth.predict import AREA
from img2world.layered.symmetry import around, mirror_normal
from training.geo_loss import FAR_LOG, object_errors, scene_errors
from training.stream import batch_of
from training.views import Studio, View

SEED = 990_001
"""Never used for training."""

SIDE = round(AREA**0.5)


@lru_cache(maxsize=2)
def held_out_views(count: int, *, seed: int = SEED, side: int = SIDE, textures: int = 160) -> tuple[View, ...]:
    """`count` square views, each of another thing or place."""
    studio = Studio(seed, textures=textures)
    views: list[View] = []
    number = 0
    while len(views) < count:
        views += studio.views(number, count=1, width=side, height=side)
        number += 1
    return tuple(views[:count])


def predict(network: NanoGeo, views: Sequence[View], *, batch: int = 20) -> np.ndarray:
    """The network's maps [V, 10, H, W]."""
    parts = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(views), batch):
            inputs = batch_of(views[start : start + batch]).inputs
            parts.append(network(inputs.contiguous(memory_format=torch.channels_last))[0].float().numpy())
    return np.concatenate(parts)


def stance_table(network: NanoGeo, views: Sequence[View]) -> dict[str, float]:
    """How well the network knows, by one look, how objects stand.

    Mean error of the elevation in degrees; the share of things whose plane would be used, and of those the share whose
    plane is one indeed.
    """
    elevations, used, right = [], [], []
    for view in views:
        if not view.is_object:
            continue
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            stance = network(batch_of([view]).inputs.contiguous(memory_format=torch.channels_last))[1][0].float()
        planes, elevation = stance[Stance.PLANES].softmax(0).numpy(), float(stance[Stance.ELEVATION])
        elevations.append(abs(elevation - view.elevation))
        used.append(mirror_normal(planes, elevation) is not None)
        if used[-1]:
            truth = around(view.planes)
            right.append(view.planes[-1] < 1 and truth[around(planes).argmax()] >= 0.5 * truth.max())
    return {
        "elevation_error": round(float(np.degrees(np.mean(elevations))), 2),
        "planes_used": round(float(np.mean(used)), 3),
        "planes_right": round(float(np.mean(right)), 3) if right else 0.0,
    }


def mean_map(views: Sequence[View]) -> np.ndarray:
    """The mean log depth of square scenes at each pixel, each scene's median being 0: the baseline to beat."""
    maps = []
    for view in views:
        if not view.is_object and view.front.shape[0] == view.front.shape[1]:
            log_depth = view.front.clip(None, FAR_LOG)
            maps.append(np.where(view.known, log_depth - np.median(log_depth[view.known]), np.nan))
    total = np.nanmean(np.stack(maps), 0) if maps else np.zeros((SIDE, SIDE))
    return np.nan_to_num(total, nan=float(np.nanmax(total))).astype(np.float32)


def table(maps: np.ndarray, views: Sequence[View]) -> dict[str, float]:
    """Mean errors over scenes, each kind of scene, and objects."""
    rows: dict[str, list[float]] = {}
    for each, view in zip(maps, views, strict=True):
        if view.is_object:
            errors = object_errors(each, view.front, view.hidden, view.known)
            named = {f"object_{name}": value for name, value in errors.items()}
        else:
            errors = scene_errors(each[Channel.SCENE_DEPTH], view.front.clip(None, FAR_LOG), view.known)
            named = {f"scene_{name}": value for name, value in errors.items()}
            named |= {f"{view.kind}_{name}": value for name, value in errors.items()}
            sky, found = ~view.known, each[Channel.MASK] <= 0
            if sky.mean() > 0.02:
                named["sky_iou"] = float((sky & found).sum() / max((sky | found).sum(), 1))
        for name, value in named.items():
            rows.setdefault(name, []).append(value)
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(rows.items())}
