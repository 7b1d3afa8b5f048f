"""The Janus problem: an orbit that shows the front of an object again at its back."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip

MIN_FRAMES = 12
MIN_DISTANCE = 0.35
"""Fraction of the orbit from which a view shows other sides than the first."""

MAX_DISTANCE_RATIO = 0.75
"""Lowe's ratio test: largest distance of a match relative to that of the second-best match."""

MIN_MATCHES = 14
"""Matches that must agree on one similarity transform."""

MIN_RELATIVE_MATCHES = 0.25
"""The same as a fraction of the matches between the first two frames."""

MIN_CLOSING_MATCHES = 0.6
"""Matches between first and last frame, as a fraction of those of the first two frames, that close an orbit."""


def find_janus(clip: Clip) -> Iterator[VideoFinding]:
    """Yield a finding when views from behind show much of what the first view shows, for a closed orbit."""
    if clip.masks is None or len(clip) < MIN_FRAMES:
        return
    neighbor = _count_matches(clip, 0, 1)
    closing = max(_count_matches(clip, 0, len(clip) - 1), 1)
    if neighbor < MIN_MATCHES or closing < MIN_CLOSING_MATCHES * min(neighbor, 2 * MIN_MATCHES):
        return
    first, last = int(np.ceil(MIN_DISTANCE * len(clip))), int((1 - MIN_DISTANCE) * len(clip))
    counts = {j: _count_matches(clip, 0, j) for j in range(first, last + 1)}
    fronts = {j: count for j, count in counts.items() if count >= max(MIN_MATCHES, MIN_RELATIVE_MATCHES * neighbor)}
    if fronts:
        best = max(fronts, key=lambda j: fronts[j])
        yield VideoFinding(
            kind="janus",
            severity="warning",
            frames=tuple(sorted(fronts)),
            sure=float(np.clip(fronts[best] / max(neighbor, 1), 0.4, 0.9)),
            found=f"the back looks like the front: {fronts[best]} features of frame 0 appear again in frame {best}",
            advice="try another seed, or describe the back in the prompt; some objects look alike from all sides",
        )


def _count_matches(clip: Clip, i: int, j: int) -> int:
    """Return the number of feature matches between two frames that agree on one similarity transform."""
    import cv2

    (start, first), (end, second) = (
        _detect(clip.gray[k], None if clip.masks is None else clip.masks[k]) for k in (i, j)
    )
    if first is None or second is None or min(len(start), len(end)) < 2:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first, second, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < MAX_DISTANCE_RATIO * pair[1].distance]
    if len(good) < 3:
        return 0
    start, end = start[[match.queryIdx for match in good]], end[[match.trainIdx for match in good]]
    cv2.setRNGSeed(0)
    _, inliers = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=4.0)
    return 0 if inliers is None else int(inliers.sum())


def _detect(
    gray: UInt8[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"] | None
) -> tuple[Float64[np.ndarray, "N 2"], Float32[np.ndarray, "N 128"] | None]:
    """Return positions and descriptors of SIFT features, detected at twice the size because small frames have few."""
    import cv2

    sift = cv2.SIFT.create(400, contrastThreshold=0.015)
    large = cv2.resize(gray, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    area = None if mask is None else cv2.resize(mask.astype(np.uint8) * 255, (large.shape[1], large.shape[0]))
    keypoints, descriptors = sift.detectAndCompute(large, area)
    return np.array([keypoint.pt for keypoint in keypoints], np.float64).reshape(-1, 2) / 2, descriptors
