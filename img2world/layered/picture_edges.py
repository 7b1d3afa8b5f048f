"""Continue a thing that the edge of the picture cuts off, so that a moving camera does not reveal the cut."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.image import Image
from img2world.core.subject import Foreground, ObjectGeometry
from img2world.layered.object_layers import frame_around

MARGIN = 0.2
"""Width by which a cut thing continues beyond the picture, relative to its longer side."""

MIN_CUT = 0.01
"""Minimum length of a cut, relative to the picture's longer side: a paw that just reaches the edge is complete."""


@dataclass(frozen=True, kw_only=True)
class ExtendedThing:
    """A picture and a thing of its foreground, both with margins on the sides that cut the thing off."""

    image: Image
    thing: Foreground
    left: int
    """Width of the margin on the left in pixels; 0 where the thing is complete."""
    top: int


def extend_beyond_picture(image: Image, thing: Foreground) -> ExtendedThing:
    """Mirror a thing, its colors and its shape at the edges that cut it off, up to MARGIN beyond the picture.

    A mirror image continues outline, texture and shading without a seam.
    """
    import cv2

    margin = round(MARGIN * max(image.width, image.height))
    left, right, top, bottom = (min(margin, limit) if cut else 0 for cut, limit in cut_sides(thing.alpha))
    if not (left or right or top or bottom):
        return ExtendedThing(image=image, thing=thing, left=0, top=0)
    borders = (top, bottom, left, right)
    rgb, alpha = (cv2.copyMakeBorder(values, *borders, cv2.BORDER_REFLECT) for values in (image.rgb, thing.alpha))
    alpha = keep_connected(alpha, thing.alpha, left=left, top=top)
    geometry = reframe(thing.geometry, thing.alpha, alpha, left=left, top=top)
    return ExtendedThing(
        image=replace(image, rgb=rgb, alpha=None), thing=Foreground(alpha=alpha, geometry=geometry), left=left, top=top
    )


def cut_sides(alpha: UInt8[np.ndarray, "H W"]) -> list[tuple[bool, int]]:
    """Return for left, right, top and bottom whether the picture cuts a thing off there, and the picture's extent."""
    solid = alpha > 127
    height, width = solid.shape
    lines = ((solid[:, 0], width), (solid[:, -1], width), (solid[0], height), (solid[-1], height))
    return [(int(line.sum()) > MIN_CUT * max(height, width), extent) for line, extent in lines]


def keep_connected(
    alpha: UInt8[np.ndarray, "h w"], inside: UInt8[np.ndarray, "H W"], *, left: int, top: int
) -> UInt8[np.ndarray, "h w"]:
    """Return an alpha without mirrored parts that do not touch the thing, which would be twins of its parts."""
    import cv2

    height, width = inside.shape
    # Soft outlines belong to the part that they surround.
    _, labels = cv2.connectedComponents((alpha > 0).astype(np.uint8), connectivity=8)
    own = labels[top : top + height, left : left + width][inside > 127]
    return np.where(np.isin(labels, np.unique(own)), alpha, 0).astype(np.uint8)


def reframe(
    geometry: ObjectGeometry,
    alpha: UInt8[np.ndarray, "H W"],
    extended: UInt8[np.ndarray, "h w"],
    *,
    left: int,
    top: int,
) -> ObjectGeometry:
    """Return a shape in the frame around an extended alpha, mirrored where that extends beyond the picture."""
    import cv2

    old_left, old_top, old_side = frame_around(alpha)
    new_left, new_top, new_side = frame_around(extended)
    size = len(geometry.front)
    along = (np.arange(size) + 0.5) * new_side / size
    height, width = alpha.shape
    x, y = (
        (mirrored(start + along, extent) - old) * size / old_side - 0.5
        for start, extent, old in ((new_left - left, width, old_left), (new_top - top, height, old_top))
    )
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))

    def moved(values: Float32[np.ndarray, "S S"]) -> Float32[np.ndarray, "S S"]:
        sampled = cv2.remap(values, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return sampled * np.float32(old_side / new_side)

    return replace(
        geometry,
        front=moved(geometry.front),
        thickness=moved(geometry.thickness),
        predicted_error=moved(geometry.predicted_error),
    )


def mirrored(position: np.ndarray, extent: int) -> np.ndarray:
    """Return positions beyond 0 and `extent` mirrored at the one or the other."""
    return extent - np.abs(extent - np.abs(position))
