"""Streams of training batches that can start at any step: step n is the same, however it is reached."""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from training.workers import Worker

FRAME_SIZES = ((96, 96), (96, 96), (112, 80), (80, 112))
"""Widths and heights of the images, all about as large as the networks' working size."""


class Example(Protocol):
    """Something to learn from. Examples of the same shape go into one batch."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the example's arrays."""
        ...


ExampleType = TypeVar("ExampleType", bound=Example)
Batch = TypeVar("Batch")


class Stream(Generic[ExampleType, Batch]):
    """Draws each batch from a window of numbered groups of examples that advances with the steps."""

    def __init__(
        self,
        make: Callable[[int], Sequence[ExampleType]],
        collate: Callable[[list[ExampleType], np.random.Generator], Batch],
        worker: Worker,
        *,
        seed: tuple[int, int],
        batch: int,
        window: int,
        groups_per_step: float,
    ) -> None:
        """`make` returns the group of a number, always the same one; `window` is the number of groups kept."""
        self.make, self.collate, self.worker = make, collate, worker
        self.seed, self.batch, self.window, self.groups_per_step = seed, batch, window, groups_per_step
        self.groups: dict[int, Sequence[ExampleType]] = {}

    def at(self, step: int) -> Batch:
        """Return the batch of a step."""
        first = int(step * self.groups_per_step)
        numbers = [self.worker.own_index(number) for number in range(first, first + self.window)]
        self.groups = {
            number: self.groups[number] if number in self.groups else self.make(number) for number in numbers
        }
        rng = np.random.default_rng((*self.seed, self.worker.own_index(step)))
        by_shape: dict[tuple[int, ...], list[ExampleType]] = {}
        for group in self.groups.values():
            for example in group:
                by_shape.setdefault(example.shape, []).append(example)
        shapes = sorted(by_shape)
        counts = np.array([len(by_shape[shape]) for shape in shapes], float)
        examples = by_shape[shapes[int(rng.choice(len(shapes), p=counts / counts.sum()))]]
        return self.collate([examples[i] for i in rng.integers(len(examples), size=self.batch)], rng)
