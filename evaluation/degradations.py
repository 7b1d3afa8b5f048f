"""Faults of generated video, put on perfect frames in a known dose."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from img2world.core.frames import Frames


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How much of each fault."""

    blur: float
    """Standard deviation in pixels at 256 pixels."""
    warp: float
    """Pixels at 256 pixels by which each frame bends on its own, smoothly; root of the mean square on each axis."""
    flicker: float
    """Standard deviation of each frame's brightness, as a share."""
    tint: float
    """The same of each colour."""
    noise: float
    """Standard deviation in grey levels."""
    jpeg: int
    """Quality of the compression, 0 to 100."""


DOSES = {
    "clean": None,
    "mild": Faults(blur=0.7, warp=0.7, flicker=0.05, tint=0.02, noise=2.0, jpeg=80),
    "hard": Faults(blur=1.1, warp=1.8, flicker=0.15, tint=0.05, noise=4.0, jpeg=60),
}


def degraded(frames: Frames, faults: Faults | None, *, seed: int) -> Frames:
    """The frames with these faults. What is plain background stays plain; depth is dropped, since it no longer fits."""
    if faults is None:
        return frames
    random = np.random.default_rng(seed)
    rgb, alpha = [], []
    for i, picture in enumerate(frames.rgb):
        mask = None if frames.alpha is None else frames.alpha[i]
        spoilt, outline = _spoilt(picture, mask, faults, random)
        rgb.append(spoilt)
        alpha.append(outline)
    return replace(frames, rgb=np.stack(rgb), alpha=None if frames.alpha is None else np.stack(alpha), depth=None)


def _spoilt(
    picture: UInt8[np.ndarray, "H W 3"], alpha: np.ndarray | None, faults: Faults, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """One frame, and its outline bent alike."""
    import cv2

    height, width = picture.shape[:2]
    scale = width / 256
    bend = cv2.resize(random.normal(size=(5, 5, 2)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    bend *= faults.warp * scale / bend.std()
    row, column = np.mgrid[:height, :width].astype(np.float32)
    x, y = column + bend[..., 0], row + bend[..., 1]
    bent = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    outline = None if alpha is None else cv2.remap(alpha, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(bent, (0, 0), faults.blur * scale).astype(np.float32)
    gain = (1 + faults.flicker * random.normal()) * (1 + faults.tint * random.normal(size=3))
    noisy = soft * gain + random.normal(0, faults.noise, soft.shape)
    if outline is not None:
        noisy = np.where((outline < 5)[..., None], soft, noisy)
    quality = [cv2.IMWRITE_JPEG_QUALITY, faults.jpeg]
    _, stored = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8)[..., ::-1], quality)
    read = np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(read[..., ::-1]), outline
