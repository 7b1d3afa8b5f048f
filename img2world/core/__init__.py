"""The values that pass between stages, and the conventions they are written in."""
