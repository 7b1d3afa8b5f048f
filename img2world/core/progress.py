"""The callback through which a stage reports its progress."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called by a stage after each step. It may raise KeyboardInterrupt to stop the stage."""

    def __call__(self, done: int, total: int, **quality: float) -> None:
        """Report that `done` of `total` steps are finished, with figures of quality so far, such as psnr=24.1."""


def silent(done: int, total: int, **quality: float) -> None:
    """Ignore the progress."""
