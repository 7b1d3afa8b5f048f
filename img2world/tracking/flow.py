"""Point tracks by dense optical flow between neighbouring frames (DIS; Kroeger et al., ECCV 2016)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from img2world.tracking.tracks import Tracks, tracks_from_observations

WORK_SIDE = 400
"""Longest side in pixels at which flow is computed. Generated frames are distorted by more than finer flow resolves."""

MAX_ROUND_TRIP_ERROR = 1.0
"""Pixels. A point whose forward and backward flow disagree by more is lost."""

GRID_STEP = 7
"""Side in pixels of the grid cells, each of which holds at most one new point."""

TRACK_LENGTH_RANGE = (8, 16)
"""Frames after which a track ends, before its drift adds up: a third of the video, clipped to this range."""

TEXTURE_PERCENTILE = 40
"""Points whose corner response is below this percentile are too smooth to follow."""

BORDER = 2
"""Pixels at the edge of a frame in which no points are followed."""

InitialFlow = Callable[[int, int], Float32[np.ndarray, "H W 2"]]
"""A function that predicts the flow in pixels from one frame to another, to start the estimation from."""


@dataclass(frozen=True, kw_only=True)
class GrayFrames:
    """Frames prepared for optical flow: small, grey and of equal brightness and contrast."""

    images: UInt8[np.ndarray, "V H W"]
    masks: Bool[np.ndarray, "V H W"] | None
    """True on the object; None for a whole scene."""
    valid: Bool[np.ndarray, "V H W"] | None
    """False where the picture is to be ignored; None when all of it counts."""
    scale: float
    """Size of these images relative to the original frames, at most 1."""

    def __len__(self) -> int:
        return len(self.images)


def prepare_gray_frames(
    rgb: UInt8[np.ndarray, "V H W 3"],
    masks: Bool[np.ndarray, "V H W"] | None,
    valid: UInt8[np.ndarray, "V H W"] | None = None,
) -> GrayFrames:
    """Downscale frames, convert them to grey and give each the same mean and contrast within its object mask.

    No points are followed where `valid` is 0.
    """
    import cv2

    height, width = rgb.shape[1:3]
    scale = min(1.0, WORK_SIDE / max(height, width))
    size = (round(width * scale), round(height * scale))
    images, small_masks = [], []
    for i, picture in enumerate(rgb):
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        mask = None if masks is None else cv2.resize(masks[i].astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
        inside = gray if mask is None or not mask.any() else gray[mask]
        # Flow assumes constant brightness, which flicker changes in both mean and contrast.
        gray = 110 + 45 * (gray - inside.mean()) / (inside.std() + 1)
        if mask is not None:
            gray[~mask] = 110 + 45 * (255 - inside.mean()) / (inside.std() + 1)
            small_masks.append(mask)
        images.append(np.clip(gray, 0, 255).astype(np.uint8))
    small_valid = None
    if valid is not None:
        small_valid = np.stack([cv2.resize(each, size, interpolation=cv2.INTER_AREA) > 250 for each in valid])
    return GrayFrames(
        images=np.stack(images),
        masks=np.stack(small_masks) if small_masks else None,
        valid=small_valid,
        scale=scale,
    )


def compute_flow(
    before: UInt8[np.ndarray, "H W"],
    after: UInt8[np.ndarray, "H W"],
    initial: Float32[np.ndarray, "H W 2"] | None = None,
    *,
    finest_level: int = 0,
) -> Float32[np.ndarray, "H W 2"]:
    """Return the displacement of each pixel in pixels, estimated on images halved at least `finest_level` times."""
    import cv2

    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(finest_level)
    method.setGradientDescentIterations(12)
    start = None if initial is None else np.array(initial, np.float32)
    # DIS splits the image into one stripe per thread, and the stripes do not see across their borders.
    with single_threaded():
        return method.calc(before, after, start)  # pyright: ignore[reportArgumentType, reportCallIssue]


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run OpenCV with one thread, so that its results do not depend on the number of threads."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def track_by_flow(
    frames: GrayFrames, *, closed: bool, initial_flow: InitialFlow | None = None, finest_level: int = 0
) -> Tracks:
    """Follow corners from frame to frame, and from the last frame to the first where the camera path is closed.

    Positions are in pixels of the original frames.
    """
    total = len(frames)
    allowed = _trackable_pixels(frames)
    tracker = _PointTracker(max_length=min(int(np.clip(total // 3, *TRACK_LENGTH_RANGE)), total))
    flows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    # A closed path runs on past its start, so that tracks that begin near its end are followed across the seam.
    for step in range(total + tracker.max_length if closed else total):
        i, j = step % total, (step + 1) % total
        if step < total:
            tracker.add_points(i, _detect_corners(frames.images[i], allowed[i], tracker.xy))
        if len(tracker.xy) == 0 and step >= total:
            break
        if step == total - 1 and not closed:
            break
        if i not in flows:
            flows[i] = _flow_both_ways(frames, i, j, initial_flow, finest_level)
        forward, backward = flows[i]
        start = tracker.xy
        end = start + sample_bilinear(forward, start)
        returned = end + sample_bilinear(backward, end)
        consistent = np.linalg.norm(returned - start, axis=1) < MAX_ROUND_TRIP_ERROR
        tracker.move_points(j, end, consistent & _lookup_mask(end, allowed[j]))
    tracks = tracks_from_observations(*tracker.observations())
    return Tracks(frame_ids=tracks.frame_ids, xy=(tracks.xy + 0.5) / frames.scale, starts=tracks.starts)


def _flow_both_ways(
    frames: GrayFrames, i: int, j: int, initial_flow: InitialFlow | None, finest_level: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the flow from frame i to j and from j to i."""
    first, second = frames.images[i], frames.images[j]
    initial = (None, None) if initial_flow is None else (initial_flow(i, j), initial_flow(j, i))
    return (
        compute_flow(first, second, initial[0], finest_level=finest_level),
        compute_flow(second, first, initial[1], finest_level=finest_level),
    )


