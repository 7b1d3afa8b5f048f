"""The protocol through which a stage shows what it has so far, and asks whether it is to stop early."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from img2world.core.cameras import Cameras
from img2world.core.scene import Scene
from img2world.core.views import Views

Shown = Cameras | Views | Scene
"""What can be shown: cameras alone, cameras with points, or Gaussians with their cameras."""


@runtime_checkable
class Live(Protocol):
    """Someone who may look on while a world is made. Whatever is shown changes no result, unless the work is stopped.

    All functions return at once and may be called after each step.
    """

    @property
    def stopped_at(self) -> int | None:
        """Number of steps that were done when the work was stopped early; None as long as it was not."""
        ...

    def is_looking(self) -> bool:
        """Tell whether anyone waits to see more. Only then is it worth while to copy what there is."""
        ...

    def show(self, make: Callable[[], Shown]) -> None:
        """Show what `make` returns, which is called when someone looks, in another thread and perhaps never.

        It must not change any more what it refers to.
        """

    def stops(self, done: int) -> bool:
        """Tell whether to stop, keeping the best so far, now that `done` steps are done."""
        ...

    def decline(self, reason: str) -> None:
        """Say in one line why a stage that takes long shows nothing and cannot be stopped."""


class Unwatched:
    """Nobody looks on."""

    stopped_at = None

    def is_looking(self) -> bool:
        """Tell that nobody waits to see more."""
        return False

    def show(self, make: Callable[[], Shown]) -> None:
        """Show nothing."""

    def stops(self, done: int) -> bool:
        """Tell to go on."""
        return False

    def decline(self, reason: str) -> None:
        """Say nothing."""


UNWATCHED = Unwatched()
