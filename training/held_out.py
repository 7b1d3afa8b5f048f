"""Data that no network was trained on, and means over it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

SEED = 990_001
"""Seed of held-out data; never used for training."""

Item = TypeVar("Item")


def collect(make: Callable[[int], Item | None], count: int) -> tuple[Item, ...]:
    """Return the first `count` items that `make` returns for the numbers 0, 1, …; it may return None for some."""
    items: list[Item] = []
    number = 0
    while len(items) < count:
        if (item := make(number)) is not None:
            items.append(item)
        number += 1
    return tuple(items)


def mean_values(rows: Mapping[str, Sequence[float]], digits: int) -> dict[str, float]:
    """Return the rounded mean of each row's values, sorted by name."""
    return {name: round(float(np.mean(values)), digits) for name, values in sorted(rows.items())}


def psnr_from_error(error: float) -> float:
    """Return the PSNR in dB of a mean squared error of values 0 to 1, at most 60."""
    return float(-10 * np.log10(max(error, 1e-6)))
