"""A face that an orbit shows again at the back (Janus)."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip

LEAST_FRAMES = 12
FAR_SHARE = 0.35
"""Of the way round: a view so far from the first shows other sides."""

RATIO = 0.75
"""Lowe's test: a match counts when the second best is so much worse."""

LEAST_MATCHES = 14
"""That agree on how the picture was moved, turned and scaled."""

CLOSED = 0.6
"""Of the first frame's matches with its neighbour: a last frame with so many closes the orbit."""


def janus_findings(clip: Clip) -> Iterator[VideoFinding]:
    """Views from behind that show much of what the first view shows, for an object all around."""
    if clip.masks is None or len(clip) < LEAST_FRAMES:
        return
    beside = _agreeing(clip, 0, 1)
    closing = max(_agreeing(clip, 0, len(clip) - 1), 1)
    if beside < LEAST_MATCHES or closing < CLOSED * min(beside, 2 * LEAST_MATCHES):
        return
    first, last = int(np.ceil(FAR_SHARE * len(clip))), int((1 - FAR_SHARE) * len(clip))
    shared = {j: _agreeing(clip, 0, j) for j in range(first, last + 1)}
    back = {j: count for j, count in shared.items() if count >= max(LEAST_MATCHES, 0.25 * beside)}
    if back:
        best = max(back, key=lambda j: back[j])
        yield VideoFinding(
            kind="janus",
            severity="warning",
            frames=tuple(sorted(back)),
            sure=float(np.clip(back[best] / max(beside, 1), 0.4, 0.9)),
            found=f"the back looks like the front: {back[best]} details of frame 0 are seen again in frame {best}",
            advice="take another seed, or name the back in the prompt; a thing may also be alike all round",
        )


def _agreeing(clip: Clip, i: int, j: int) -> int:
    """Details of one frame that are seen in another, all moved alike."""
    import cv2

    one, two = (_details(clip.grey[k], None if clip.masks is None else clip.masks[k]) for k in (i, j))
    if one[1] is None or two[1] is None or min(len(one[0]), len(two[0])) < 2:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(one[1], two[1], k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < RATIO * pair[1].distance]
    if len(good) < 3:
        return 0
    start = np.array([one[0][match.queryIdx] for match in good])
    end = np.array([two[0][match.trainIdx] for match in good])
    cv2.setRNGSeed(0)
    _, inliers = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=4.0)
    return 0 if inliers is None else int(inliers.sum())


def _details(grey: UInt8[np.ndarray, "H W"], mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Places and descriptors of SIFT features of a picture that is enlarged, since small ones have few."""
    import cv2

    sift = cv2.SIFT.create(400, contrastThreshold=0.015)
    large = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    area = None if mask is None else cv2.resize(mask.astype(np.uint8) * 255, (large.shape[1], large.shape[0]))
    points, descriptors = sift.detectAndCompute(large, area)
    return np.array([point.pt for point in points], np.float64).reshape(-1, 2) / 2, descriptors
