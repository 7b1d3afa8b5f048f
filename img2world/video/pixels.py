"""Pixels of a decoded frame: upright, with square pixels, in sRGB; and its luma, small, for comparisons."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image as PillowImage

from img2world.core.color import is_srgb, srgb_from_code

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

UNSPECIFIED, ITU709 = 2, 1
"""Matrix coefficients (ITU-T H.273, table 4)."""

GIF = "bgra"
"""Pixel format in which FFmpeg decodes GIFs."""

DITHER_SIGMA, DITHER_LEVELS = 1.0, 5.0
"""Smoothing in pixels that undoes dithering, and the mean difference between chroma and its smoothed copy above which a
picture was dithered: 11 to 14 levels where a model's clip was reduced to 80 colours, at most 3 in other GIFs."""

PLANAR_LUMA = ("yuv4", "yuvj4", "yuva4", "nv1", "nv2", "gray")
"""Beginnings of the names of pixel formats that keep luma in a plane of its own."""


def shown_shape(frame: "VideoFrame", pixel_aspect: float) -> float:
    """Return width over height as the frame is shown, but for its rotation."""
    return frame.width * pixel_aspect / frame.height


def has_alpha(frame: "VideoFrame") -> bool:
    """Tell whether the format of a frame holds transparency."""
    return any(component.is_alpha for component in frame.format.components)


def to_rgba(frame: "VideoFrame", pixel_aspect: float, size: int) -> UInt8[np.ndarray, "H W 4"]:
    """Return a frame upright, in sRGB, with square pixels and sides of at most `size` pixels."""
    # Untagged videos follow a custom: HD is BT.709, smaller is BT.601.
    hd = frame.colorspace == UNSPECIFIED and frame.height >= 720
    matrix = ITU709 if hd else None
    width, height = frame.width * pixel_aspect, float(frame.height)
    scale = min(1.0, size / max(width, height))
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    if is_srgb(transfer, primaries):
        stored = frame.reformat(format="rgba" if has_alpha(frame) else "rgb24", src_colorspace=matrix).to_ndarray()
        if frame.format.name == GIF:
            stored = without_dither(stored)
        if target != (frame.width, frame.height):
            # Reduced first by whole numbers, which is many times faster for 4K and differs by less than a level.
            picture = PillowImage.fromarray(stored)
            stored = np.asarray(picture.resize(target, PillowImage.Resampling.LANCZOS, reducing_gap=3.0))
    else:
        code = frame.reformat(format="rgba64le" if has_alpha(frame) else "rgb48le", src_colorspace=matrix).to_ndarray()
        if target != (frame.width, frame.height):
            code = cv2.resize(code, target, interpolation=cv2.INTER_AREA)
        stored = np.dstack(
            [srgb_from_code(code[..., :3], transfer, primaries), (code[..., 3:] // 257).astype(np.uint8)]
        )
    if stored.shape[-1] == 3:
        stored = np.dstack([stored, np.full(stored.shape[:2], 255, np.uint8)])
    displayed = frame.side_data.get("DISPLAYMATRIX")
    return (
        stored
        if displayed is None
        else apply_display_matrix(stored, np.frombuffer(bytes(displayed), np.int32).reshape(3, 3))
    )


def without_dither(rgba: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 4"]:
    """Return a picture of few dithered colours with smooth chroma, any other and one that is transparent unchanged.

    Losses that take the median of what neighbouring pixels and frames show would give it another hue.
    """
    if rgba[..., 3].min() < 255:
        return rgba
    ycc = cv2.cvtColor(rgba[..., :3].astype(np.float32), cv2.COLOR_RGB2YCrCb)
    smooth = cv2.GaussianBlur(ycc[..., 1:], (0, 0), DITHER_SIGMA)
    if np.abs(ycc[..., 1:] - smooth).mean((0, 1)).max() < DITHER_LEVELS:
        return rgba
    ycc[..., 1:] = smooth
    rgb = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB).clip(0, 255).round().astype(np.uint8)
    return np.dstack([rgb, rgba[..., 3]])


def on_white(rgba: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"]:
    """Composite a frame on white."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def luma(frame: "VideoFrame", width: int, height: int) -> UInt8[np.ndarray, "h w"]:
    """Return the luma of a frame as it is stored, at another size."""
    bits = frame.format.components[0].bits
    if not frame.format.name.startswith(PLANAR_LUMA) or frame.format.is_big_endian or bits not in (8, 10, 12, 16):
        stored, white = frame.reformat(format="gray").to_ndarray(), 255
    else:
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8 if bits == 8 else np.uint16).reshape(plane.height, -1)
        stored, white = rows[:, : plane.width], 2**bits - 1
    small = cv2.resize(stored, (width, height), interpolation=cv2.INTER_AREA)
    return small if white == 255 else np.round(small * (255 / white)).astype(np.uint8)


def apply_display_matrix(
    pixels: UInt8[np.ndarray, "H W C"], matrix: Int[np.ndarray, "3 3"]
) -> UInt8[np.ndarray, "*S C"]:
    """Return a stored frame as its display matrix shows it, rounded to quarter turns and mirrors.

    Source: ISO/IEC 14496-12, section 6.2.2: (x', y') = (a x + c y, b x + d y), rows (a, b, u), (c, d, v).
    """
    (a, b, _), (c, d, _) = matrix[:2]
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
