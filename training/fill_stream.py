"""A stream of batches of anchor frames that can begin at any step: step n is the same, however it is reached."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from img2world.core.cameras import concatenate_cameras
from img2world.layered.anchor_frames import camera_numbers, continued_rgb, frame_maps, frame_noise
from img2world.layered.warp import Warper
from training.layered_frames import cache_of, warped_from
from training.sequences import Filming, Sequence
from training.stream import FRAMES
from training.workers import Worker

DRAWN = 4
"""Frames of a sequence that the network draws."""

CLEAN = (1, 1, 1, 2, 1, 3, 1, 2, 1, 4)
"""Frames that it is given, by the number of the sequence."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A sequence as the network sees it."""

    maps: Float32[np.ndarray, "F 12 H W"]
    cameras: Float32[np.ndarray, "F 13"]
    noise: Float32[np.ndarray, "K 3 H W"]
    truth: Float32[np.ndarray, "K 3 H W"]
    """-1 to 1; an object's colours go on beyond its outline, which the network is not asked to know."""
    weight: Float32[np.ndarray, "K H W"]
    """How much each pixel counts."""
    alpha: Float32[np.ndarray, "K H W"]
    """True cover."""
    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Examples of one shape go into one batch."""
        return self.maps.shape

    @property
    def is_object(self) -> bool:
        """Whether it shows an object."""
        return self.kind == "object"


@dataclass(frozen=True, kw_only=True)
class FillBatch:
    """Sequences for one step; see `Example`."""

    maps: Tensor
    cameras: Tensor
    noise: Tensor
    truth: Tensor
    weight: Tensor


def example_of(sequence: Sequence, clean: int, rng: np.random.Generator, *, guessed: bool, seed: int = 0) -> Example:
    """The first `clean` frames are given, the others are drawn from their caches."""
    given, wanted = sequence.frames[:clean], sequence.frames[clean:]
    caches = [cache_of(each, rng, is_object=sequence.is_object, guessed=guessed) for each in given]
    warpers = [Warper(cache) for cache in caches]
    first = given[0].camera
    own = [warper.draw(each.camera, supersample=1) for warper, each in zip(warpers, given, strict=True)]
    warped = [warped_from(warpers, each.camera) for each in wanted]
    maps = [
        frame_maps(each, frame.camera, first, is_object=sequence.is_object)
        for each, frame in zip([*own, *warped], sequence.frames, strict=True)
    ]
    truths, weights = [], []
    for frame, each in zip(wanted, warped, strict=True):
        truth = frame.linear_rgb.astype(np.float32) / 127.5 - 1
        if sequence.is_object:
            inner = frame.alpha > 0.95
            truth = continued_rgb(truth, inner if inner.any() else frame.alpha > 0.4)
        # Pixels that are seen stay as they are in use; the network learns of them what its neighbours need.
        weight = np.where((each.seen == 2) & (each.alpha > 0), 0.25, 1.0)
        truths.append(truth.transpose(2, 0, 1))
        weights.append(weight * (frame.alpha > 0.5))
    cameras = concatenate_cameras([frame.camera for frame in sequence.frames])
    noise = [frame_noise(each, frame.camera, seed=seed) for each, frame in zip(warped, wanted, strict=True)]
    return Example(
        maps=np.stack(maps),
        cameras=camera_numbers(cameras),
        noise=np.stack(noise),
        truth=np.stack(truths).astype(np.float32),
        weight=np.stack(weights).astype(np.float32),
        alpha=np.stack([frame.alpha for frame in wanted]),
        kind=sequence.kind,
    )


def made_example(filming: Filming, number: int) -> Example | None:
    """The example of a number; None where no sequence could be made."""
    width, height = FRAMES[number % len(FRAMES)]
    clean = CLEAN[number % len(CLEAN)]
    rng = np.random.default_rng((filming.studio.seed, 3, number))
    sequence = filming.sequence(number, count=clean + DRAWN, width=width, height=height)
    if sequence is None:
        return None
    guessed = clean == 1 and rng.random() < 0.7
    return example_of(sequence, clean, rng, guessed=guessed, seed=number)


class FillStream:
    """A window of sequences moves with the steps; a step draws its batch from the sequences in the window."""

    def __init__(
        self, filming: Filming, worker: Worker, *, batch: int = 4, window: int = 96, reuse: float = 4.0
    ) -> None:
        """Each sequence is drawn `reuse` times by the mean while it is in the window."""
        self.filming, self.worker, self.batch, self.window = filming, worker, batch, window
        self.made_per_step = batch / reuse
        self.examples: dict[int, Example | None] = {}

    def at(self, step: int) -> FillBatch:
        """The batch of a step."""
        first = int(step * self.made_per_step)
        wanted = [self.worker.own(number) for number in range(first, first + self.window)]
        self.examples = {number: each for number, each in self.examples.items() if number in wanted}
        for number in wanted:
            if number not in self.examples:
                self.examples[number] = made_example(self.filming, number)
        rng = np.random.default_rng((self.filming.studio.seed, 4, self.worker.own(step)))
        by_shape: dict[tuple[int, ...], list[Example]] = {}
        for number in wanted:
            if (each := self.examples[number]) is not None:
                by_shape.setdefault(each.shape, []).append(each)
        shapes = sorted(by_shape)
        share = np.array([len(by_shape[shape]) for shape in shapes], float)
        pool = by_shape[shapes[int(rng.choice(len(shapes), p=share / share.sum()))]]
        return fill_batch([pool[i] for i in rng.integers(len(pool), size=self.batch)], rng)


def fill_batch(examples: list[Example], rng: np.random.Generator | None = None) -> FillBatch:
    """Examples as tensors; with a generator, in other colours and with other noise."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("maps", "cameras", "noise", "truth", "weight")}
    for each in examples:
        maps, truth, noise = each.maps, each.truth, each.noise
        if rng is not None:
            maps, truth = recolored(maps, truth, rng)
            # Still one number for each place, but another one.
            noise = noise[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], (3, 1, 1)).astype(np.float32)
        columns["maps"].append(maps)
        columns["truth"].append(truth)
        columns["noise"].append(np.ascontiguousarray(noise))
        columns["cameras"].append(each.cameras)
        columns["weight"].append(each.weight)
    return FillBatch(**{name: torch.from_numpy(np.stack(values)) for name, values in columns.items()})


def recolored(maps: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same frames in other colours."""
    order = rng.permutation(3) if rng.random() < 0.3 else np.arange(3)
    gain = (rng.uniform(0.8, 1.15, 3) * rng.uniform(0.8, 1.1)).astype(np.float32)[:, None, None]

    def changed(rgb: np.ndarray) -> np.ndarray:
        return (((rgb[:, order] + 1) * gain).clip(0, 2) - 1).astype(np.float32)

    return np.concatenate([changed(maps[:, :3]), maps[:, 3:]], 1), changed(truth)
