"""What moves by itself: points that agree with their neighbours, but not with the cameras.

Between two frames nearly any motion of a part passes for parallax; over many frames it does not, unless the part
moves along the camera's own way.
"""

import numpy as np
from jaxtyping import Bool

from img2world.poses.triangulation import Rig, track_errors
from img2world.tracking.tracks import Tracks

TIMES_USUAL = 3.0
"""Times the median error of tracks, from which one does not fit."""

LEAST_PIXELS = 2.5
"""At 256 pixels of width: smaller errors are no motion."""

NEIGHBOURS = 8
ALIKE = 0.5
"""Share of the nearest tracks that must not fit either: a part moves as a whole, what is lost is lost alone."""

LEAST_MOVING = 0.08
"""Share of the tracks from which a video shows something that moves."""


def moving_tracks(tracks: Tracks, rig: Rig, width: int) -> Bool[np.ndarray, "T"]:
    """Tracks of parts that move by themselves."""
    found = track_errors(tracks, rig) * min(1.0, 256 / width)
    odd = found > max(TIMES_USUAL * float(np.median(found)), LEAST_PIXELS) if len(found) else np.zeros(0, bool)
    if odd.sum() < NEIGHBOURS:
        return np.zeros(len(tracks), bool)
    from scipy.spatial import KDTree

    owner = tracks.owner
    alike = np.zeros(len(tracks.frame))
    for frame in np.unique(tracks.frame):
        here = np.flatnonzero(tracks.frame == frame)
        if len(here) <= NEIGHBOURS:
            continue
        nearest = np.asarray(KDTree(tracks.place[here]).query(tracks.place[here], NEIGHBOURS + 1)[1])
        # The nearest is the point itself.
        alike[here] = odd[owner[here]][nearest[:, 1:]].mean(1)
    return odd & (np.add.reduceat(alike, tracks.starts) / tracks.lengths >= ALIKE)


def moving_frames(tracks: Tracks, moving: Bool[np.ndarray, "T"], num_frames: int) -> tuple[int, ...]:
    """Frames in which a part of what is followed moves."""
    part = tracks.select(moving).seen_in(num_frames) / np.maximum(tracks.seen_in(num_frames), 1)
    return tuple(np.flatnonzero(part >= LEAST_MOVING).tolist())
