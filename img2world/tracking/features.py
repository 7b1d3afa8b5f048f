"""Tracks by features that look alike: for photos taken far apart, and over gaps in a video that flow cannot cross."""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from img2world.tracking.flow import single_threaded
from img2world.tracking.tracks import Tracks, tracks_from_steps

if TYPE_CHECKING:
    from cv2 import KeyPoint

Kind = Literal["blobs", "corners"]
"""What is looked for: SIFT's own blobs, or corners, which no solver uses and so can judge what blobs have found."""

WORK_SIDE = 640
"""Longest side in pixels to which smaller frames are enlarged: they have few features else."""

MOST_FEATURES = 3000
"""In a photo; a frame of a video has fewer, since there are many frames, and they are alike."""

MOST_IN_VIDEO = 1000
RATIO = 0.8
"""Lowe's test: a match counts when the second best is so much worse."""

LEVELS = 512
"""Length of a descriptor, of whole numbers."""

EPIPOLAR_PIXELS = 2.0
"""From the epipolar line, in pixels of the enlarged frames: generated frames bend by about as much."""

LEAST_MATCHES = 16
"""Of two frames, after the test of their epipolar lines; fewer may agree by chance."""

CORNER_SIZES = (1.0, 0.63, 0.4)
"""Corners are looked for in the frames made smaller by these, since one that is near is far in another photo."""

CORNER_PATCH = 9.0
"""Pixels: size of a corner as SIFT counts it."""

STEPS, KEY_STEP = (4, 8), 6
"""Frames of a video are compared with those so many after them, and every so many-th one with all others of these."""


@dataclass(frozen=True, kw_only=True)
class _Features:
    """Of one frame."""

    places: Float64[np.ndarray, "N 2"]
    """Pixels of the frame as it came, the centre of the first being (0.5, 0.5)."""
    descriptors: Float32[np.ndarray, "N 128"]
    """Whole numbers."""

    def __len__(self) -> int:
        return len(self.places)


def feature_tracks(
    rgb: UInt8[np.ndarray, "V H W 3"],
    masks: Bool[np.ndarray, "V H W"] | None,
    pairs: list[tuple[int, int]],
    *,
    kind: Kind = "blobs",
    most: int = MOST_FEATURES,
) -> Tracks:
    """Features matched between pairs of frames and drawn together to tracks, without those that contradict themselves.

    Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    """
    with single_threaded():
        found = [_features(picture, None if masks is None else masks[i], kind, most) for i, picture in enumerate(rgb)]
        scale = _scale(rgb)
        matches = {(i, j): _matches(found[i], found[j], EPIPOLAR_PIXELS / scale) for i, j in pairs}
    return _joined(found, matches)


def common_points(one: UInt8[np.ndarray, "H W 3"], two: UInt8[np.ndarray, "H W 3"]) -> int:
    """How many blobs of one picture are seen in another of the same scene; 0 where so few agree that it is chance."""
    with single_threaded():
        found = [_features(picture, None, "blobs", MOST_IN_VIDEO) for picture in (one, two)]
        return len(_matches(found[0], found[1], EPIPOLAR_PIXELS / _scale(one[None])))


def video_pairs(num_frames: int) -> list[tuple[int, int]]:
    """Which frames of a video are compared; those between are joined by flow."""
    return [
        (i, j)
        for i, j in combinations(range(num_frames), 2)
        if j - i in STEPS or (i % KEY_STEP == 0 and j % KEY_STEP == 0)
    ]


def _scale(rgb: np.ndarray) -> float:
    """By how much frames are enlarged."""
    return max(1.0, WORK_SIDE / max(rgb.shape[1:3]))


def _features(
    rgb: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"] | None, kind: Kind, most: int
) -> _Features:
    """Corners and blobs of a frame that is enlarged when it is small."""
    import cv2

    scale = _scale(rgb[None])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    grey = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_CUBIC)
    area = None if mask is None else cv2.resize(mask.astype(np.uint8) * 255, size)
    sift = cv2.SIFT.create(most, contrastThreshold=0.01)
    points = sift.detect(grey, area) if kind == "blobs" else _corners(grey, area, most)
    points, descriptors = sift.compute(grey, points)
    places = np.array([point.pt for point in points], np.float64).reshape(-1, 2)
    if descriptors is None:
        descriptors = np.zeros((0, 128), np.float32)
    # Arandjelović and Zisserman, "Three things everyone should know", CVPR 2012: the root compares better.
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return _Features(places=(places + 0.5) / scale, descriptors=np.round(LEVELS * root).astype(np.float32))


