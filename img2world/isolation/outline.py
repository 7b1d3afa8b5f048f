"""The alpha of the subject in a picture, from its rough outline and the evidence of the picture itself."""

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.layered.foreground import refine_outline

MAX_OFF = 3.0
"""Standard deviations of the hull's outline beyond which the evidence of one picture does not count."""

HULL_LOGIT = 4.0
"""Certainty of the hull at this distance from its outline, as a logit."""

OUTLINE_PIXELS = 1.5
"""Width of the band in which an outline is refined, in pixels of the evidence."""


def alpha_of(
    rgb: UInt8[np.ndarray, "H W 3"],
    inside: Bool[np.ndarray, "H W"],
    cover: Float32[np.ndarray, "h w"],
    *,
    sigma: float,
) -> UInt8[np.ndarray, "H W"]:
    """Return 255 on the subject, 0 elsewhere, and values between on its edge.

    `inside` is the outline of the hull with a standard deviation of `sigma` pixels, `cover` the probability by the
    picture itself, which decides near the outline. All zero without a hull.
    """
    import cv2

    if not inside.any():
        return np.zeros(inside.shape, np.uint8)
    within = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    distance = within - outside
    own = cv2.resize(cover, inside.shape[::-1], interpolation=cv2.INTER_CUBIC).clip(1e-3, 1 - 1e-3)
    logit = np.log(own / (1 - own)) + HULL_LOGIT / MAX_OFF * distance / sigma
    soft = (1 / (1 + np.exp(-logit.clip(-30, 30)))).astype(np.float32)
    soft[distance > MAX_OFF * sigma] = 1
    soft[distance < -MAX_OFF * sigma] = 0
    if not (soft > 0.01).any():
        return np.zeros(inside.shape, np.uint8)
    band = OUTLINE_PIXELS * max(inside.shape) / max(cover.shape)
    alpha = refine_outline(soft, rgb, band=band)
    alpha[distance > MAX_OFF * sigma + 2 * band] = 255
    alpha[distance < -MAX_OFF * sigma] = 0
    return alpha
