"""A scene as slices of a depth map, from far to near."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from img2world.layered.inpaint import nearest_known

SLICES = 3
"""Near, middle and far: more show seams where a surface leads from one to the next."""

MIN_FRACTION = 0.01
"""A slice that covers less of the picture is merged with the one behind it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a scene, which becomes a layer. All maps are of the size of the picture."""

    inverse_depth: Float32[np.ndarray, "H W"]
    """Known also where the part is hidden; 1 is the depth of the origin."""
    shown: Float32[np.ndarray, "H W"]
    """Alpha of where the picture shows the part."""
    extent: Float32[np.ndarray, "H W"]
    """Alpha of where the part is, shown or hidden."""
    given: Float32[np.ndarray, "H W"]
    """Alpha of what the picture shows of the part and of everything behind it."""


def depth_slices(inverse_depth: Float32[np.ndarray, "H W"]) -> list[Part]:
    """Slice a depth map into parts from back to front, each continued behind those in front of it."""
    parts = []
    nearer = np.zeros(inverse_depth.shape, np.float32)
    for mask in reversed(slice_masks(inverse_depth)):
        _, rows, columns = nearest_known(mask > 0.5)
        # Behind what stands in front of it a slice continues at the depth that it has beside it.
        depth = inverse_depth[rows, columns]
        given, nearer = 1 - nearer, np.maximum(nearer, mask)
        parts.append(Part(inverse_depth=depth, shown=mask, extent=nearer, given=given))
    return parts[::-1]


def slice_masks(inverse_depth: Float32[np.ndarray, "H W"]) -> list[Float32[np.ndarray, "H W"]]:
    """Return masks from far to near that cover every pixel once, divided where few pixels lie between (Otsu 1979)."""
    import cv2
    from skimage.filters import threshold_multiotsu

    smooth = cv2.medianBlur(inverse_depth, 5)
    classes = min(SLICES, len(np.unique(np.round(smooth, 3))))
    bounds = [] if classes < 2 else list(threshold_multiotsu(smooth, classes=classes, nbins=128))
    parts = np.digitize(smooth, bounds)
    for part in range(len(bounds), 0, -1):
        if (parts == part).mean() < MIN_FRACTION:
            parts[parts == part] = part - 1
    return [(parts == part).astype(np.float32) for part in range(len(bounds) + 1) if (parts == part).any()]
