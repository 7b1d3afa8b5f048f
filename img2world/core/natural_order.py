"""The order in which people number files: frame 2 before frame 10."""

import re


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts digits by value and the rest by letter, then by exact name."""
    parts = re.split(r"([0-9]+)", name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts] + [(2, 0, name)]
