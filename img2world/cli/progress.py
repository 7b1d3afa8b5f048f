"""Ways to tell a person or a program how a run goes on: bars for a terminal, lines for a log, JSON for a program."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from img2world.runs.folder import Event, Listener

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS, JSON_SECONDS = 10.0, 0.2
"""The least time between two reports of one stage."""


def quality_text(quality: Mapping[str, float]) -> str:
    """Figures for people: psnr 24.1, views 48."""
    return ", ".join(
        f"{name} {value:.0f}" if float(value).is_integer() else f"{name} {value:.4g}" for name, value in quality.items()
    )


def json_text(value: Mapping[str, object]) -> str:
    """One line of JSON; numbers that JSON lacks become null."""
    # ASCII: a terminal may have another encoding, and a file name need not be text in any.
    return json.dumps({key: _finite(item) for key, item in value.items()})


def json_lines(write: Callable[[str], object]) -> Listener:
    """Tells each event as one JSON object per line."""
    told: dict[str, float] = {}

    def listen(event: Event) -> None:
        line: dict[str, object] = {"event": event.kind, "stage": event.stage}
        if event.kind == "step":
            if event.done < event.total and 0 <= event.seconds - told.get(event.stage, -1.0) < JSON_SECONDS:
                return
            told[event.stage] = event.seconds
            line |= {"done": event.done, "total": event.total}
        if event.kind != "start":
            line |= {"seconds": round(event.seconds, 3), "quality": dict(event.quality)}
        write(json_text(line))

    return listen


def plain_lines(write: Callable[[str], object]) -> Listener:
    """Tells what happens in words, a step every ten seconds."""
    told: dict[str, float] = {}

    def listen(event: Event) -> None:
        if event.kind == "start":
            told[event.stage] = 0.0
            write(f"{event.stage} …")
        elif event.kind == "step" and event.seconds - told.get(event.stage, 0.0) >= LINE_SECONDS:
            told[event.stage] = event.seconds
            left = event.seconds / max(event.done, 1) * (event.total - event.done)
            text = f"{event.stage}  {event.done} of {event.total}, {left:.0f} s left  {quality_text(event.quality)}"
            write(text.rstrip())
        elif event.kind in ("done", "skip"):
            how = f"done in {event.seconds:.1f} s" if event.kind == "done" else "kept"
            write(f"{event.stage}  {how}  {quality_text(event.quality)}".rstrip())

    return listen


@contextmanager
def bars(console: "Console") -> Iterator[Listener]:
    """Draws one bar per stage: step, speed, time left and quality so far."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("[dim]{task.fields[quality]}"),
    ]
    with Progress(*columns, console=console) as progress:
        tasks = {}

        def listen(event: Event) -> None:
            if event.stage not in tasks:
                tasks[event.stage] = progress.add_task(event.stage, total=None, speed="", quality="")
            task, quality = tasks[event.stage], quality_text(event.quality)
            if event.kind == "step":
                speed = f"{event.done / event.seconds:.1f}/s" if event.seconds > 0 else ""
                progress.update(task, completed=event.done, total=event.total, speed=speed, quality=quality)
            elif event.kind in ("done", "skip"):
                total = progress.tasks[task].total or 1
                progress.update(task, completed=total, total=total, quality=quality)
                if event.kind == "skip":
                    progress.update(task, speed="kept")

        yield listen


def _finite(value: object) -> object:
    """The value with null for what is not a finite number."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
