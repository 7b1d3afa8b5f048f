"""Accuracy of nano-geo on held-out views."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from img2world.depth.network import Channel, GeometryNetwork, Stance
from img2world.depth.predict import AREA
from img2world.layered.symmetry import sum_neighbors
from training.geo_batches import make_batch
from training.geo_loss import MAX_LOG_DEPTH
from training.held_out import SEED, collect, mean_values
from training.views import View, ViewGenerator

SIDE = round(AREA**0.5)


@lru_cache(maxsize=2)
def held_out_views(count: int, *, seed: int = SEED, side: int = SIDE, textures: int = 160) -> tuple[View, ...]:
    """Return `count` square views, each of another object or scene."""
    return collect_views(ViewGenerator(seed, textures=textures), count, side)


def collect_views(generator: ViewGenerator, count: int, side: int) -> tuple[View, ...]:
    """Return the first `count` square views of a generator, one of each number."""

    def first_view(number: int) -> View | None:
        return next(iter(generator.views(number, count=1, width=side, height=side)), None)

    return collect(first_view, count)


def predict_maps(network: GeometryNetwork, views: Sequence[View], *, batch: int = 20) -> np.ndarray:
    """Return the network's maps [V, 10, H, W]."""
    parts = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(views), batch):
            inputs = make_batch(views[start : start + batch]).inputs
            parts.append(network(inputs.contiguous(memory_format=torch.channels_last))[0].float().numpy())
    return np.concatenate(parts)


def scene_errors(predicted: np.ndarray, truth: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Return AbsRel and δ1 of log depths after removing the median error."""
    error = predicted[known] - truth[known]
    error = error - np.median(error)
    return {"absrel": float(np.abs(np.expm1(error)).mean()), "delta1": float((np.abs(error) < np.log(1.25)).mean())}


def object_errors(maps: np.ndarray, front: np.ndarray, hidden: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Return mean depth errors in object radii, and the IoU of the masks.

    `relief_mae` is that of the front surface after removing its median error: its shape without its position.
    `solid_iou` is the IoU of the solids between front and hidden surface within the true outline.
    """
    rows, columns = np.nonzero(known)
    box = np.array([np.ptp(rows), np.ptp(columns)]) / known.shape[1]
    radius = 0.5 * float(np.hypot(max(box), hidden[known].max() - front[known].min()))
    thickness = np.logaddexp(0, maps[Channel.OBJECT_THICKNESS] - 2)
    mask = maps[Channel.MASK] > 0
    error = (maps[Channel.OBJECT_FRONT] - front)[known]
    near, far = maps[Channel.OBJECT_FRONT][known], (maps[Channel.OBJECT_FRONT] + thickness)[known]
    intersection = (np.minimum(far, hidden[known]) - np.maximum(near, front[known])).clip(0)
    union = thickness[known] + (hidden - front)[known] - intersection
    return {
        "front_mae": float(np.abs(error).mean()) / radius,
        "relief_mae": float(np.abs(error - np.median(error)).mean()) / radius,
        "hidden_mae": float(np.abs(maps[Channel.OBJECT_FRONT] + thickness - hidden)[known].mean()) / radius,
        "thickness_mae": float(np.abs(thickness - hidden + front)[known].mean()) / radius,
        "solid_iou": float(intersection.sum() / max(union.sum(), 1e-6)),
        "iou": _iou(mask, known),
    }


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return intersection over union of two masks."""
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))


def geo_metrics(maps: np.ndarray, views: Sequence[View]) -> dict[str, float]:
    """Return mean errors over all scenes, each kind of scene, and objects."""
    rows: dict[str, list[float]] = {}
    for view_maps, view in zip(maps, views, strict=True):
        if view.is_object:
            errors = object_errors(view_maps, view.front, view.hidden, view.known)
            named = {f"object_{name}": value for name, value in errors.items()}
        else:
            errors = scene_errors(view_maps[Channel.SCENE_DEPTH], view.front.clip(None, MAX_LOG_DEPTH), view.known)
            named = {f"scene_{name}": value for name, value in errors.items()}
            named |= {f"{view.kind}_{name}": value for name, value in errors.items()}
            sky = ~view.known
            if sky.mean() > 0.02:
                named["sky_iou"] = _iou(view_maps[Channel.MASK] <= 0, sky)
        for name, value in named.items():
            rows.setdefault(name, []).append(value)
    return mean_values(rows, 4)


def mean_depth_map(views: Sequence[View]) -> np.ndarray:
    """Return the mean log depth of square scenes at each pixel, each scene's median being 0: a baseline."""
    maps = []
    for view in views:
        if not view.is_object and view.front.shape[0] == view.front.shape[1]:
            log_depth = view.front.clip(None, MAX_LOG_DEPTH)
            maps.append(np.where(view.known, log_depth - np.median(log_depth[view.known]), np.nan))
    total = np.nanmean(np.stack(maps), 0) if maps else np.zeros((SIDE, SIDE))
    return np.nan_to_num(total, nan=float(np.nanmax(total))).astype(np.float32)


def stance_metrics(network: GeometryNetwork, views: Sequence[View]) -> dict[str, float]:
    """Return the accuracy of the orientation of objects, predicted from a single view.

    `elevation_error`: mean error of the camera's elevation in degrees. `planes_right`: fraction of symmetric objects
    whose most probable mirror plane is one of theirs.
    """
    elevations, right = [], []
    for view in views:
        if not view.is_object:
            continue
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            stance = network(make_batch([view]).inputs.contiguous(memory_format=torch.channels_last))[1][0].float()
        planes, elevation = stance[Stance.PLANES].softmax(0).numpy(), float(stance[Stance.ELEVATION])
        elevations.append(abs(elevation - view.elevation))
        if view.planes[-1] < 1:
            truth = sum_neighbors(view.planes)
            right.append(truth[sum_neighbors(planes).argmax()] >= 0.5 * truth.max())
    return {
        "elevation_error": round(float(np.degrees(np.mean(elevations))), 2),
        "planes_right": round(float(np.mean(right)), 3) if right else 0.0,
    }
