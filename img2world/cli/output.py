"""Output and exit codes that all commands share."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from img2world.core.errors import Img2WorldError, OutOfMemoryError, RejectedError, is_out_of_memory, reason

if TYPE_CHECKING:
    from img2world.runs.folder import Listener


def say(text: str, *, err: bool = False) -> None:
    """Print a line to standard output, or to standard error where `err` is set."""
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def say_json(value: Mapping[str, Any]) -> None:
    """Print a mapping as one line of JSON."""
    from img2world.cli.progress import format_json

    say(format_json(value))


@contextmanager
def exit_codes(as_json: bool = False) -> Iterator[None]:
    """Print an Img2WorldError as one line and a hint and exit with code 1 or 3; exit with 130 on Ctrl-C."""
    try:
        with memory_errors():
            yield
    except Img2WorldError as error:
        if as_json:
            say_json({"event": "error", "message": str(error), "hint": error.hint})
        hint = error.hint.replace("\n", "\n  ")
        say(f"img2world: {error}\n  hint: {hint}", err=True)
        raise typer.Exit(3 if isinstance(error, RejectedError) else 1) from error
    except KeyboardInterrupt as error:
        say("img2world: interrupted; run the same command again to resume", err=True)
        # If Ctrl-C arrives while a library executes generated code, CPython remembers the interrupt as unhandled and
        # dies by the signal, whatever the exit code. Executing any text resets this.
        exec("")
        raise typer.Exit(130) from error


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise what Python and libraries raise when memory runs out, wherever that is, as an OutOfMemoryError."""
    try:
        yield
    except Img2WorldError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"memory ran out ({reason(error)[:150]})",
            hint="free memory or raise the limit (ulimit -v), or make a smaller world: --recipe fast, fewer photos",
        ) from error


@contextmanager
def listening(as_json: bool) -> "Iterator[Listener]":
    """Provide a listener that shows progress: bars in a terminal, plain lines elsewhere, JSON where asked for."""
    from img2world.cli.progress import bar_listener, json_listener, line_listener

    if as_json:
        yield json_listener(say)
    elif sys.stderr.isatty():
        from rich.console import Console

        with bar_listener(Console(stderr=True)) as listen:
            yield listen
    else:
        yield line_listener(lambda text: say(text, err=True))
