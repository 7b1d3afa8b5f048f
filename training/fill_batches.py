"""Examples and batches of anchor frames for nano-fill."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from img2world.core.cameras import concatenate_cameras
from img2world.layered.anchor_frames import camera_features, conditioning_maps, frame_noise
from img2world.layered.inpaint import extend_colors
from img2world.layered.warp import Warper
from training.layered_frames import build_layers, merge_warps
from training.sequences import FrameSequence, SequenceGenerator
from training.stream import FRAME_SIZES, Stream
from training.workers import Worker

GENERATED_FRAMES = 4
"""Frames of a sequence that the network generates."""

GIVEN_FRAMES = (1, 1, 1, 2, 1, 3, 1, 2, 1, 4)
"""Clean frames that the network is given, by the number of the sequence modulo 10."""


@dataclass(frozen=True, kw_only=True)
class FillExample:
    """A sequence as the network sees it: given frames first, then those to generate (K)."""

    maps: Float32[np.ndarray, "F 12 H W"]
    cameras: Float32[np.ndarray, "F 13"]
    noise: Float32[np.ndarray, "K 3 H W"]
    truth: Float32[np.ndarray, "K 3 H W"]
    """-1 to 1. An object's colours continue beyond its outline, which the network need not know."""
    weight: Float32[np.ndarray, "K H W"]
    """Weight of each pixel in the loss."""
    alpha: Float32[np.ndarray, "K H W"]
    """True coverage."""
    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the maps."""
        return self.maps.shape

    @property
    def is_object(self) -> bool:
        """Return True for an object, False for a scene."""
        return self.kind == "object"

    @property
    def num_given(self) -> int:
        """Return the number of given frames."""
        return len(self.maps) - len(self.truth)


@dataclass(frozen=True, kw_only=True)
class FillBatch:
    """Examples as tensors; see `FillExample`."""

    maps: Tensor
    cameras: Tensor
    noise: Tensor
    truth: Tensor
    weight: Tensor


def fill_stream(
    generator: SequenceGenerator, worker: Worker, *, batch: int, window: int, reuse: float
) -> Stream[FillExample, FillBatch]:
    """Return a stream of sequences, each of which is drawn `reuse` times on average."""

    def make(number: int) -> list[FillExample]:
        example = example_at(generator, number)
        return [] if example is None else [example]

    return Stream(
        make, make_fill_batch, worker, seed=(generator.seed, 4), batch=batch, window=window,
        groups_per_step=batch / reuse,
    )  # fmt: skip


def example_at(generator: SequenceGenerator, number: int) -> FillExample | None:
    """Return the example of a number; None where the generator has no sequence of that number."""
    width, height = FRAME_SIZES[number % len(FRAME_SIZES)]
    num_given = GIVEN_FRAMES[number % len(GIVEN_FRAMES)]
    rng = np.random.default_rng((generator.seed, 3, number))
    sequence = generator.sequence(number, count=num_given + GENERATED_FRAMES, width=width, height=height)
    if sequence is None:
        return None
    predicted = num_given == 1 and rng.random() < 0.7
    return make_example(sequence, num_given, rng, predicted=predicted, seed=number)


def make_example(
    sequence: FrameSequence, num_given: int, rng: np.random.Generator, *, predicted: bool, seed: int = 0
) -> FillExample:
    """Return a sequence whose first `num_given` frames are given; the others are warped from their layers."""
    given, generated = sequence.frames[:num_given], sequence.frames[num_given:]
    is_object = sequence.is_object
    warpers = [Warper(build_layers(frame, rng, is_object=is_object, predicted=predicted)) for frame in given]
    first = given[0].camera
    in_place = [warper.draw(frame.camera, supersample=1) for warper, frame in zip(warpers, given, strict=True)]
    warped = [merge_warps(warpers, frame.camera) for frame in generated]
    maps = [
        conditioning_maps(warp, frame.camera, first, is_object=is_object)
        for warp, frame in zip([*in_place, *warped], sequence.frames, strict=True)
    ]
    truths, weights = [], []
    for frame, warp in zip(generated, warped, strict=True):
        truth = frame.clean_rgb.astype(np.float32) / 127.5 - 1
        if is_object:
            inner = frame.alpha > 0.95
            truth = extend_colors(truth, inner if inner.any() else frame.alpha > 0.4)
        # Seen pixels are kept in use; the network only needs to predict them as well as their neighbours require.
        weight = np.where((warp.seen == 2) & (warp.alpha > 0), 0.25, 1.0)
        truths.append(truth.transpose(2, 0, 1))
        weights.append(weight * (frame.alpha > 0.5))
    cameras = concatenate_cameras([frame.camera for frame in sequence.frames])
    noise = [frame_noise(warp, frame.camera, seed=seed) for warp, frame in zip(warped, generated, strict=True)]
    return FillExample(
        maps=np.stack(maps),
        cameras=camera_features(cameras),
        noise=np.stack(noise),
        truth=np.stack(truths).astype(np.float32),
        weight=np.stack(weights).astype(np.float32),
        alpha=np.stack([frame.alpha for frame in generated]),
        kind=sequence.kind,
    )


def make_fill_batch(examples: Sequence[FillExample], rng: np.random.Generator | None = None) -> FillBatch:
    """Return examples as tensors; given a generator, with other colours and other noise."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("maps", "cameras", "noise", "truth", "weight")}
    for example in examples:
        maps, truth, noise = example.maps, example.truth, example.noise
        if rng is not None:
            maps, truth = jitter_colors(maps, truth, rng)
            # Surface points keep the same noise in all frames.
            noise = noise[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], (3, 1, 1)).astype(np.float32)
        columns["maps"].append(maps)
        columns["truth"].append(truth)
        columns["noise"].append(np.ascontiguousarray(noise))
        columns["cameras"].append(example.cameras)
        columns["weight"].append(example.weight)
    return FillBatch(**{name: torch.from_numpy(np.stack(values)) for name, values in columns.items()})


def jitter_colors(maps: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return maps and truth with the same random change of colours."""
    order = rng.permutation(3) if rng.random() < 0.3 else np.arange(3)
    gain = (rng.uniform(0.8, 1.15, 3) * rng.uniform(0.8, 1.1)).astype(np.float32)[:, None, None]

    def jitter(rgb: np.ndarray) -> np.ndarray:
        return (((rgb[:, order] + 1) * gain).clip(0, 2) - 1).astype(np.float32)

    return np.concatenate([jitter(maps[:, :3]), maps[:, 3:]], 1), jitter(truth)
