"""Point tracks by feature matching: for photos with wide baselines, and over gaps in a video that flow cannot cross."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, count
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from img2world.core.progress import Progress, silent
from img2world.core.threads import usable_cores
from img2world.tracking.flow import single_threaded
from img2world.tracking.tracks import Tracks, tracks_from_observations

if TYPE_CHECKING:
    from cv2 import KeyPoint

FeatureKind = Literal["blobs", "corners"]
"""blobs: SIFT's own detector, as in COLMAP. corners: points that no solver uses, so that they can validate it."""

WORK_SIDE = 640
"""Longest side in pixels to which smaller frames are enlarged, because they have few features at their own size."""

MAX_WORK_SIDE = 1024
"""Longest side in pixels to which larger frames are reduced: what is found in them is large enough."""

MAX_PHOTO_FEATURES = 3000
MAX_VIDEO_FEATURES = 1000
"""Features per frame of a video: fewer than in a photo, because there are many similar frames."""

MAX_DISTANCE_RATIO = 0.8
"""Lowe's ratio test: largest distance of a match relative to that of the second-best match."""

DESCRIPTOR_NORM = 512
"""Length of a descriptor after scaling; its entries are rounded to whole numbers."""

MAX_EPIPOLAR_ERROR = 2.0
"""Pixels of the frames at that size: generated frames are distorted by about as much."""

MIN_MATCHES = 16
"""Matches between two frames that must satisfy the epipolar constraint; fewer may agree by chance."""

CORNER_SCALES = (1.0, 0.63, 0.4)
"""Image scales at which corners are detected, because the same corner has different sizes in different photos."""

CORNER_SIZE = 9.0
"""Diameter of a corner's neighbourhood in pixels, in SIFT's sense."""

FRAME_STEPS = (4, 8)
KEY_FRAME_STEP = 6
"""Frames of a video are matched `FRAME_STEPS` apart, and every `KEY_FRAME_STEP`-th frame with all others of these."""


@dataclass(frozen=True, kw_only=True)
class _Features:
    """The features of one frame."""

    xy: Float64[np.ndarray, "N 2"]
    """Pixels of the original frame; the centre of the first pixel is (0.5, 0.5)."""
    descriptors: Float32[np.ndarray, "N 128"]
    """RootSIFT, scaled to `DESCRIPTOR_NORM` and rounded to whole numbers."""

    def __len__(self) -> int:
        return len(self.xy)


def track_by_features(
    rgb: UInt8[np.ndarray, "V H W 3"],
    masks: Bool[np.ndarray, "V H W"] | None,
    pairs: list[tuple[int, int]],
    *,
    kind: FeatureKind = "blobs",
    max_features: int = MAX_PHOTO_FEATURES,
    progress: Progress = silent,
) -> Tracks:
    """Match features between pairs of frames and link the matches to tracks; drop tracks that contradict themselves.

    The result does not depend on the number of threads. Progress counts frames and pairs.

    Features are detected where `masks` is True. Source: Lowe, "Distinctive image features from scale-invariant
    keypoints", IJCV 2004.
    """
    max_error, total = MAX_EPIPOLAR_ERROR / _work_scale(rgb), len(rgb) + len(pairs)
    done = count(1)

    def detect(i: int) -> _Features:
        return _detect(rgb[i], None if masks is None else masks[i], kind, max_features)

    # OpenCV and NumPy release the interpreter lock. One thread each, so that they do not compete.
    with single_threaded(), ThreadPoolExecutor(usable_cores()) as pool:
        features = []
        for found in pool.map(detect, range(len(rgb))):
            features.append(found)
            progress(next(done), total, step="check")
        matches = {}
        for pair, found in zip(
            pairs, pool.map(lambda pair: _match(features[pair[0]], features[pair[1]], max_error), pairs), strict=True
        ):
            matches[pair] = found
            progress(next(done), total, step="check")
    return _link_matches(features, matches)


def count_matches(first: UInt8[np.ndarray, "H W 3"], second: UInt8[np.ndarray, "H W 3"]) -> int:
    """Return how many SIFT features two pictures of one scene share; 0 when so few match that it may be chance."""
    with single_threaded():
        features = [_detect(picture, None, "blobs", MAX_VIDEO_FEATURES) for picture in (first, second)]
        return len(_match(features[0], features[1], MAX_EPIPOLAR_ERROR / _work_scale(first[None])))


def select_video_pairs(num_frames: int) -> list[tuple[int, int]]:
    """Return the pairs of video frames to match; frames closer to each other are linked by flow."""
    return [
        (i, j)
        for i, j in combinations(range(num_frames), 2)
        if j - i in FRAME_STEPS or (i % KEY_FRAME_STEP == 0 and j % KEY_FRAME_STEP == 0)
    ]


def _work_scale(rgb: np.ndarray) -> float:
    """Return the factor by which frames [V, H, W, 3] are enlarged or, when they are large, reduced."""
    side = max(rgb.shape[1:3])
    return max(1.0, WORK_SIDE / side) * min(1.0, MAX_WORK_SIDE / side)


