"""Simulation of a camera: exposure, white balance, tone curve, blur, noise, vignetting and JPEG compression."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit

CURVE_SIZE = 1024
"""Entries of a tone curve, equally spaced in the square root of light from 0 to MAX_LIGHT."""
MAX_LIGHT = 4.0
CURVE_ROOTS = np.linspace(0, MAX_LIGHT**0.5, CURVE_SIZE)


def take_photo(
    linear: Float32[np.ndarray, "H W 3"],
    rng: np.random.Generator,
    *,
    alpha: np.ndarray | None = None,
    exposed_for: np.ndarray | None = None,
    perfect: bool = False,
) -> UInt8[np.ndarray, "H W 3"]:
    """Return the photo that a random camera takes of an image in linear light; `alpha` marks an object on white.

    With the same generator, `exposed_for` another image uses that image's exposure. A `perfect` camera only exposes:
    it neither blurs nor adds noise.
    """
    # Every sixteenth pixel is enough to measure the brightness.
    pixels = (linear if exposed_for is None else exposed_for)[::4, ::4]
    pixels = pixels if alpha is None else pixels[alpha[::4, ::4] > 0.5]
    rank = int(rng.uniform(0.85, 0.99) * pixels.size)
    white = float(np.partition(pixels, rank, axis=None)[rank]) if pixels.size else 1.0
    exposure = rng.uniform(0.75, 1.15) / max(white, 0.05)
    cast = 1 + rng.normal(0, 0.05, 3)
    gain = exposure ** rng.uniform(0.5, 1) * cast
    curve = tone_curve(rng.uniform(0.5, 1.05))
    saturation = rng.uniform(0.0, 0.5) if rng.random() < 0.1 else rng.uniform(0.7, 1.3)
    coverage = np.ones(linear.shape[:2], np.float32) if alpha is None or exposed_for is not None else alpha
    image = develop(linear, gain, curve, saturation, coverage)
    if perfect:
        return quantize(image, 0.0, 0.0, 0)
    blur = rng.choice([0, 0, 0.4, 0.8, 1.3])
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    noise, seed = float(rng.choice([0, 0.005, 0.015, 0.04])), int(rng.integers(2**62))
    vignetting = rng.uniform(0, 0.25) if alpha is None and rng.random() < 0.3 else 0.0
    photo = quantize(image, vignetting, noise, seed)
    if rng.random() < 0.3:
        _, encoded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        photo = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return photo


def tone_curve(power: float) -> Float32[np.ndarray, "T"]:
    """Return a power curve with a soft shoulder, as those of film and phones, for light from 0 to MAX_LIGHT."""
    curve = CURVE_ROOTS ** (2 * power)
    return np.where(curve > 0.8, 0.8 + 0.2 * np.tanh((curve - 0.8) / 0.2), curve).astype(np.float32)


@njit(cache=True, fastmath=True, error_model="numpy")
def develop(
    linear: Float32[np.ndarray, "H W 3"],
    gain: np.ndarray,
    curve: Float32[np.ndarray, "T"],
    saturation: float,
    coverage: Float32[np.ndarray, "H W"],
) -> Float32[np.ndarray, "H W 3"]:
    """Apply gain, tone curve and saturation to linear light, and blend with white where `coverage` is below 1."""
    height, width = linear.shape[:2]
    out = np.empty((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            red = apply_tone(linear[y, x, 0] * gain[0], curve)
            green = apply_tone(linear[y, x, 1] * gain[1], curve)
            blue = apply_tone(linear[y, x, 2] * gain[2], curve)
            scale = coverage[y, x]
            colored = scale * saturation
            gray = scale * (1 - saturation) * (red + green + blue) / 3 + 1 - scale
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = (
                red * colored + gray,
                green * colored + gray,
                blue * colored + gray,
            )
    return out


@njit(cache=True, fastmath=True, error_model="numpy")
def apply_tone(light: float, curve: Float32[np.ndarray, "T"]) -> float:
    """Return the tone curve's value, interpolated between entries."""
    position = min(np.sqrt(np.float32(max(0.0, light) * (1 / MAX_LIGHT))) * (CURVE_SIZE - 1), CURVE_SIZE - 1.001)
    i = np.uint32(position)
    return curve[i] + (curve[i + 1] - curve[i]) * (position - i)


@njit(cache=True, fastmath=True, error_model="numpy")
def quantize(
    image: Float32[np.ndarray, "H W 3"], vignetting: float, noise: float, seed: int
) -> UInt8[np.ndarray, "H W 3"]:
    """Return an image as bytes after adding noise (standard deviation) and vignetting.

    Vignetting darkens by the square of the distance from the centre; its value is the loss at the ends of the axes.
    """
    height, width = image.shape[:2]
    out = np.empty((height, width, 3), np.uint8)
    state = np.uint64(seed)
    for y in range(height):
        down = 2 * y / (height - 1) - 1
        for x in range(width):
            across = 2 * x / (width - 1) - 1
            scale = 255 * (1 - vignetting * (across * across + down * down))
            for k in range(3):
                state += np.uint64(0x9E3779B97F4A7C15)
                value = image[y, x, k] + noise * gaussian_hash(state)
                out[y, x, k] = np.uint8(min(255.0, max(0.0, value * scale)) + 0.5)
    return out


@njit(cache=True, fastmath=True, error_model="numpy")
def gaussian_hash(state: np.uint64) -> float:
    """Return an approximately normal number, the sum of four uniform parts of a hash (first half of SplitMix64)."""
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    part = np.uint64(0xFFFF)
    total = (mixed & part) + ((mixed >> np.uint64(16)) & part) + ((mixed >> np.uint64(32)) & part)
    return (np.int64(total + (mixed >> np.uint64(48))) - 131070) * (3**0.5 / 65536)
