"""Runs: sources, recipes, run folders, reports and batches."""