def sample_bilinear(field: Float32[np.ndarray, "H W C"], xy: Float64[np.ndarray, "P 2"]) -> Float64[np.ndarray, "P C"]:
    """Interpolate a field at positions; unlike elsewhere, the centre of its first pixel is (0, 0)."""
    height, width = field.shape[:2]
    x, y = np.clip(xy[:, 0], 0, width - 1.001), np.clip(xy[:, 1], 0, height - 1.001)
    column, row = x.astype(np.int64), y.astype(np.int64)
    right, down = (x - column)[:, None], (y - row)[:, None]
    above = field[row, column] * (1 - right) + field[row, np.minimum(column + 1, width - 1)] * right
    row = np.minimum(row + 1, height - 1)
    below = field[row, column] * (1 - right) + field[row, np.minimum(column + 1, width - 1)] * right
    return above * (1 - down) + below * down


def _trackable_pixels(frames: GrayFrames) -> Bool[np.ndarray, "V H W"]:
    """Return where points may be: away from the border, well inside the object, and not where frames are ignored."""
    import cv2

    allowed = np.ones(frames.images.shape, bool)
    if frames.masks is not None:
        allowed = np.stack([cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for mask in frames.masks])
    if frames.valid is not None:
        allowed &= frames.valid
    allowed[:, :BORDER] = allowed[:, -BORDER:] = allowed[:, :, :BORDER] = allowed[:, :, -BORDER:] = False
    return allowed


def _lookup_mask(xy: Float64[np.ndarray, "P 2"], mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "P"]:
    """Return the mask at the pixels nearest to positions, False outside the image."""
    column, row = np.round(xy).astype(np.int64).T
    height, width = mask.shape
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    within[within] = mask[row[within], column[within]]
    return within


def _detect_corners(
    image: UInt8[np.ndarray, "H W"], allowed: Bool[np.ndarray, "H W"], occupied: Float64[np.ndarray, "P 2"]
) -> Float64[np.ndarray, "N 2"]:
    """Return the strongest corner of each grid cell that is textured and holds no point yet."""
    import cv2

    if not allowed.any():
        return np.zeros((0, 2))
    response = cv2.cornerMinEigenVal(image, 5)
    threshold = max(float(np.percentile(response[allowed], TEXTURE_PERCENTILE)), 1e-5)
    response = np.where(allowed, response, 0)
    rows, columns = image.shape[0] // GRID_STEP, image.shape[1] // GRID_STEP
    cells = response[: rows * GRID_STEP, : columns * GRID_STEP].reshape(rows, GRID_STEP, columns, GRID_STEP)
    cells = cells.swapaxes(1, 2).reshape(rows, columns, -1)  # [rows, columns, GRID_STEP²]
    free = cells.max(-1) > threshold
    taken = np.floor(occupied / GRID_STEP).astype(np.int64)
    taken = taken[(taken[:, 0] < columns) & (taken[:, 1] < rows)]
    free[taken[:, 1], taken[:, 0]] = False
    row, column = np.nonzero(free)
    best = cells.argmax(-1)[row, column]
    return np.stack([column * GRID_STEP + best % GRID_STEP, row * GRID_STEP + best // GRID_STEP], -1).astype(np.float64)


class _PointTracker:
    """The points that are being followed, and a log of all observations."""

    def __init__(self, *, max_length: int) -> None:
        self.max_length = max_length
        self.xy = np.zeros((0, 2))
        self._track_ids = np.zeros(0, np.int64)
        self._ages = np.zeros(0, np.int64)
        self._num_tracks = 0
        self._log: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add_points(self, frame: int, xy: Float64[np.ndarray, "N 2"]) -> None:
        """Begin tracks in a frame."""
        track_ids = self._num_tracks + np.arange(len(xy))
        self._num_tracks += len(xy)
        self._track_ids = np.concatenate([self._track_ids, track_ids])
        self._ages = np.concatenate([self._ages, np.ones(len(xy), np.int64)])
        self.xy = np.concatenate([self.xy, xy])
        self._record(track_ids, frame, xy)

    def move_points(self, frame: int, xy: Float64[np.ndarray, "P 2"], found: Bool[np.ndarray, "P"]) -> None:
        """Move the points to their positions in the next frame; end the tracks that are lost or at full length."""
        self._record(self._track_ids[found], frame, xy[found])
        keep = found & (self._ages + 1 < self.max_length)
        self.xy, self._track_ids, self._ages = xy[keep], self._track_ids[keep], self._ages[keep] + 1

    def _record(self, track_ids: np.ndarray, frame: int, xy: np.ndarray) -> None:
        self._log.append((track_ids, np.full(len(track_ids), frame), xy))

    def observations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return track id [O], frame id [O] and position [O, 2] of all observations, in the order they were made."""
        track_ids, frame_ids, xy = zip(*self._log, strict=True)
        return np.concatenate(track_ids), np.concatenate(frame_ids), np.concatenate(xy)
