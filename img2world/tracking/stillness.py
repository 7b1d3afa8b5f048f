"""The part of a video that stands still in the picture: a camera that moves leaves hardly anything in its place."""

import numpy as np

from img2world.tracking.tracks import Tracks

STILL, MAX_PIXELS = 0.1, 4.0
"""Displacement of a point from the first to the last observation of its track below which it stands still: relative to
that which one point in ten exceeds, and in pixels of frames 256 pixels wide, as generated frames are distorted."""

MAX_STILL = 0.3
"""Fraction of points that may stand still before a camera that moves. Videos of rooms and streets have up to 0.2,
turning objects, whose axis stands still, 0.28; things that move before a camera that stands still have 0.33 to 0.86."""

MIN_TRACKS, MIN_LENGTH = 100, 6
"""Fewer points tell nothing, nor do those that are followed through fewer frames."""


def still_share(tracks: Tracks, width: int) -> float:
    """Return the fraction of points that stand still in frames `width` pixels wide; 0 where too few are followed."""
    tracks = tracks.select(tracks.lengths >= MIN_LENGTH)
    if len(tracks) < MIN_TRACKS:
        return 0.0
    last = tracks.starts + tracks.lengths - 1
    displacements = np.linalg.norm(tracks.xy[last] - tracks.xy[tracks.starts], axis=1)
    limit = min(STILL * float(np.percentile(displacements, 90)), MAX_PIXELS * max(width / 256, 1.0))
    return float((displacements < limit).mean())
