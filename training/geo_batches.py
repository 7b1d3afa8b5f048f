"""Batches of views for nano-geo and nano-outpaint."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from img2world.depth.network import network_input
from img2world.depth.predict import mirrored_planes
from training.stream import FRAME_SIZES, Stream
from training.views import View, ViewGenerator
from training.workers import Worker

VIEWS_PER_SCENE = 8


@dataclass(frozen=True, kw_only=True)
class GeoBatch:
    """Network inputs and targets; see `View`."""

    inputs: Tensor
    is_object: Tensor
    known: Tensor
    front: Tensor
    hidden_known: Tensor
    hidden: Tensor
    rgb: Tensor
    hidden_rgb: Tensor
    planes: Tensor
    elevation: Tensor


def view_stream(
    generator: ViewGenerator, worker: Worker, *, batch: int, window: int, reuse: float
) -> Stream[View, GeoBatch]:
    """Return a stream of views, each of which is drawn `reuse` times on average."""

    def make(number: int) -> list[View]:
        width, height = FRAME_SIZES[number % len(FRAME_SIZES)]
        return generator.views(number, count=VIEWS_PER_SCENE, width=width, height=height)

    return Stream(
        make, make_batch, worker, seed=(generator.seed, 1), batch=batch, window=window,
        groups_per_step=batch / reuse / VIEWS_PER_SCENE,
    )  # fmt: skip


def make_batch(views: Sequence[View], rng: np.random.Generator | None = None) -> GeoBatch:
    """Return views as tensors; given a generator, some mirrored, with other colours or without their alpha."""
    arrays: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(View)}
    alphas = []
    for view in views:
        is_mirrored = rng is not None and rng.random() < 0.5
        order = slice(None, None, -1 if is_mirrored else 1)
        for name in ("known", "front", "hidden_known", "hidden"):
            arrays[name].append(np.ascontiguousarray(getattr(view, name)[:, order]))
        arrays["planes"].append(mirrored_planes(view.planes) if is_mirrored else view.planes)
        rgb, hidden_rgb = (getattr(view, name)[:, order].astype(np.float32) / 255 for name in ("rgb", "hidden_rgb"))
        if rng is not None:
            coverage = view.alpha[:, order] if view.is_object else np.ones_like(view.alpha)
            rgb, hidden_rgb = jitter_colors(rgb, hidden_rgb, coverage, rng)
        arrays["rgb"].append(rgb)
        arrays["hidden_rgb"].append(hidden_rgb)
        drops_alpha = view.is_object and rng is not None and rng.random() < 0.3
        alphas.append(np.ones_like(view.alpha) if drops_alpha else view.alpha[:, order])
    stacked = {name: torch.from_numpy(np.stack(values)) for name, values in arrays.items() if values}
    rgb, hidden_rgb = (stacked[name].permute(0, 3, 1, 2).contiguous() for name in ("rgb", "hidden_rgb"))
    is_object = torch.tensor([view.is_object for view in views])
    return GeoBatch(
        inputs=network_input(rgb, torch.from_numpy(np.stack(alphas).astype(np.float32)), is_object),
        is_object=is_object,
        known=stacked["known"],
        front=stacked["front"].float(),
        hidden_known=stacked["hidden_known"],
        hidden=stacked["hidden"].float(),
        rgb=rgb,
        hidden_rgb=hidden_rgb,
        planes=stacked["planes"],
        elevation=torch.tensor([view.elevation for view in views], dtype=torch.float32),
    )


def jitter_colors(
    rgb: np.ndarray, hidden_rgb: np.ndarray, alpha: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return both images with the same random change of colours, except in the white around an object."""
    order = rng.permutation(3) if rng.random() < 0.15 else np.arange(3)
    gain = rng.uniform(0.8, 1.2, 3).astype(np.float32) * np.float32(rng.uniform(0.8, 1.1))
    to_gray = rng.random() < 0.07
    coverage = np.where(alpha[..., None] < 0.999, alpha[..., None], 1.0).astype(np.float32)

    def jitter(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
        changed = (image[..., order] * gain).clip(0, 1)
        changed = changed.mean(-1, keepdims=True).repeat(3, -1) if to_gray else changed
        return (changed * weight + image * (1 - weight)).astype(np.float32)

    return jitter(rgb, coverage), jitter(hidden_rgb, np.ones_like(coverage))