def _corners(grey: UInt8[np.ndarray, "H W"], area: np.ndarray | None, most: int) -> "list[KeyPoint]":
    """Corners of several sizes, upright as photos are."""
    import cv2

    points = []
    for size in CORNER_SIZES:
        small = cv2.resize(grey, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
        where = None if area is None else cv2.resize(area, (small.shape[1], small.shape[0]))
        found = cv2.goodFeaturesToTrack(small, int(most * size**2), 0.002, 4, mask=where)
        for x, y in np.zeros((0, 2)) if found is None else found[:, 0].tolist():
            # The middle of the first pixel is (0, 0) for OpenCV in either size.
            points.append(cv2.KeyPoint((x + 0.5) / size - 0.5, (y + 0.5) / size - 0.5, CORNER_PATCH / size, 0.0))
    return points


def _matches(one: _Features, two: _Features, pixels: float) -> np.ndarray:
    """Numbers of features [M, 2] that choose each other, clearly, and agree on epipolar lines."""
    import cv2

    none = np.zeros((0, 2), np.int64)
    if min(len(one), len(two)) < LEAST_MATCHES:
        return none
    # Products of whole numbers this small are exact, so no order of summing changes them.
    alike = one.descriptors @ two.descriptors.T  # [N, M]
    apart = (one.descriptors**2).sum(1)[:, None] + (two.descriptors**2).sum(1) - 2 * alike
    there, back = _clear(apart), _clear(apart.T)
    first = np.flatnonzero(there >= 0)
    first = first[back[there[first]] == first]
    both = np.stack([first, there[first]], -1)
    if len(both) < LEAST_MATCHES:
        return none
    start, end = one.places[both[:, 0]], two.places[both[:, 1]]
    cv2.setRNGSeed(0)
    _, agree = cv2.findFundamentalMat(start, end, cv2.FM_RANSAC, pixels, 0.999, 2000)
    if agree is None or agree.sum() < LEAST_MATCHES:
        return none
    return both[agree[:, 0] > 0]


def _clear(apart: Float32[np.ndarray, "N M"]) -> Int64[np.ndarray, "N"]:
    """For each row the number of its least squared distance, or -1 where the second is about as small."""
    best = apart.argmin(1)
    two = np.partition(apart, 1, axis=1)[:, :2]
    return np.where(two[:, 0] < RATIO**2 * two[:, 1], best, -1)


def _joined(found: list[_Features], matches: dict[tuple[int, int], np.ndarray]) -> Tracks:
    """Features that are connected by matches, as one track each."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first = np.cumsum([0] + [len(features) for features in found])
    edges = [np.stack([first[i] + pair[:, 0], first[j] + pair[:, 1]]) for (i, j), pair in matches.items() if len(pair)]
    if not edges:
        return Tracks(frame=np.zeros(0, np.int64), place=np.zeros((0, 2)), starts=np.zeros(0, np.int64))
    row, column = np.concatenate(edges, 1)
    graph = coo_matrix((np.ones(len(row), np.int8), (row, column)), shape=(first[-1], first[-1]))
    owner = connected_components(graph, directed=False)[1].astype(np.int64)
    frame = np.repeat(np.arange(len(found)), np.diff(first))
    # A point is seen once in each frame; what is seen twice is two things that look alike.
    _, index, counts = np.unique(np.stack([owner, frame]), axis=1, return_inverse=True, return_counts=True)
    twice = np.unique(owner[counts[index.reshape(-1)] > 1])
    keep = ~np.isin(owner, twice)
    places = np.concatenate([features.places for features in found])
    order = np.lexsort((frame[keep], owner[keep]))
    return tracks_from_steps(owner[keep][order], frame[keep][order], places[keep][order])
