"""Splat files of other programs: one module per format, each with a reader and a writer."""
