"""The callback through which a stage reports its progress."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called by a stage after each step. It may raise KeyboardInterrupt to stop the stage."""

    def __call__(self, done: int, total: int, *, step: str = "", **quality: float) -> None:
        """Report that `done` of `total` are finished, with figures of quality so far, such as psnr=24.1.

        A stage whose work is of several kinds names the one at hand, such as "features", and counts each by itself.
        """


def silent(done: int, total: int, *, step: str = "", **quality: float) -> None:
    """Ignore the progress."""
