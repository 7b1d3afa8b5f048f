"""A scene as slices of a depth map, from far to near."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from img2world.layered.inpaint import extend_nearest

MAX_SLICES = 3
"""Near, middle and far: more would show seams where a surface crosses from one slice to the next."""

MIN_FRACTION = 0.01
"""A slice that covers less of the picture is merged with the one behind it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a scene, which becomes a layer. All maps are of the size of the picture."""

    inverse_depth: Float32[np.ndarray, "H W"]
    """Defined everywhere, also where the part is hidden; 1 at the depth of the origin."""
    shown: Float32[np.ndarray, "H W"]
    """Alpha of the visible area of the part."""
    extent: Float32[np.ndarray, "H W"]
    """Alpha of the whole part, visible or hidden."""
    given: Float32[np.ndarray, "H W"]
    """Alpha of the visible area of the part and of everything behind it."""


def slice_depth(inverse_depth: Float32[np.ndarray, "H W"]) -> list[Part]:
    """Slice a depth map into parts from back to front, each continued behind those in front of it."""
    parts = []
    nearer = np.zeros(inverse_depth.shape, np.float32)
    for mask in reversed(slice_masks(inverse_depth)):
        # Behind nearer slices a slice continues at the depth of its nearest visible pixel.
        extended = extend_nearest(inverse_depth, mask > 0.5)
        given, nearer = 1 - nearer, np.maximum(nearer, mask)
        parts.append(Part(inverse_depth=extended, shown=mask, extent=nearer, given=given))
    return parts[::-1]


def slice_masks(inverse_depth: Float32[np.ndarray, "H W"]) -> list[Float32[np.ndarray, "H W"]]:
    """Return masks from far to near that cover every pixel once, split at the thresholds of multi-level Otsu (1979)."""
    import cv2
    from skimage.filters import threshold_multiotsu

    smooth = cv2.medianBlur(inverse_depth, 5)
    classes = min(MAX_SLICES, len(np.unique(np.round(smooth, 3))))
    bounds = [] if classes < 2 else list(threshold_multiotsu(smooth, classes=classes, nbins=128))
    parts = np.digitize(smooth, bounds)
    for part in range(len(bounds), 0, -1):
        if (parts == part).mean() < MIN_FRACTION:
            parts[parts == part] = part - 1
    return [(parts == part).astype(np.float32) for part in range(len(bounds) + 1) if (parts == part).any()]
