"""Black bars around the picture."""

from collections.abc import Iterator

import numpy as np

from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip

MAX_BRIGHTNESS = 26
"""Grey levels up to which a bar counts as black."""

MAX_DEVIATION = 6.0
"""Largest standard deviation within a row of a bar, in grey levels, in any frame."""

MIN_BAR_FRACTION = 0.03
"""Fraction of the picture's side: narrower bars do no harm."""


def find_letterbox(clip: Clip) -> Iterator[VideoFinding]:
    """Yield findings of black bars that are there in all frames."""
    if clip.masks is not None:
        return
    gray = clip.gray.astype(np.float32)
    for name, rows in (("above and below", gray), ("left and right", gray.swapaxes(1, 2))):
        # One outlier in a hundred pixels may be a logo or compression noise.
        brightness = np.percentile(rows, 99, axis=2).max(0)
        deviation = rows.std(2).max(0)
        is_bar = (brightness <= MAX_BRIGHTNESS) & (deviation <= MAX_DEVIATION)
        first = int(np.argmin(is_bar)) if not is_bar.all() else 0
        last = int(np.argmin(is_bar[::-1])) if not is_bar.all() else 0
        if min(first, last) >= MIN_BAR_FRACTION * len(is_bar):
            fraction = (first + last) / len(is_bar)
            yield VideoFinding(
                kind="letterbox",
                severity="warning",
                frames=(),
                sure=0.95,
                found=f"black bars {name} cover {fraction:.0%} of the picture",
                advice=f"crop them: {first / len(is_bar):.1%} and {last / len(is_bar):.1%} of the side",
            )
