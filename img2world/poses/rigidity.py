"""Independently moving parts: points that agree with their neighbours but not with the cameras.

Between two frames nearly any motion of a part can be explained as parallax; over many frames it cannot, unless the
part moves parallel to the camera.
"""

import numpy as np
from jaxtyping import Bool

from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.triangulation import mean_track_errors
from img2world.tracking.tracks import Tracks

MEDIAN_FACTOR = 2.0
"""Tracks move by themselves when the median error of those around them exceeds that of all by this factor …"""

MIN_ERROR = 1.5
"""… and this many pixels in frames 256 pixels wide: smaller errors are no motion."""

NUM_NEIGHBORS = 12
"""Tracks around one: a part moves as a whole, while lost points are isolated."""

MIN_MOVING_FRACTION = 0.08
"""Fraction of the tracks from which something counts as moving."""


def find_moving_tracks(tracks: Tracks, cameras: CameraParameters, width: int) -> Bool[np.ndarray, "T"]:
    """Return which tracks are on parts that move independently; `width` is that of the frames in pixels."""
    errors = mean_track_errors(tracks, cameras) * min(1.0, 256 / width)
    if not len(errors):
        return np.zeros(0, bool)
    limit = max(MEDIAN_FACTOR * float(np.median(errors)), MIN_ERROR)
    if (errors > limit).sum() < NUM_NEIGHBORS:
        return np.zeros(len(tracks), bool)
    from scipy.spatial import KDTree

    track_ids = tracks.track_ids
    around = np.zeros(len(tracks.frame_ids))
    for frame in np.unique(tracks.frame_ids):
        here = np.flatnonzero(tracks.frame_ids == frame)
        if len(here) <= NUM_NEIGHBORS:
            continue
        nearest = np.asarray(KDTree(tracks.xy[here]).query(tracks.xy[here], NUM_NEIGHBORS + 1)[1])
        # The nearest is the point itself.
        around[here] = np.median(errors[track_ids[here]][nearest[:, 1:]], axis=1)
    return np.add.reduceat(around, tracks.starts) / tracks.lengths > limit


def find_moving_frames(tracks: Tracks, moving: Bool[np.ndarray, "T"], num_frames: int) -> tuple[int, ...]:
    """Return the frames in which at least `MIN_MOVING_FRACTION` of the observations are on moving tracks."""
    fraction = tracks.select(moving).count_per_frame(num_frames) / np.maximum(tracks.count_per_frame(num_frames), 1)
    return tuple(np.flatnonzero(fraction >= MIN_MOVING_FRACTION).tolist())
