"""How many threads there should be."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

CONTAINER_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time a container may use, of so many (Linux kernel, "Control Group v2", CPU)."""


def usable_cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than a container's share of time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, container_cores(CONTAINER_LIMIT)))


@cache
def container_cores(limit: Path) -> int:
    """Whole cores that a container's share of time fills; very many without a limit."""
    try:
        share, period = limit.read_text().split()
        return math.ceil(int(share) / int(period))
    except (OSError, ValueError):  # There is no such file, or it says "max".
        return 1 << 16


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Torch on one thread: sums in another order would make other last bits, and other worlds from them.

    Its idle threads also spin for a while, on the cores that our own are to use.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
