"""Listeners that report the progress of a run: bars for a terminal, lines for a log, JSON for other programs."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from img2world.runs.folder import Event, Listener

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS, JSON_SECONDS = 10.0, 0.2
"""Minimum seconds between two reports of one stage."""

MIN_DONE = 0.1
"""Fraction of the steps that must be done before the time left is told in lines."""

FLAGS = ("watertight",)
"""Figures that are 1 for yes and 0 for no."""


def format_quality(quality: Mapping[str, float]) -> str:
    """Format figures for people, as in "psnr 24.1, views 48"."""
    return ", ".join(f"{name.replace('_', ' ')} {_format_figure(name, value)}" for name, value in quality.items())


def _format_figure(name: str, value: float) -> str:
    """Format one figure for people."""
    if name in FLAGS:
        return "yes" if value else "no"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:.0f}"
    return "<0.001" if 0 < value < 0.001 else f"{value:.3g}"


def format_json(value: Mapping[str, object]) -> str:
    """Format a mapping as one line of JSON, with null for numbers that are not finite."""
    # Escaped to ASCII: the terminal may use any encoding, and a file name need not be valid in any.
    return json.dumps({key: _finite(item) for key, item in value.items()})


def json_listener(write: Callable[[str], object]) -> Listener:
    """Return a listener that writes each event as one line of JSON."""
    reported: dict[str, float] = {}

    def listen(event: Event) -> None:
        line: dict[str, object] = {"event": event.kind, "stage": event.stage}
        if event.part:
            line["part"] = event.part
        if event.kind == "step":
            if event.done < event.total and 0 <= event.seconds - reported.get(event.stage, -1.0) < JSON_SECONDS:
                return
            reported[event.stage] = event.seconds
            line |= {"done": event.done, "total": event.total}
        if event.kind != "start":
            line |= {"seconds": round(event.seconds, 3), "quality": dict(event.quality)}
        write(format_json(line))

    return listen


def line_listener(write: Callable[[str], object]) -> Listener:
    """Return a listener that writes a line when a stage starts and ends, and every ten seconds in between."""
    reported: dict[tuple[str, str], float] = {}

    def listen(event: Event) -> None:
        place = (event.stage, event.part)
        if event.kind == "start":
            reported[place] = 0.0
            write(f"{event.stage} …")
        elif event.kind == "step" and event.seconds < reported.get(place, 0.0):
            # The same kind of work has begun once more.
            reported[place] = 0.0
        elif event.kind == "step" and event.seconds - reported.get(place, 0.0) >= LINE_SECONDS:
            reported[place] = event.seconds
            left = event.seconds / max(event.done, 1) * (event.total - event.done)
            # The first steps tell little, and after the last step of one pass others may follow.
            is_known = MIN_DONE * event.total <= event.done < event.total
            time_left = f", {left:.0f} s left" if is_known else ""
            text = f"{_title(event)}  {event.done} of {event.total}{time_left}  {format_quality(event.quality)}"
            write(text.rstrip())
        elif event.kind in ("done", "skip"):
            how = f"done in {event.seconds:.1f} s" if event.kind == "done" else "kept"
            write(f"{event.stage}  {how}  {format_quality(event.quality)}".rstrip())

    return listen


@contextmanager
def bar_listener(console: "Console") -> Iterator[Listener]:
    """Provide a listener that draws one bar per stage: step, speed, time left and quality so far."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = [
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        # On a narrow terminal the figures take several lines; nothing is cut off.
        TextColumn("[dim]{task.fields[quality]}", table_column=Column(overflow="fold", min_width=20)),
    ]
    with Progress(*columns, console=console) as progress:
        tasks = {}

        def listen(event: Event) -> None:
            if event.stage not in tasks:
                tasks[event.stage] = progress.add_task(event.stage, total=None, speed="", quality="")
            task, quality = tasks[event.stage], format_quality(event.quality)
            # After the last step of one pass, others may follow: the clock runs until the stage is done.
            progress.tasks[task].finished_time = None
            if event.kind == "step":
                speed = f"{event.done / event.seconds:.1f}/s" if event.seconds > 0 else ""
                title = _title(event)
                progress.update(
                    task, description=title, completed=event.done, total=event.total, speed=speed, quality=quality
                )
            elif event.kind in ("done", "skip"):
                total = progress.tasks[task].total or 1
                progress.update(task, description=event.stage, completed=total, total=total, quality=quality)
                if event.kind == "skip":
                    progress.update(task, speed="kept")

        yield listen


def _title(event: Event) -> str:
    """Return the name of a stage, or of a run of a batch with its current stage."""
    return f"{event.stage} {event.part}".rstrip()


def _finite(value: object) -> object:
    """Return the value with None in place of numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
