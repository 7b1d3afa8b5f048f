"""Masks of what moves by itself in a video, from tracks that the cameras do not explain."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from img2world.core.views import Views
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.leave_out import MOVING_RATIO, examine_support
from img2world.poses.rigidity import MIN_MOVING_FRACTION, find_moving_frames, find_moving_tracks
from img2world.tracking.flow import prepare_gray_frames, track_by_flow
from img2world.tracking.tracks import Tracks

CELL = 4
"""Side in pixels of the cells that are masked as a whole."""

NUM_NEAREST = 5
"""Tracks around a cell, most of which must move."""

MAX_DISTANCE, MARGIN = 0.06, 0.02
"""Distance within which these must be, and width by which masks are dilated, in widths of the picture: what moves
uncovers what is beside it."""


MAX_PARTS = 3
"""Parts that may be left out one after another: what moves may be divided into several."""


@dataclass(frozen=True, kw_only=True)
class MovingParts:
    """Masks of what moves by itself in the views of a video, and how much of them that is."""

    masks: UInt8[np.ndarray, "V H W"]
    """0 where it is, or where the views are masked; else 255."""
    share: float
    """Fraction of the tracks on it."""
    views: tuple[int, ...]
    """Indices of the views with enough of them to tell of."""


def find_moving_parts(views: Views) -> MovingParts | None:
    """Return what moves by itself in the views of a video, beside what is masked in them; None where nothing does.

    This is what their cameras do not explain, and then what cameras do not explain that are found without it.
    """
    tracks = track_by_flow(prepare_gray_frames(views.rgb, None, views.mask), closed=False)
    cameras, width = CameraParameters.from_cameras(views.cameras), views.cameras.width
    moving = find_moving_tracks(tracks, cameras, width)
    for _ in range(MAX_PARTS):
        parts = examine_support(tracks.select(~moving), cameras, width, views.cameras.height, lenses=False).parts
        if not parts or parts[0].ratio < MOVING_RATIO:
            break
        cameras = parts[0].cameras
        moving[np.flatnonzero(~moving)[parts[0].tracks]] = True
        moving |= find_moving_tracks(tracks, cameras, width)
    if not moving.any():
        return None
    masks = np.where(cells_with_moving(tracks, moving, views.rgb.shape[:3]), np.uint8(0), np.uint8(255))
    share = float(moving.mean())
    return MovingParts(
        masks=masks if views.mask is None else np.minimum(masks, views.mask),
        share=share,
        views=find_moving_frames(tracks, moving, len(views)) if share >= MIN_MOVING_FRACTION else (),
    )


def cells_with_moving(
    tracks: Tracks, moving: Bool[np.ndarray, "T"], shape: tuple[int, int, int]
) -> Bool[np.ndarray, "V H W"]:
    """Return the pixels around which most tracks move, with a margin; `shape` is that of the frames."""
    import cv2
    from scipy.spatial import KDTree

    count, height, width = shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    row, column = np.mgrid[:rows, :columns].reshape(2, -1)
    centers = CELL * (np.stack([column, row], -1) + 0.5)
    radius = max(1, round(MARGIN * width / CELL))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    moves = moving[tracks.track_ids]
    masks = np.zeros(shape, bool)
    for i in range(count):
        here = np.flatnonzero(tracks.frame_ids == i)
        if len(here) < NUM_NEAREST or not moves[here].any():
            continue
        distances, nearest = KDTree(tracks.xy[here]).query(centers, NUM_NEAREST)
        votes = moves[here][nearest] & (distances < MAX_DISTANCE * width)
        small = (votes.mean(1) > 0.5).reshape(rows, columns).astype(np.uint8)
        grown = cv2.dilate(small, kernel)
        masks[i] = (
            cv2.resize(grown, (columns * CELL, rows * CELL), interpolation=cv2.INTER_NEAREST)[:height, :width] > 0
        )
    return masks
