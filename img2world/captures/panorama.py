"""Perspective pictures cut out of an equirectangular panorama, which shows all directions from one place."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from img2world.captures.metadata import Panorama, read_metadata
from img2world.core.image import Image
from img2world.core.image_file import load_image

FORWARD_DEG = 75.0
"""Horizontal field of view of the picture that stands for a panorama; that of a wide photo."""

RIG_DEG, RIG_YAWS_DEG = 90.0, (0, 60, 120, 180, 240, 300)
"""Field of view and directions of the cameras that stand for a panorama among others. Neighbours overlap by a third.
Zenith and nadir are left out: they show sky and tripod."""

MAX_PANORAMA = 8192
MAX_PIXELS = 128_000_000


def load_photo(path: Path, *, max_side: int = 2048) -> Image:
    """Read a photo as `load_image` does; of a panorama, return the view forward, and warn."""
    panorama = read_metadata(path).panorama
    if panorama is None:
        return load_image(path, max_side=max_side)
    warnings.warn(
        f"this is a panorama, of which only the view forward is used, {FORWARD_DEG:g} degrees wide: {path.name}",
        stacklevel=2,
    )
    return cut_view(load_panorama(path), panorama, yaw_deg=0.0, fov_deg=FORWARD_DEG, aspect=1.5, max_side=max_side)


def load_panorama(path: Path) -> Image:
    """Read a panorama at up to `MAX_PANORAMA` pixels."""
    return load_image(path, max_side=MAX_PANORAMA, max_pixels=MAX_PIXELS)


def cut_rig(image: Image, panorama: Panorama, max_side: int) -> list[Image]:
    """Return the square pictures that the cameras of the rig see, without those of which the panorama lacks half."""
    views = [
        cut_view(image, panorama, yaw_deg=float(yaw), fov_deg=RIG_DEG, aspect=1.0, max_side=max_side)
        for yaw in RIG_YAWS_DEG
    ]
    return [view for view in views if view.rgb.any(-1).mean() > 0.5]


def cut_view(
    image: Image, panorama: Panorama, *, yaw_deg: float, fov_deg: float, aspect: float, max_side: int
) -> Image:
    """Return a level perspective picture, `yaw_deg` to the right of the middle of an equirectangular one.

    `fov_deg` is its horizontal field of view, `aspect` its width / height. It has as many pixels per degree in its
    middle as the panorama, but at most `max_side` along a side. What the panorama does not show is black.
    """
    import cv2

    # The picture may have been loaded at a smaller size than its metadata tell.
    scale = image.width / panorama.width
    full_width, full_height = panorama.full_width * scale, panorama.full_height * scale
    half = np.tan(np.radians(fov_deg) / 2)
    width = min(max_side, max(16, round(full_width / np.pi * half)))
    height = max(16, round(width / aspect))
    focal = width / 2 / half
    row, column = np.mgrid[:height, :width]
    x, y = (column + 0.5 - width / 2) / focal, (row + 0.5 - height / 2) / focal
    azimuth = np.arctan2(x, 1) + np.radians(yaw_deg)
    elevation = np.arctan2(y, np.hypot(x, 1))
    longitude = (azimuth / (2 * np.pi) + 0.5) % 1
    # In OpenCV the centre of the first pixel is (0, 0).
    from_x = longitude * full_width - panorama.left * scale - 0.5
    from_y = (elevation / np.pi + 0.5) * full_height - panorama.top * scale - 0.5
    wraps = abs(full_width - image.width) < 1
    source = _wrapped(image.rgb) if wraps else image.rgb
    from_x = from_x + 1 if wraps else from_x
    rgb = cv2.remap(source, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
    return Image(rgb=rgb, focal=float(focal))


def _wrapped(rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W2 3"]:
    """Return a picture with its last column before the first and its first after the last."""
    return np.concatenate([rgb[:, -1:], rgb, rgb[:, :1]], 1)
