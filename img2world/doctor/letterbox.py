"""Bars around a picture."""

from collections.abc import Iterator

import numpy as np

from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip

DARK = 26
"""Grey levels up to which a bar may be bright."""

FLAT = 6.0
"""Grey levels by which a bar may vary in any frame, at most."""

LEAST_SHARE = 0.03
"""Of the picture's side: thinner bars do no harm."""


def letterbox_findings(clip: Clip) -> Iterator[VideoFinding]:
    """Dark bars that are there in all frames."""
    if clip.masks is not None:
        return
    grey = clip.grey.astype(np.float32)
    for name, rows in (("above and below", grey), ("left and right", grey.swapaxes(1, 2))):
        # One outlier in a hundred pixels may be a logo or noise of compression.
        bright = np.percentile(rows, 99, axis=2).max(0)
        varied = rows.std(2).max(0)
        bar = (bright <= DARK) & (varied <= FLAT)
        first = int(np.argmin(bar)) if not bar.all() else 0
        last = int(np.argmin(bar[::-1])) if not bar.all() else 0
        if min(first, last) >= LEAST_SHARE * len(bar):
            share = (first + last) / len(bar)
            yield VideoFinding(
                kind="letterbox",
                severity="warning",
                frames=(),
                sure=0.95,
                found=f"black bars {name} take {share:.0%} of the picture",
                advice=f"cut them off: {first / len(bar):.1%} and {last / len(bar):.1%} of the side",
            )
