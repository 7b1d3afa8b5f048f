"""What a camera and its software do to a picture."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit

TONES = 1024
"""Entries of a tone curve, equally far apart in the square root of the light, up to BRIGHTEST."""
BRIGHTEST = 4.0
ROOTS = np.linspace(0, BRIGHTEST**0.5, TONES)


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
    # One pixel of sixteen tells how bright a picture is.
    solid = (linear if exposed_for is None else exposed_for)[::4, ::4]
    solid = solid if alpha is None else solid[alpha[::4, ::4] > 0.5]
    brighter = int(rng.uniform(0.85, 0.99) * solid.size)
    bright = float(np.partition(solid, brighter, axis=None)[brighter]) if solid.size else 1.0
    exposure = rng.uniform(0.75, 1.15) / max(bright, 0.05)
    cast = 1 + rng.normal(0, 0.05, 3)
    gain = exposure ** rng.uniform(0.5, 1) * cast
    tones = tone_curve(rng.uniform(0.5, 1.05))
    saturation = rng.uniform(0.0, 0.5) if rng.random() < 0.1 else rng.uniform(0.7, 1.3)
    cover = np.ones(linear.shape[:2], np.float32) if alpha is None or exposed_for is not None else alpha
    picture = developed(linear, gain, tones, saturation, cover)
    if perfect:
        return eight_bits(picture, 0.0, 0.0, 0)
    blur = rng.choice([0, 0, 0.4, 0.8, 1.3])
    if blur > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    noise, seed = float(rng.choice([0, 0.005, 0.015, 0.04])), int(rng.integers(2**62))
    darkening = rng.uniform(0, 0.25) if alpha is None and rng.random() < 0.3 else 0.0
    taken = eight_bits(picture, darkening, noise, seed)
    if rng.random() < 0.3:
        _, packed = cv2.imencode(".jpg", taken, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        taken = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return taken


def tone_curve(power: float) -> Float32[np.ndarray, "T"]:
    """What becomes of light from 0 to BRIGHTEST: a power with a soft shoulder, as film and phones have."""
    tones = ROOTS ** (2 * power)
    return np.where(tones > 0.8, 0.8 + 0.2 * np.tanh((tones - 0.8) / 0.2), tones).astype(np.float32)


@njit(cache=True, fastmath=True, error_model="numpy")
def developed(
    linear: Float32[np.ndarray, "H W 3"],
    gain: np.ndarray,
    tones: Float32[np.ndarray, "T"],
    saturation: float,
    cover: Float32[np.ndarray, "H W"],
) -> Float32[np.ndarray, "H W 3"]:
    """Light times `gain` through a tone curve, with weaker or stronger colours, before white."""
    height, width = linear.shape[:2]
    out = np.empty((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            red = toned(linear[y, x, 0] * gain[0], tones)
            green = toned(linear[y, x, 1] * gain[1], tones)
            blue = toned(linear[y, x, 2] * gain[2], tones)
            share = cover[y, x]
            colored = share * saturation
            rest = share * (1 - saturation) * (red + green + blue) / 3 + 1 - share
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = (
                red * colored + rest,
                green * colored + rest,
                blue * colored + rest,
            )
    return out


@njit(cache=True, fastmath=True, error_model="numpy")
def toned(light: float, tones: Float32[np.ndarray, "T"]) -> float:
    """The tone curve between two of its entries."""
    place = min(np.sqrt(np.float32(max(0.0, light) * (1 / BRIGHTEST))) * (TONES - 1), TONES - 1.001)
    i = np.uint32(place)
    return tones[i] + (tones[i + 1] - tones[i]) * (place - i)


@njit(cache=True, fastmath=True, error_model="numpy")
def eight_bits(
    picture: Float32[np.ndarray, "H W 3"], darkening: float, noise: float, seed: int
) -> UInt8[np.ndarray, "H W 3"]:
    """A picture as whole numbers, noisy, then darker by the square of the distance from the middle.

    noise: standard deviation; darkening: share that is lost at the ends of the axes.
    """
    height, width = picture.shape[:2]
    out = np.empty((height, width, 3), np.uint8)
    state = np.uint64(seed)
    for y in range(height):
        down = 2 * y / (height - 1) - 1
        for x in range(width):
            across = 2 * x / (width - 1) - 1
            share = 255 * (1 - darkening * (across * across + down * down))
            for k in range(3):
                state += np.uint64(0x9E3779B97F4A7C15)
                value = picture[y, x, k] + noise * bell(state)
                out[y, x, k] = np.uint8(min(255.0, max(0.0, value * share)) + 0.5)
    return out


@njit(cache=True, fastmath=True, error_model="numpy")
def bell(state: np.uint64) -> float:
    """A nearly normal number: the sum of four even ones, the parts of a counter's hash (SplitMix64, its first half)."""
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    part = np.uint64(0xFFFF)
    total = (mixed & part) + ((mixed >> np.uint64(16)) & part) + ((mixed >> np.uint64(32)) & part)
    return (np.int64(total + (mixed >> np.uint64(48))) - 131070) * (3**0.5 / 65536)
