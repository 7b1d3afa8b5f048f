"""Degradations typical of generated videos, applied to clean frames in known strength."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from img2world.core.frames import Frames


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """Strength of each degradation."""

    blur: float
    """Standard deviation in pixels, for frames of 256 pixels."""
    warp: float
    """RMS of each frame's smooth random warp along each axis, in pixels, for frames of 256 pixels."""
    flicker: float
    """Standard deviation of each frame's brightness factor."""
    tint: float
    """Standard deviation of each frame's factor on each colour channel."""
    noise: float
    """Standard deviation in grey levels."""
    jpeg: int
    """JPEG quality, 0 to 100."""


DEGRADATIONS = {
    "clean": None,
    "mild": Degradation(blur=0.7, warp=0.7, flicker=0.05, tint=0.02, noise=2.0, jpeg=80),
    "hard": Degradation(blur=1.1, warp=1.8, flicker=0.15, tint=0.05, noise=4.0, jpeg=60),
}


def degrade_frames(frames: Frames, degradation: Degradation | None, *, seed: int) -> Frames:
    """Return degraded frames. A plain background stays plain; depth, which no longer fits, is dropped."""
    if degradation is None:
        return frames
    rng = np.random.default_rng(seed)
    rgb, alpha = [], []
    for i, image in enumerate(frames.rgb):
        mask = None if frames.alpha is None else frames.alpha[i]
        degraded, warped_alpha = _degrade_frame(image, mask, degradation, rng)
        rgb.append(degraded)
        alpha.append(warped_alpha)
    return replace(frames, rgb=np.stack(rgb), alpha=None if frames.alpha is None else np.stack(alpha), depth=None)


def _degrade_frame(
    image: UInt8[np.ndarray, "H W 3"], alpha: np.ndarray | None, degradation: Degradation, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return one degraded frame and its alpha, warped alike."""
    import cv2

    height, width = image.shape[:2]
    scale = width / 256
    offsets = cv2.resize(rng.normal(size=(5, 5, 2)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    offsets *= degradation.warp * scale / offsets.std()
    row, column = np.mgrid[:height, :width].astype(np.float32)
    x, y = column + offsets[..., 0], row + offsets[..., 1]
    warped = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    warped_alpha = None if alpha is None else cv2.remap(alpha, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    blurred = cv2.GaussianBlur(warped, (0, 0), degradation.blur * scale).astype(np.float32)
    gain = (1 + degradation.flicker * rng.normal()) * (1 + degradation.tint * rng.normal(size=3))
    noisy = blurred * gain + rng.normal(0, degradation.noise, blurred.shape)
    if warped_alpha is not None:
        noisy = np.where((warped_alpha < 5)[..., None], blurred, noisy)
    quality = [cv2.IMWRITE_JPEG_QUALITY, degradation.jpeg]
    _, encoded = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8)[..., ::-1], quality)
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1]), warped_alpha
