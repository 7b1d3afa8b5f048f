"""The finished scene against the photo, from the photo's own camera and from cameras nearby."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from img2world.quality.views import View, find_origins

MIN_DETAIL = 0.002
"""Standard deviation of the Laplacian below which a photo has no detail that could be lost: it is blank."""

MAX_DB = 60.0
"""PSNR reported for images that are closer to each other: nobody can see the difference."""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How closely a view matches the photo where it shows the same."""

    psnr: float
    """Peak signal-to-noise ratio in dB, at most MAX_DB."""
    detail: float
    """Standard deviation of the Laplacian relative to the photo's: 1 is as sharp as the photo."""


def compare_views(
    image: Float32[np.ndarray, "H W 3"], truth: Float32[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]
) -> Fidelity:
    """Compare an image with the truth, both 0 to 1, inside of a mask. Raises ValueError where the mask is empty."""
    if not mask.any():
        raise ValueError("there is nothing to compare")
    error = np.square(image[mask].astype(np.float64) - truth[mask]).mean()
    left, present = sharpness(image, mask), sharpness(truth, mask)
    return Fidelity(psnr=float(min(MAX_DB, -10 * np.log10(max(error, 1e-30)))), detail=left / max(present, MIN_DETAIL))


def sharpness(picture: Float32[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> float:
    """Return the standard deviation of the Laplacian of a picture inside of a mask."""
    import cv2

    # A Laplacian at the outline would measure the outline.
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inner = inner if inner.any() else mask
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F)[inner].std())


def warp_photo(
    picture: Float32[np.ndarray, "H W 3"], photo: View, view: View
) -> tuple[Float32[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Return the photo's pixels where a view shows the same surfaces, and the mask of those.

    Depth is that of the scene: what is compared there is its colors and its sharpness, not its shape.
    """
    import cv2

    origins = find_origins(view, photo)
    x, y = np.moveaxis(origins.xy.astype(np.float32) - np.float32(0.5), -1, 0)
    warped = cv2.remap(picture, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_CUBIC)
    # Next to an edge a pixel mixes two surfaces.
    mask = cv2.erode(origins.seen.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return warped.clip(0, 1), mask
