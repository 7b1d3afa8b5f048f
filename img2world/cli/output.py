"""What every command prints, and how it ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from img2world.core.errors import Img2WorldError, RejectedError

if TYPE_CHECKING:
    from img2world.runs.folder import Listener


def say(text: str, *, err: bool = False) -> None:
    """Print a line."""
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def say_json(value: Any) -> None:
    """Print an object as one line of JSON."""
    from img2world.cli.progress import json_text

    say(json_text(value))


@contextmanager
def exit_codes(as_json: bool = False) -> Iterator[None]:
    """Turn errors that a user can act on into one line, a hint and exit code 1, and Ctrl-C into 130."""
    try:
        yield
    except Img2WorldError as error:
        if as_json:
            say_json({"event": "error", "message": str(error), "hint": error.hint})
        say(f"img2world: {error}\n  hint: {error.hint}", err=True)
        raise typer.Exit(3 if isinstance(error, RejectedError) else 1) from error
    except KeyboardInterrupt as error:
        say("img2world: interrupted; the same command goes on where it was", err=True)
        # Where Ctrl-C falls into code that a library made from text, CPython notes for good that nobody handled
        # it, and ends by the signal whatever we exit with. Running any text clears the note.
        exec("")
        raise typer.Exit(130) from error


@contextmanager
def listening(as_json: bool) -> "Iterator[Listener]":
    """Show progress as bars in a terminal, as lines elsewhere, as JSON where asked."""
    from img2world.cli.progress import bars, json_lines, plain_lines

    if as_json:
        yield json_lines(say)
    elif sys.stderr.isatty():
        from rich.console import Console

        with bars(Console(stderr=True)) as listen:
            yield listen
    else:
        yield plain_lines(lambda text: say(text, err=True))
