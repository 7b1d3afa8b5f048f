"""Run the command line: `python -m evaluation`."""

from evaluation.cli import app

app()
