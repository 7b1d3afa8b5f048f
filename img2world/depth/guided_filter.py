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


def guided_by_color(
    values: Float32[np.ndarray, "h w"], rgb: UInt8[np.ndarray, "h w 3"], *, radius: int, eps: float
) -> Float32[np.ndarray, "h w"]:
    """Return the values smoothed except at the edges of a color picture (He et al. 2010, eq. 14 to 16).

    Colors tell apart what is equally bright, as fur and a wall.
    """
    import cv2

    window = (2 * radius + 1, 2 * radius + 1)

    def mean(array: np.ndarray) -> np.ndarray:
        return cv2.blur(array, window, borderType=cv2.BORDER_REFLECT)

    guide = rgb.astype(np.float32) / 255
    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values[..., None]) - mean_guide * mean_values[..., None]
    r, g, b = (guide[..., i] for i in range(3))
    products = mean(np.dstack([r * r, r * g, r * b])), mean(np.dstack([g * g, g * b, b * b]))
    rr, rg, rb = np.moveaxis(products[0] - mean_guide[..., :1] * mean_guide, -1, 0)
    gg, gb, bb = np.moveaxis(products[1] - mean_guide[..., [1, 1, 2]] * mean_guide[..., [1, 2, 2]], -1, 0)
    rr, gg, bb = rr + eps, gg + eps, bb + eps
    # The inverse of the symmetric matrix by its cofactors: numpy.linalg.solve is several times slower.
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    x, y, z = np.moveaxis(covariance, -1, 0)
    slope = np.dstack([c_rr * x + c_rg * y + c_rb * z, c_rg * x + c_gg * y + c_gb * z, c_rb * x + c_gb * y + c_bb * z])
    slope /= (rr * c_rr + rg * c_rg + rb * c_rb)[..., None]
    offset = mean_values - (slope * mean_guide).sum(-1)
    return (mean(slope) * guide).sum(-1) + mean(offset)
