"""Replace the frame of a clip that shows its reference image, the picture that the clip was made from."""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage

from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image

COMPARED_SIZE = (48, 32)
"""Width and height at which the picture is compared with a frame: codecs blur the detail."""

MIN_CORRELATION = 0.75
"""Correlation of the picture with the frame that shows the same. Different pictures stay below 0.5."""


def insert_reference_image(frames: Frames, reference: Image) -> Frames:
    """Return the frames with the picture in place of the first or the last one, whichever it correlates with more.

    The picture is cropped to the frames' shape, as generators do it. Raises VideoError when it shows something else.
    """
    height, width = frames.rgb.shape[1:3]
    picture = crop_centre(reference.rgb, width, height)
    correlations = {name: correlation(picture, frames.rgb[i]) for name, i in (("first", 0), ("last", -1))}
    best = max(correlations, key=lambda name: correlations[name])
    if correlations[best] < MIN_CORRELATION:
        raise VideoError(
            "the picture is neither the first nor the last frame of the clip: the correlations are "
            f"{correlations['first']:.2f} and {correlations['last']:.2f}, at least {MIN_CORRELATION:.2f} is needed",
            hint="give the picture with which the clip begins or ends, or leave --image out",
        )
    rgb = frames.rgb.copy()
    rgb[0 if best == "first" else -1] = picture
    return replace(frames, rgb=rgb)


def crop_centre(rgb: UInt8[np.ndarray, "h w 3"], width: int, height: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return the largest centred part of a picture that has the shape of the given size, resized to that size."""
    scale = min(rgb.shape[1] / width, rgb.shape[0] / height)
    left, top = (rgb.shape[1] - scale * width) / 2, (rgb.shape[0] - scale * height) / 2
    box = (left, top, left + scale * width, top + scale * height)
    return np.array(PillowImage.fromarray(rgb).resize((width, height), PillowImage.Resampling.LANCZOS, box=box))


def correlation(one: UInt8[np.ndarray, "H W 3"], other: UInt8[np.ndarray, "H W 3"]) -> float:
    """Return the correlation of the grey values of two pictures, -1 to 1."""
    import cv2

    small = [
        cv2.resize(rgb, COMPARED_SIZE, interpolation=cv2.INTER_AREA).astype(np.float64).mean(-1) for rgb in (one, other)
    ]
    centred = [values - values.mean() for values in small]
    norm = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / norm) if norm > 0 else float(np.array_equal(*small))