def _detect(
    rgb: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"] | None, kind: FeatureKind, max_features: int
) -> _Features:
    """Detect and describe the features of a frame, at the size at which `_work_scale` says."""
    import cv2

    scale = _work_scale(rgb[None])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    method = cv2.INTER_CUBIC if scale >= 1 else cv2.INTER_AREA
    gray = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), size, interpolation=method)
    area = None if mask is None else cv2.resize(mask.astype(np.uint8) * 255, size)
    sift = cv2.SIFT.create(max_features, contrastThreshold=0.01)
    keypoints = sift.detect(gray, area) if kind == "blobs" else _detect_corners(gray, area, max_features)
    keypoints, descriptors = sift.compute(gray, keypoints)
    xy = np.array([keypoint.pt for keypoint in keypoints], np.float64).reshape(-1, 2)
    if descriptors is None:
        descriptors = np.zeros((0, 128), np.float32)
    # RootSIFT: Arandjelović and Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012.
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return _Features(xy=(xy + 0.5) / scale, descriptors=np.round(DESCRIPTOR_NORM * root).astype(np.float32))


def _detect_corners(gray: UInt8[np.ndarray, "H W"], area: np.ndarray | None, max_features: int) -> "list[KeyPoint]":
    """Detect corners at several scales. Their orientation is fixed, because photos are upright."""
    import cv2

    keypoints = []
    for scale in CORNER_SCALES:
        small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small_area = None if area is None else cv2.resize(area, (small.shape[1], small.shape[0]))
        corners = cv2.goodFeaturesToTrack(small, int(max_features * scale**2), 0.002, 4, mask=small_area)
        for x, y in np.zeros((0, 2)) if corners is None else corners[:, 0].tolist():
            # OpenCV's pixel (0, 0) is a centre at either scale.
            center = ((x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5)
            keypoints.append(cv2.KeyPoint(*center, CORNER_SIZE / scale, 0.0))
    return keypoints


def _match(first: _Features, second: _Features, max_error: float) -> Int64[np.ndarray, "M 2"]:
    """Return index pairs of features that match mutually and unambiguously, and satisfy the epipolar constraint."""
    import cv2

    no_matches = np.zeros((0, 2), np.int64)
    if min(len(first), len(second)) < MIN_MATCHES:
        return no_matches
    # Products of whole numbers this small are exact in float32, so the order of summation does not matter.
    products = first.descriptors @ second.descriptors.T  # [N, M]
    distances = (first.descriptors**2).sum(1)[:, None] + (second.descriptors**2).sum(1) - 2 * products
    forward, backward = _ratio_test(distances), _ratio_test(distances.T)
    candidates = np.flatnonzero(forward >= 0)
    candidates = candidates[backward[forward[candidates]] == candidates]
    matches = np.stack([candidates, forward[candidates]], -1)
    if len(matches) < MIN_MATCHES:
        return no_matches
    start, end = first.xy[matches[:, 0]], second.xy[matches[:, 1]]
    cv2.setRNGSeed(0)
    _, inliers = cv2.findFundamentalMat(start, end, cv2.FM_RANSAC, max_error, 0.999, 2000)
    if inliers is None or inliers.sum() < MIN_MATCHES:
        return no_matches
    return matches[inliers[:, 0] > 0]


def _ratio_test(squared_distances: Float32[np.ndarray, "N M"]) -> Int64[np.ndarray, "N"]:
    """Return for each row the index of its smallest distance, or -1 where the second-smallest is about as small."""
    distances = np.array(squared_distances, order="C")
    rows, best = np.arange(len(distances)), distances.argmin(1)
    smallest = distances[rows, best]
    distances[rows, best] = np.inf
    return np.where(smallest < MAX_DISTANCE_RATIO**2 * distances.min(1), best, -1)


def _link_matches(features: list[_Features], matches: dict[tuple[int, int], np.ndarray]) -> Tracks:
    """Join features that are connected by matches to tracks."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    offsets = np.cumsum([0] + [len(each) for each in features])
    edges = [
        np.stack([offsets[i] + pair[:, 0], offsets[j] + pair[:, 1]]) for (i, j), pair in matches.items() if len(pair)
    ]
    if not edges:
        return Tracks.empty()
    row, column = np.concatenate(edges, 1)
    graph = coo_matrix((np.ones(len(row), np.int8), (row, column)), shape=(offsets[-1], offsets[-1]))
    track_ids = connected_components(graph, directed=False)[1].astype(np.int64)
    frame_ids = np.repeat(np.arange(len(features)), np.diff(offsets))
    # A point is seen at most once per frame; a track with two observations in one frame joins two similar points.
    _, index, counts = np.unique(np.stack([track_ids, frame_ids]), axis=1, return_inverse=True, return_counts=True)
    ambiguous = np.unique(track_ids[counts[index.reshape(-1)] > 1])
    keep = ~np.isin(track_ids, ambiguous)
    xy = np.concatenate([each.xy for each in features])
    order = np.lexsort((frame_ids[keep], track_ids[keep]))
    return tracks_from_observations(track_ids[keep][order], frame_ids[keep][order], xy[keep][order])
