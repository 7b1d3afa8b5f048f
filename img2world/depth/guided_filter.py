"""Edge-preserving smoothing and upsampling of maps, guided by a picture."""

import numpy as np
from jaxtyping import Float32, UInt8


def guided(
    values: Float32[np.ndarray, "h w"], guide: Float32[np.ndarray, "h w"], *, radius: int, eps: float
) -> Float32[np.ndarray, "h w"]:
    """Return the values smoothed except at the guide's edges (He et al. 2010, "Guided image filtering", eq. 5 to 8)."""
    import cv2

    window = (2 * radius + 1, 2 * radius + 1)

    def mean(array: np.ndarray) -> np.ndarray:
        return cv2.blur(array, window, borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_values = mean(guide), mean(values)
    slope = (mean(guide * values) - mean_guide * mean_values) / (mean(guide * guide) - mean_guide**2 + eps)
    offset = mean_values - slope * mean_guide
    return mean(slope) * guide + mean(offset)


def upsampled(values: Float32[np.ndarray, "h w"], rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """Return a map at the size of a picture, its steps aligned with the picture's strong edges and smooth elsewhere."""
    import cv2

    height, width = rgb.shape[:2]
    pixel = width / values.shape[1]
    large = cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    sharp = guided(large, gray, radius=max(2, round(1.5 * pixel)), eps=0.01)
    # The filter lets some of the picture's texture through, which would wrinkle the surface.
    return cv2.GaussianBlur(sharp, (0, 0), 0.4 * pixel)
