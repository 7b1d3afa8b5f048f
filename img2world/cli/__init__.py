"""The command line: the only package that prints, exits or imports Typer."""

import io

# The help lists commands in the order of these imports.
# isort: off
from img2world.cli.app import app
from img2world.cli import run as run
from img2world.cli import convert as convert
from img2world.cli import splats as splats
from img2world.cli import info as info
# isort: on


def main() -> None:
    """Run the command in `sys.argv`."""
    import sys
    import warnings

    for stream in (sys.stdout, sys.stderr):
        # A file name need not be UTF-8; its bytes are printed unchanged.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    warnings.formatwarning = lambda message, *_args, **_kwargs: f"img2world: {message}\n"
    app()
