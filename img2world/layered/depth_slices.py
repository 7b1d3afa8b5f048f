"""A scene as slices of a depth map, each continued behind those before it."""

import numpy as np
from jaxtyping import Float32

from img2world.core.cameras import Cameras
from img2world.layered.inpaint import nearest_known
from img2world.layered.layers import LayeredWorld
from img2world.layered.scene_layers import continued

SLICES = 3
"""Near, middle and far: more show seams where a surface leads from one to the next."""

MIN_SHARE = 0.01
"""A slice that covers less of the picture is left to the one behind it."""


def sliced_world(
    camera: Cameras, color: Float32[np.ndarray, "H W 3"], inverse_depth: Float32[np.ndarray, "H W"]
) -> LayeredWorld:
    """The layers of a scene whose inverse depth is known, seen by its camera; 1 is the depth of the origin."""
    layers = []
    nearer = np.zeros(inverse_depth.shape, np.float32)
    for mask in reversed(slices(inverse_depth)):
        _, rows, columns = nearest_known(mask > 0.5)
        # Behind what stands before it a slice goes on at the depth it has beside it.
        depth = inverse_depth[rows, columns]
        given, nearer = 1 - nearer, np.maximum(nearer, mask)
        layers.append(continued(camera, color, depth, shown=mask, reach=nearer, given=given))
    return LayeredWorld(layers=tuple(reversed(layers)), is_object=False)


def slices(inverse_depth: Float32[np.ndarray, "H W"]) -> list[Float32[np.ndarray, "H W"]]:
    """Masks from far to near that cover every pixel once, parted where few pixels lie between (Otsu 1979)."""
    import cv2
    from skimage.filters import threshold_multiotsu

    smooth = cv2.medianBlur(inverse_depth, 5)
    classes = min(SLICES, len(np.unique(np.round(smooth, 3))))
    bounds = [] if classes < 2 else list(threshold_multiotsu(smooth, classes=classes, nbins=128))
    parts = np.digitize(smooth, bounds)
    for part in range(len(bounds), 0, -1):
        if (parts == part).mean() < MIN_SHARE:
            parts[parts == part] = part - 1
    return [(parts == part).astype(np.float32) for part in range(len(bounds) + 1) if (parts == part).any()]
