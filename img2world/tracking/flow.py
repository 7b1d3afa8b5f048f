"""Tracks by dense optical flow between neighbouring frames (DIS, Kroeger et al., ECCV 2016)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from img2world.tracking.tracks import Tracks, tracks_from_steps

WORK_SIDE = 400
"""Longest side in pixels at which flow is computed: generated frames bend by more than a finer one would tell."""

SAME_PLACE = 1.0
"""Pixels. A point that is followed there and back comes back so near, or it was lost."""

STEP = 7
"""Pixels between the points that are followed, about."""

LONGEST = (8, 16)
"""Frames after which a track ends, before its errors add up; another one begins there. A third of the video, between
these two."""

TEXTURED = 40
"""Percentile of the corner measure below which a point is too smooth to follow."""

RIM = 2
"""Pixels at the edge of a frame where nothing is followed."""

Guide = Callable[[int, int], Float32[np.ndarray, "H W 2"]]
"""A first guess of the flow from one frame to another."""


@dataclass(frozen=True, kw_only=True)
class Greys:
    """Frames as flow sees them: small, grey, equally bright."""

    pictures: UInt8[np.ndarray, "V H W"]
    masks: Bool[np.ndarray, "V H W"] | None
    """Where the object is."""
    counted: Bool[np.ndarray, "V H W"] | None
    """What is not to be ignored."""
    scale: float
    """Pixels of these for one of the frames."""

    def __len__(self) -> int:
        return len(self.pictures)


def prepare(
    rgb: UInt8[np.ndarray, "V H W 3"],
    masks: Bool[np.ndarray, "V H W"] | None,
    used: UInt8[np.ndarray, "V H W"] | None = None,
) -> Greys:
    """The frames made small and grey, each with the same mean and spread where its object is.

    Where `used` is 0 nothing is followed.
    """
    import cv2

    height, width = rgb.shape[1:3]
    scale = min(1.0, WORK_SIDE / max(height, width))
    size = (round(width * scale), round(height * scale))
    pictures, small_masks = [], []
    for i, picture in enumerate(rgb):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        mask = None if masks is None else cv2.resize(masks[i].astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
        inside = grey if mask is None or not mask.any() else grey[mask]
        # Flicker is a change of both; flow compares brightness as it is.
        grey = 110 + 45 * (grey - inside.mean()) / (inside.std() + 1)
        if mask is not None:
            grey[~mask] = 110 + 45 * (255 - inside.mean()) / (inside.std() + 1)
            small_masks.append(mask)
        pictures.append(np.clip(grey, 0, 255).astype(np.uint8))
    counted = None
    if used is not None:
        counted = np.stack([cv2.resize(each, size, interpolation=cv2.INTER_AREA) > 250 for each in used])
    return Greys(
        pictures=np.stack(pictures),
        masks=np.stack(small_masks) if small_masks else None,
        counted=counted,
        scale=scale,
    )


def dense_flow(
    before: UInt8[np.ndarray, "H W"],
    after: UInt8[np.ndarray, "H W"],
    guess: Float32[np.ndarray, "H W 2"] | None = None,
    *,
    finest: int = 0,
) -> Float32[np.ndarray, "H W 2"]:
    """How far each pixel moves, in pixels, looked at in pictures halved at least `finest` times."""
    import cv2

    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(finest)
    method.setGradientDescentIterations(12)
    start = None if guess is None else np.array(guess, np.float32)
    # It divides the picture among its threads, and does not look over the borders of the parts.
    with single_threaded():
        return method.calc(before, after, start)  # pyright: ignore[reportArgumentType, reportCallIssue]


@contextmanager
def single_threaded() -> Iterator[None]:
    """OpenCV with one thread, so that its results do not depend on how many there are."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def flow_tracks(greys: Greys, *, closed: bool, guide: Guide | None = None, finest: int = 0) -> Tracks:
    """Corners followed from frame to frame, and from the last to the first where the path is closed.

    Places are in pixels of the frames as they came, the centre of the first being (0.5, 0.5).
    """
    total = len(greys)
    allowed = _allowed(greys)
    longest = min(int(np.clip(total // 3, *LONGEST)), total)
    paths = _Paths(longest=longest)
    flows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for number in range(total + longest if closed else total):
        i, j = number % total, (number + 1) % total
        # A closed path goes on a little past its start, so that what began at its end is followed over the seam.
        if number < total:
            paths.begin(i, _corners(greys.pictures[i], allowed[i], paths.places))
        if len(paths.places) == 0 and number >= total:
            break
        if number == total - 1 and not closed:
            break
        if i not in flows:
            flows[i] = _both_ways(greys, i, j, guide, finest)
        there, back = flows[i]
        start = paths.places
        end = start + sample(there, start)
        returned = end + sample(back, end)
        good = (np.linalg.norm(returned - start, axis=1) < SAME_PLACE) & _inside(end, allowed[j])
        paths.go_on(j, end, good)
    tracks = tracks_from_steps(*paths.observations())
    return Tracks(frame=tracks.frame, place=(tracks.place + 0.5) / greys.scale, starts=tracks.starts)


def _both_ways(greys: Greys, i: int, j: int, guide: Guide | None, finest: int) -> tuple[np.ndarray, np.ndarray]:
    """Flow from frame i to j, and from j to i."""
    first, second = greys.pictures[i], greys.pictures[j]
    guesses = (None, None) if guide is None else (guide(i, j), guide(j, i))
    return (
        dense_flow(first, second, guesses[0], finest=finest),
        dense_flow(second, first, guesses[1], finest=finest),
    )


def sample(field: Float32[np.ndarray, "H W C"], places: Float64[np.ndarray, "P 2"]) -> Float64[np.ndarray, "P C"]:
    """Values of a field between its pixels, whose centres are whole numbers here."""
    height, width = field.shape[:2]
    x, y = np.clip(places[:, 0], 0, width - 1.001), np.clip(places[:, 1], 0, height - 1.001)
    column, row = x.astype(np.int64), y.astype(np.int64)
    right, down = (x - column)[:, None], (y - row)[:, None]
    above = field[row, column] * (1 - right) + field[row, np.minimum(column + 1, width - 1)] * right
    row = np.minimum(row + 1, height - 1)
    below = field[row, column] * (1 - right) + field[row, np.minimum(column + 1, width - 1)] * right
    return above * (1 - down) + below * down


def _allowed(greys: Greys) -> Bool[np.ndarray, "V H W"]:
    """Where points may be: in the frame, well inside of the object, and not in what is to be ignored."""
    import cv2

    allowed = np.ones(greys.pictures.shape, bool)
    if greys.masks is not None:
        allowed = np.stack([cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for mask in greys.masks])
    if greys.counted is not None:
        allowed &= greys.counted
    allowed[:, :RIM] = allowed[:, -RIM:] = allowed[:, :, :RIM] = allowed[:, :, -RIM:] = False
    return allowed


def _inside(places: Float64[np.ndarray, "P 2"], allowed: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "P"]:
    """Which places are allowed."""
    column, row = np.round(places).astype(np.int64).T
    height, width = allowed.shape
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    within[within] = allowed[row[within], column[within]]
    return within


def _corners(
    picture: UInt8[np.ndarray, "H W"], allowed: Bool[np.ndarray, "H W"], taken: Float64[np.ndarray, "P 2"]
) -> Float64[np.ndarray, "N 2"]:
    """The best corner of each cell of a grid that is textured and has no point yet."""
    import cv2

    if not allowed.any():
        return np.zeros((0, 2))
    measure = cv2.cornerMinEigenVal(picture, 5)
    least = max(float(np.percentile(measure[allowed], TEXTURED)), 1e-5)
    measure = np.where(allowed, measure, 0)
    rows, columns = picture.shape[0] // STEP, picture.shape[1] // STEP
    cells = measure[: rows * STEP, : columns * STEP].reshape(rows, STEP, columns, STEP).swapaxes(1, 2)
    cells = cells.reshape(rows, columns, -1)  # [rows, columns, STEP²]
    free = cells.max(-1) > least
    at = np.floor(taken / STEP).astype(np.int64)
    at = at[(at[:, 0] < columns) & (at[:, 1] < rows)]
    free[at[:, 1], at[:, 0]] = False
    row, column = np.nonzero(free)
    best = cells.argmax(-1)[row, column]
    return np.stack([column * STEP + best % STEP, row * STEP + best // STEP], -1).astype(np.float64)


class _Paths:
    """Points on their way through the frames."""

    def __init__(self, *, longest: int) -> None:
        self._longest = longest
        self.places = np.zeros((0, 2))
        self._owner = np.zeros(0, np.int64)
        self._age = np.zeros(0, np.int64)
        self._count = 0
        self._log: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def begin(self, frame: int, places: Float64[np.ndarray, "N 2"]) -> None:
        """Follow new points from this frame on."""
        owner = self._count + np.arange(len(places))
        self._count += len(places)
        self._owner = np.concatenate([self._owner, owner])
        self._age = np.concatenate([self._age, np.ones(len(places), np.int64)])
        self.places = np.concatenate([self.places, places])
        self._note(owner, frame, places)

    def go_on(self, frame: int, places: Float64[np.ndarray, "P 2"], good: Bool[np.ndarray, "P"]) -> None:
        """Move the points to their places in the next frame; those that are lost or old end here."""
        self._note(self._owner[good], frame, places[good])
        keep = good & (self._age + 1 < self._longest)
        self.places, self._owner, self._age = places[keep], self._owner[keep], self._age[keep] + 1

    def _note(self, owner: np.ndarray, frame: int, places: np.ndarray) -> None:
        """Remember observations."""
        self._log.append((owner, np.full(len(owner), frame), places))

    def observations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Owner, frame and place of all that was seen."""
        owner, frame, place = zip(*self._log, strict=True)
        return np.concatenate(owner), np.concatenate(frame), np.concatenate(place)
