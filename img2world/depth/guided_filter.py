"""The guided image filter."""

import numpy as np
from jaxtyping import Float32


def guided(
    values: Float32[np.ndarray, "h w"], guide: Float32[np.ndarray, "h w"], *, radius: int, eps: float
) -> Float32[np.ndarray, "h w"]:
    """Values smoothed along the guide's edges (He et al., "Guided image filtering", 2010, eq. 5 to 8)."""
    import cv2

    window = (2 * radius + 1, 2 * radius + 1)

    def mean(array: np.ndarray) -> np.ndarray:
        return cv2.blur(array, window, borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_values = mean(guide), mean(values)
    slope = (mean(guide * values) - mean_guide * mean_values) / (mean(guide * guide) - mean_guide**2 + eps)
    offset = mean_values - slope * mean_guide
    return mean(slope) * guide + mean(offset)
