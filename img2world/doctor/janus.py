"""The Janus problem: an orbit that shows the front of an object again at its back."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip, Transition, turning

MIN_FRAMES = 12
MIN_DISTANCE = 0.35
"""Fraction of the orbit from which a view shows other sides than the first."""

MAX_DISTANCE_RATIO = 0.75
"""Lowe's ratio test: largest distance of a match relative to that of the second-best match."""

MIN_MATCHES = 14
"""Matches that must agree on one similarity transform."""

MIN_RELATIVE_MATCHES = 0.25
"""The same as a fraction of the matches between the first two frames."""

MAX_SIDE_MATCHES = 0.5
"""Matches of a view that shows another side, relative to those at the back: a camera that stands still shows the front
all the time, and is none that sees it again."""

MIN_ONE_WAY = 0.8
"""Sum of the motion to the right, relative to that of its amounts: a camera that goes to and fro sees it again, too."""

MIN_CLOSING_MATCHES = 0.6
"""Matches between first and last frame, as a fraction of those of the first two frames, that close an orbit."""


def find_janus(clip: Clip, transitions: list[Transition]) -> Iterator[VideoFinding]:
    """Yield a finding when views from behind show much of what the first view shows, for a closed orbit."""
    if clip.masks is None or len(clip) < MIN_FRAMES:
        return
    turns = turning(transitions)
    if np.abs(turns.sum()) < MIN_ONE_WAY * np.abs(turns).sum():
        return
    front = _detect_features(clip, 0)
    neighbor = _count_matches(front, _detect_features(clip, 1))
    closing = max(_count_matches(front, _detect_features(clip, len(clip) - 1)), 1)
    if neighbor < MIN_MATCHES or closing < MIN_CLOSING_MATCHES * min(neighbor, 2 * MIN_MATCHES):
        return
    first, last = int(np.ceil(MIN_DISTANCE * len(clip))), int((1 - MIN_DISTANCE) * len(clip))
    counts = {j: _count_matches(front, _detect_features(clip, j)) for j in range(first, last + 1)}
    fronts = {j: count for j, count in counts.items() if count >= max(MIN_MATCHES, MIN_RELATIVE_MATCHES * neighbor)}
    if not fronts:
        return
    best = max(fronts, key=lambda j: fronts[j])
    sides = range(2, best), range(best + 1, len(clip) - 1)
    if all(_is_hidden(front, (_detect_features(clip, j) for j in side), fronts[best]) for side in sides):
        yield VideoFinding(
            kind="janus",
            severity="warning",
            frames=tuple(sorted(fronts)),
            sure=float(np.clip(fronts[best] / max(neighbor, 1), 0.4, 0.9)),
            found=f"the back looks like the front: {fronts[best]} features of frame 0 appear again in frame {best}",
            advice="try another seed, or describe the back in the prompt; some objects look alike from all sides",
        )


def _is_hidden(front: "_Features", views: "Iterator[_Features]", at_back: int) -> bool:
    """Tell whether the front is out of sight in one of the views."""
    return any(_count_matches(front, view) < MAX_SIDE_MATCHES * at_back for view in views)


@dataclass(frozen=True, kw_only=True)
class _Features:
    """The SIFT features of one frame."""

    xy: Float64[np.ndarray, "N 2"]
    """Pixels of the clip."""
    descriptors: Float32[np.ndarray, "N 128"] | None


def _detect_features(clip: Clip, i: int) -> _Features:
    """Detect features on the object in a frame, at twice its size because small frames have few."""
    import cv2

    sift = cv2.SIFT.create(400, contrastThreshold=0.015)
    large = cv2.resize(clip.gray[i], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    mask = None if clip.masks is None else clip.masks[i].astype(np.uint8) * 255
    area = None if mask is None else cv2.resize(mask, (large.shape[1], large.shape[0]))
    keypoints, descriptors = sift.detectAndCompute(large, area)
    xy = np.array([keypoint.pt for keypoint in keypoints], np.float64).reshape(-1, 2) / 2
    return _Features(xy=xy, descriptors=descriptors)


def _count_matches(first: _Features, second: _Features) -> int:
    """Return the number of matches between two frames that agree on one similarity transform."""
    import cv2

    if first.descriptors is None or second.descriptors is None or min(len(first.xy), len(second.xy)) < 2:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first.descriptors, second.descriptors, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < MAX_DISTANCE_RATIO * pair[1].distance]
    if len(good) < 3:
        return 0
    start, end = first.xy[[match.queryIdx for match in good]], second.xy[[match.trainIdx for match in good]]
    cv2.setRNGSeed(0)
    _, inliers = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=4.0)
    return 0 if inliers is None else int(inliers.sum())
