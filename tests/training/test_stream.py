from dataclasses import dataclass

import numpy as np
import pytest

from training.stream import Stream
from training.workers import Worker

SINGLE = Worker()


@dataclass(frozen=True)
class Numbered:
    """An example of group `number`; groups alternate between two shapes."""

    number: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.number % 2,)


def stream(worker=SINGLE, made=None):
    def make(number):
        if made is not None:
            made.append(number)
        return [] if number % 5 == 0 else [Numbered(number), Numbered(number)]

    return Stream(
        make,
        lambda examples, rng: [example.number for example in examples],
        worker,
        seed=(7, 1),
        batch=6,
        window=8,
        groups_per_step=0.5,
    )


def test_step_is_the_same_however_it_is_reached():
    running = stream()
    batches = [running.at(step) for step in range(12)]
    assert stream().at(11) == batches[11]
    assert len({tuple(batch) for batch in batches}) == 12


def test_batches_have_one_shape_and_come_from_the_window():
    running = stream()
    for step in (0, 4, 9):
        batch = running.at(step)
        assert len(batch) == 6
        assert len({number % 2 for number in batch}) == 1
        assert all(int(0.5 * step) <= number < int(0.5 * step) + 8 for number in batch)


def test_each_group_is_made_once():
    made = []
    running = stream(made=made)
    for step in range(12):
        running.at(step)
    assert made == list(range(int(0.5 * 11) + 8))


def test_workers_share_no_groups():
    groups = [set(np.concatenate([stream(Worker(rank, 2)).at(step) for step in range(9)])) for rank in range(2)]
    assert not groups[0] & groups[1]


@pytest.mark.parametrize("rank", [0, 1])
def test_workers_draw_from_groups_of_their_own(rank):
    assert all(number % 2 == rank for number in stream(Worker(rank, 2)).at(3))
