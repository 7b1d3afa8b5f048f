"""`python -m evaluation`."""

from evaluation.cli import evaluation

evaluation()
