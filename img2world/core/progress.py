"""How a stage tells how far it is, without knowing who listens."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called by a stage after each step. It may raise KeyboardInterrupt to stop the stage."""

    def __call__(self, done: int, total: int, **quality: float) -> None:
        """`done` of `total` steps are finished; `quality` is what is known so far, such as psnr=24.1."""


def silent(done: int, total: int, **quality: float) -> None:
    """Tells nobody."""
