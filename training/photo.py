"""What a camera and its software do to a picture."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8


def photographed(
    linear: Float32[np.ndarray, "H W 3"],
    rng: np.random.Generator,
    *,
    alpha: np.ndarray | None = None,
    exposed_for: np.ndarray | None = None,
    perfect: bool = False,
) -> UInt8[np.ndarray, "H W 3"]:
    """Exposure, white balance, tone curve, blur, noise and compression; `alpha` says what is not background.

    With the same generator, a picture `exposed_for` another one is developed as that one was. A `perfect` camera only
    exposes: it neither blurs nor adds noise.
    """
    solid = linear if exposed_for is None else exposed_for
    solid = solid if alpha is None else solid[alpha > 0.5]
    bright = float(np.percentile(solid, rng.uniform(85, 99))) if solid.size else 1.0
    exposure = rng.uniform(0.75, 1.15) / max(bright, 0.05)
    cast = 1 + rng.normal(0, 0.05, 3)
    picture = linear * (exposure ** rng.uniform(0.5, 1) * cast).astype(np.float32)
    picture = np.clip(picture, 0, None) ** np.float32(rng.uniform(0.5, 1.05))
    # A soft shoulder, as film and phones have.
    picture = np.where(picture > 0.8, 0.8 + 0.2 * np.tanh((picture - 0.8) / 0.2), picture)
    saturation = rng.uniform(0.0, 0.5) if rng.random() < 0.1 else rng.uniform(0.7, 1.3)
    gray = picture.mean(-1, keepdims=True)
    picture = gray + (picture - gray) * np.float32(saturation)
    if alpha is not None and exposed_for is None:
        picture = picture * alpha[..., None] + (1 - alpha[..., None])
    if perfect:
        return (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    blur = rng.choice([0, 0, 0.4, 0.8, 1.3])
    if blur > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    picture = picture + rng.standard_normal(picture.shape).astype(np.float32) * rng.choice([0, 0.005, 0.015, 0.04])
    if alpha is None and rng.random() < 0.3:
        height, width = picture.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        picture = picture * (1 - rng.uniform(0, 0.25) * (x * x + y * y))[..., None]
    eight_bit = (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.3:
        _, packed = cv2.imencode(".jpg", eight_bit, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        eight_bit = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return eight_bit
