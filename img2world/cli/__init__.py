"""The command line. Only this package prints, exits or knows Typer."""

import io

# Commands are listed in the order in which they are read here.
# isort: off
from img2world.cli.app import app
from img2world.cli import run as run
from img2world.cli import info as info
# isort: on


def main() -> None:
    """Run the command that was typed."""
    import sys
    import warnings

    for stream in (sys.stdout, sys.stderr):
        # A file name that is not UTF-8 is printed as the bytes that it is made of.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    warnings.formatwarning = lambda message, *_args, **_kwargs: f"img2world: {message}\n"
    app()
