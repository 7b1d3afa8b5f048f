"""Sample textures between their pixels."""

import numpy as np
from jaxtyping import Float32


def sample_texture(texture: Float32[np.ndarray, "h w C"], xy: Float32[np.ndarray, "P 2"]) -> Float32[np.ndarray, "P C"]:
    """Interpolate bilinearly at positions precise to 1/32 of a pixel, clamped to the texture.

    `xy` is in pixels, the center of the first at (0.5, 0.5).
    """
    import cv2

    # remap takes at most 32767 rows or columns, so the list of points is folded into lines.
    line = 8192
    count = len(xy)
    if not count:
        return np.zeros((0, texture.shape[2]), np.float32)
    padded = np.zeros((-(-count // line) * line, 2), np.float32)
    padded[:count] = xy - 0.5
    grid = padded.reshape(-1, line, 2)
    folds = [
        cv2.remap(texture, rows[..., 0], rows[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for rows in np.array_split(grid, max(1, -(-len(grid) // 16384)))
    ]
    return np.concatenate(folds).reshape(-1, texture.shape[2])[:count]
