"""Benchmarks against ground truth, for those who work on img2world: `python -m evaluation --help`."""
