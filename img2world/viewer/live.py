"""What the page of a run shows, between the run that fills it and the threads of the server that read it."""

import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock
from typing import Any

from img2world.core.errors import Img2WorldError
from img2world.core.live import Shown
from img2world.viewer.live_scene import message

SECONDS_BETWEEN, MAX_COST = 2.0, 0.05
"""Fewest seconds between two scenes of a training, and fraction of its time that may be spent on copying them."""

SPEED_SECONDS = 20.0
"""Time whose speed tells how much time is left: steps become slower as the Gaussians become more."""

MIN_SPEED_SECONDS = 1.0
"""Shorter times do not tell the speed."""

FAREWELL_SECONDS = 3.0
"""Longest time for which the end of a run waits until browsers have what it shows."""


class LivePage:
    """The state of a run, and the latest that it shows. See `core.live.Live` for the functions that stages call.

    Nothing is copied or packed unless a browser waits for it.
    """

    def __init__(self, title: str) -> None:
        self.stopped_at: int | None = None
        self._state: dict[str, Any] = {"state": "running", "title": title, "stop": ""}
        self._version = 1
        self._make: Callable[[], Shown] | None = None
        self._revision, self._packed = 0, (0, b"")
        self._waiting, self._streams = 0, 0
        self._looked, self._next_look = 0.0, 0.0
        self._asked = False
        self._steps: deque[tuple[float, int]] = deque()
        self._changed, self._packing = Condition(), Lock()

    # What stages call.

    def is_looking(self) -> bool:
        """Tell whether a browser waits for the next scene, and it is time for one."""
        self._looked = time.monotonic()
        return self._waiting > 0 and self._looked >= self._next_look

    def show(self, make: Callable[[], Shown]) -> None:
        """Show what `make` returns, in place of what was shown before."""
        now = time.monotonic()
        cost = now - self._looked if self._looked else 0.0
        self._next_look = now + max(SECONDS_BETWEEN, cost / MAX_COST)
        with self._changed:
            self._make = make
            self._revision += 1
            self._changed.notify_all()

    def stops(self, done: int) -> bool:
        """Tell whether the button on the page was pressed, which is there from the first call on."""
        if self._state["stop"] == "":
            self.report(stop="possible")
        if self._asked and self.stopped_at is None:
            self.stopped_at = done
            self.report(stop="done", stopped_at=done)
        return self.stopped_at is not None

    def decline(self, reason: str) -> None:
        """Say in one line, on the page and in the terminal, why nothing is shown for a while."""
        warnings.warn(reason, stacklevel=2)
        self.report(note=reason)

    # What the command calls.

    def report(self, **changes: object) -> None:
        """Change values of the state that browsers are sent."""
        with self._changed:
            self._state |= changes
            self._version += 1
            self._changed.notify_all()

    def begin_stage(self, stage: str, label: str = "") -> None:
        """Show that a stage has begun, and in words what it does."""
        self._steps.clear()
        no_figures = dict.fromkeys(("done", "total", "left", "psnr", "gaussians"))
        self.report(stage=stage, label=label or stage, part="", stop="", note="", **no_figures)

    def report_steps(self, part: str, done: int, total: int, **figures: float) -> None:
        """Show how far a stage is, with the time left at the present speed."""
        if part != self._state.get("part") or (self._steps and done < self._steps[-1][1]):
            self._steps.clear()
        self._steps.append((time.monotonic(), done))
        while self._steps[-1][0] - self._steps[0][0] > SPEED_SECONDS and len(self._steps) > 2:
            self._steps.popleft()
        known = {name: value for name, value in figures.items() if math.isfinite(value)}
        self.report(part=part, done=done, total=total, left=self._seconds_left(total), **known)

    def end(self, state: str, **changes: object) -> None:
        """Show the last state, and wait for a moment until the browsers that look on have it and the last scene."""
        self.report(state=state, stop="", revision=self._revision, **changes)
        with self._changed:
            self._changed.wait_for(lambda: self._streams == 0, FAREWELL_SECONDS)

    # What the server calls.

    def ask_to_stop(self) -> bool:
        """Ask the training to end early; returns False if there is none that could."""
        if self._state["stop"] == "possible":
            self._asked = True
            self.report(stop="asked")
        return self._asked

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a browser that follows the state."""
        self._count(streams=1)
        try:
            yield
        finally:
            self._count(streams=-1)

    def wait_for_state(self, version: int, seconds: float) -> tuple[int, dict[str, Any]]:
        """Return the state and its version, once it is another than the given one or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, seconds)
            return self._version, dict(self._state)

    def wait_for_scene(self, revision: int, seconds: float) -> tuple[int, bytes] | None:
        """Return what is shown and its revision, once it is newer than the given one; None when the time is over."""
        with self._changed:
            self._waiting += 1
            is_there = self._changed.wait_for(lambda: self._revision > revision, seconds)
            self._waiting -= 1
        return self._latest() if is_there else None

    def _latest(self) -> tuple[int, bytes] | None:
        """Return the latest revision and its message, which is made once for all browsers."""
        with self._packing:
            with self._changed:
                revision, make = self._revision, self._make
            if self._packed[0] != revision:
                assert make is not None  # There is one with the first revision.
                try:
                    self._packed = revision, message(make())
                except Img2WorldError:
                    # The run reads the same file, and tells what is wrong with it.
                    return None
            return self._packed

    def _count(self, *, streams: int) -> None:
        """Change the number of browsers that follow the state."""
        with self._changed:
            self._streams += streams
            self._changed.notify_all()

    def _seconds_left(self, total: int) -> float | None:
        """Return the time that the steps left take at the present speed; None if that is not known yet."""
        (first, before), (now, done) = self._steps[0], self._steps[-1]
        if now - first < MIN_SPEED_SECONDS or done <= before:
            return None
        return round((total - done) * (now - first) / (done - before), 1)
