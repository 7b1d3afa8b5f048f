"""Batches of scenes for the head that predicts depth from the features of U²-Net-p."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from img2world.depth.scene_network import MULTIPLE, STRIDE, SceneFeatures, scene_features
from img2world.depth.u2net import U2Net
from training.geo_batches import jitter_colors
from training.stream import Stream
from training.views import View, ViewGenerator
from training.workers import Worker

FRAME_SIZES = ((160, 160), (192, 128), (128, 192))
"""Widths and heights of the images."""

VIEWS_PER_SCENE = 6


@dataclass(frozen=True, kw_only=True)
class SceneExample:
    """The features of one image, and its log depth where it is known; everywhere else is sky."""

    features: SceneFeatures
    log_depth: Tensor
    known: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Return height and width of the depth."""
        return tuple(self.known.shape)


@dataclass(frozen=True, kw_only=True)
class SceneBatch:
    """Features and targets, stacked."""

    features: SceneFeatures
    log_depth: Tensor
    known: Tensor


def scene_examples(
    backbone: U2Net, views: Sequence[View], rng: np.random.Generator | None = None
) -> list[SceneExample]:
    """Return views of one size with their features; given a generator, with other colors and some mirrored.

    Features are computed once for each view, in bfloat16: they cost more than a step of the head.
    """
    pictures, log_depths, known = [], [], []
    for view in views:
        order = slice(None, None, -1 if rng is not None and rng.random() < 0.5 else 1)
        rgb = view.rgb[:, order].astype(np.float32) / 255
        pictures.append(rgb if rng is None else jitter_colors(rgb, rgb, view.alpha, rng)[0])
        log_depths.append(np.ascontiguousarray(view.front[::STRIDE, order][:, ::STRIDE]))
        known.append(np.ascontiguousarray(view.known[::STRIDE, order][:, ::STRIDE]))
    rgb = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = {name: values.half() for name, values in scene_features(backbone, rgb).items()}
    return [
        SceneExample(
            features={name: values[i] for name, values in features.items()},
            log_depth=torch.from_numpy(log_depths[i]).float(),
            known=torch.from_numpy(known[i]),
        )
        for i in range(len(views))
    ]


def collate(examples: Sequence[SceneExample], rng: np.random.Generator | None = None) -> SceneBatch:
    """Return examples of one size as a batch."""
    return SceneBatch(
        features={name: torch.stack([one.features[name] for one in examples]).float() for name in examples[0].features},
        log_depth=torch.stack([one.log_depth for one in examples]),
        known=torch.stack([one.known for one in examples]),
    )


def scene_stream(
    backbone: U2Net, generator: ViewGenerator, worker: Worker, *, batch: int, window: int, reuse: float
) -> Stream[SceneExample, SceneBatch]:
    """Return a stream of examples, each of which is drawn `reuse` times on average."""
    assert all(side % MULTIPLE == 0 for size in FRAME_SIZES for side in size)

    def make(number: int) -> list[SceneExample]:
        width, height = FRAME_SIZES[number % len(FRAME_SIZES)]
        views = generator.views(number, count=VIEWS_PER_SCENE, width=width, height=height)
        return scene_examples(backbone, views, np.random.default_rng((generator.seed, number, 1))) if views else []

    return Stream(
        make, collate, worker, seed=(generator.seed, 2), batch=batch, window=window,
        groups_per_step=batch / reuse / VIEWS_PER_SCENE,
    )  # fmt: skip
