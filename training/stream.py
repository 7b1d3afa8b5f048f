"""A stream of batches of made pictures that can begin at any step: step n is the same, however it is reached."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from img2world.depth.network import network_input
from img2world.depth.predict import mirrored_planes
from training.views import Studio, View
from training.workers import Worker

FRAMES = ((96, 96), (96, 96), (112, 80), (80, 112))
"""Widths and heights of the pictures, of the area that the network looks at."""

VIEWS_PER_PLACE = 8


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pictures and what is to be learned from them; see `View`."""

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


class Stream:
    """A window of places moves with the steps; a step draws its batch from the views in the window."""

    def __init__(
        self, studio: Studio, worker: Worker, *, batch: int = 16, window: int = 160, reuse: float = 4.0
    ) -> None:
        """Each view is drawn `reuse` times by the mean while it is in the window."""
        self.studio, self.worker, self.batch, self.window = studio, worker, batch, window
        self.places_per_step = batch / reuse / VIEWS_PER_PLACE
        self.places: dict[int, list[View]] = {}

    def at(self, step: int) -> Batch:
        """The batch of a step."""
        first = int(step * self.places_per_step)
        wanted = [self.worker.own(number) for number in range(first, first + self.window)]
        self.places = {number: views for number, views in self.places.items() if number in wanted}
        for number in wanted:
            if number not in self.places:
                width, height = FRAMES[number % len(FRAMES)]
                self.places[number] = self.studio.views(number, count=VIEWS_PER_PLACE, width=width, height=height)
        rng = np.random.default_rng((self.studio.seed, 1, self.worker.own(step)))
        by_size: dict[tuple[int, ...], list[View]] = {}
        for number in wanted:
            for view in self.places[number]:
                by_size.setdefault(view.known.shape, []).append(view)
        sizes = sorted(by_size)
        share = np.array([len(by_size[size]) for size in sizes], float)
        views = by_size[sizes[int(rng.choice(len(sizes), p=share / share.sum()))]]
        return batch_of([views[i] for i in rng.integers(len(views), size=self.batch)], rng)


def batch_of(views: Sequence[View], rng: np.random.Generator | None = None) -> Batch:
    """Views as tensors; with a generator, mirrored, recoloured and without their cover now and then."""
    arrays: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(View)}
    covers = []
    for view in views:
        mirrored = rng is not None and rng.random() < 0.5
        order = slice(None, None, -1 if mirrored else 1)
        for name in ("known", "front", "hidden_known", "hidden"):
            arrays[name].append(np.ascontiguousarray(getattr(view, name)[:, order]))
        arrays["planes"].append(mirrored_planes(view.planes) if mirrored else view.planes)
        rgb, hidden_rgb = (getattr(view, name)[:, order].astype(np.float32) / 255 for name in ("rgb", "hidden_rgb"))
        if rng is not None:
            white = view.alpha[:, order] if view.is_object else np.ones_like(view.alpha)
            rgb, hidden_rgb = recolored(rgb, hidden_rgb, white, rng)
        arrays["rgb"].append(rgb)
        arrays["hidden_rgb"].append(hidden_rgb)
        dropped = view.is_object and rng is not None and rng.random() < 0.3
        covers.append(np.ones_like(view.alpha) if dropped else view.alpha[:, order])
    stacked = {name: torch.from_numpy(np.stack(values)) for name, values in arrays.items() if values}
    rgb, hidden_rgb = (stacked[name].permute(0, 3, 1, 2).contiguous() for name in ("rgb", "hidden_rgb"))
    is_object = torch.tensor([view.is_object for view in views])
    return Batch(
        inputs=network_input(rgb, torch.from_numpy(np.stack(covers).astype(np.float32)), is_object),
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


def recolored(
    rgb: np.ndarray, hidden_rgb: np.ndarray, alpha: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures in other colours, the white around an object kept."""
    order = rng.permutation(3) if rng.random() < 0.15 else np.arange(3)
    gain = rng.uniform(0.8, 1.2, 3).astype(np.float32) * np.float32(rng.uniform(0.8, 1.1))
    gray = rng.random() < 0.07
    cover = np.where(alpha[..., None] < 0.999, alpha[..., None], 1.0).astype(np.float32)

    def changed(picture: np.ndarray, white: np.ndarray) -> np.ndarray:
        other = (picture[..., order] * gain).clip(0, 1)
        other = other.mean(-1, keepdims=True).repeat(3, -1) if gray else other
        return (other * white + picture * (1 - white)).astype(np.float32)

    return changed(rgb, cover), changed(hidden_rgb, np.ones_like(cover))
