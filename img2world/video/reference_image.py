"""The picture that a clip was made from, in the place of the frame that shows it."""

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage

from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image

Place = Literal["auto", "first", "last"]

COMPARED = (48, 32)
"""Width and height at which the picture is compared with a frame: detail says nothing, codecs blur it."""

ALIKE = 0.75
"""Correlation of the picture with the frame that is to show the same. Unlike pictures stay below 0.5."""


def tie_still(frames: Frames, still: Image, place: Place) -> Frames:
    """The frames with the picture itself as the first or the last, whichever shows the same.

    The picture is cut to the frames' shape as generators do. Raises VideoError when it shows something else.
    """
    height, width = frames.rgb.shape[1:3]
    picture = cut_to(still.rgb, width, height)
    likeness = {name: correlation(picture, frames.rgb[i]) for name, i in (("first", 0), ("last", -1))}
    best = max(likeness, key=lambda name: likeness[name]) if place == "auto" else place
    if likeness[best] < ALIKE:
        raise VideoError(
            f"the picture does not show what the {best} frame shows: likeness {likeness[best]:.2f}, needs {ALIKE:.2f}",
            hint="give the picture that the clip was made from, or leave --image out",
        )
    rgb = frames.rgb.copy()
    rgb[0 if best == "first" else -1] = picture
    return replace(frames, rgb=rgb)


def cut_to(rgb: UInt8[np.ndarray, "h w 3"], width: int, height: int) -> UInt8[np.ndarray, "H W 3"]:
    """The middle of a picture at another size and shape, exact to parts of a pixel."""
    scale = min(rgb.shape[1] / width, rgb.shape[0] / height)
    left, top = (rgb.shape[1] - scale * width) / 2, (rgb.shape[0] - scale * height) / 2
    box = (left, top, left + scale * width, top + scale * height)
    return np.array(PillowImage.fromarray(rgb).resize((width, height), PillowImage.Resampling.LANCZOS, box=box))


def correlation(one: UInt8[np.ndarray, "H W 3"], other: UInt8[np.ndarray, "H W 3"]) -> float:
    """How alike two pictures are, -1 to 1, whatever their brightness and contrast."""
    import cv2

    small = [
        cv2.resize(rgb, COMPARED, interpolation=cv2.INTER_AREA).astype(np.float64).mean(-1) for rgb in (one, other)
    ]
    flat = [values - values.mean() for values in small]
    scale = np.sqrt((flat[0] ** 2).sum() * (flat[1] ** 2).sum())
    return float((flat[0] * flat[1]).sum() / scale) if scale > 0 else float(np.array_equal(*small))
