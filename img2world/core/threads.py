"""Number of threads to use."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

CONTAINER_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of CPU time that a container may use per period (Linux kernel, "Control Group v2", CPU)."""


def usable_cores() -> int:
    """Return the number of cores that this process may use, by its CPU affinity and the CPU limit of its container."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, container_cores(CONTAINER_LIMIT)))


@cache
def container_cores(limit: Path) -> int:
    """Return the CPU limit of a container in whole cores, rounded up; 65536 without a limit."""
    try:
        quota, period = limit.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # There is no such file, or it contains "max".
        return 1 << 16


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Limit torch to one thread, so that the order of its sums, and thus the last bits, are always the same.

    Idle threads of torch would also spin for a while on the cores that our own threads need.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
