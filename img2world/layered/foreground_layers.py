"""A thing that stands out in a scene as layers of its own: the photo in front, plainer colors behind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.core.subject import Foreground
from img2world.layered.layers import CONTINUED, DETAIL, INVENTED, SEEN, Layer, layer_of_grid, stretch_blur
from img2world.layered.layout import SEPARATION
from img2world.layered.object_layers import CutOut, cut_out, frame_around, object_camera, shell_surfaces
from img2world.layered.picture_edges import extend_beyond_picture

CONTACT_FRACTION = 0.04
"""Fraction of the height of a thing, from its lowest pixel up, that touches what it stands on."""

MIN_HALF_THICKNESS = 1e-3
"""Least half thickness of a thing, relative to the width of its frame."""

TILT = 0.25
"""Vertical relative to horizontal motion of paths through a scene: little, so that rising ground may stay sharp."""


@dataclass(frozen=True, kw_only=True)
class PlacedThing:
    """A thing of the foreground at its place in the scene; depths are along +Z of the scene's camera."""

    cut: CutOut
    left: float
    """Left edge of the frame of the cut-out, in pixels of the scene's frame."""
    top: float
    pixel: float
    """Width of a pixel of the cut-out in pixels of the scene's frame."""
    front: Float32[np.ndarray, "S S"]
    """Depth of the surface that the photo shows, in the frame of the cut-out."""
    back: Float32[np.ndarray, "S S"]
    detail: Float32[np.ndarray, "T T 3"]
    """Colors of the front at DETAIL times the resolution of the cut-out."""
    behind: Float32[np.ndarray, "S S 3"]
    """Colors of the back."""


def place(camera: Cameras, image: Image, thing: Foreground, ground_depth: Float32[np.ndarray, "H W"]) -> PlacedThing:
    """Give a thing the depth at which it stands on the ground.

    `ground_depth` is the depth of the scene without the thing, at the size of the camera.
    """
    scale = camera.width / image.width
    extended = extend_beyond_picture(image, thing)
    image, thing = extended.image, extended.thing
    left, top, side = frame_around(thing.alpha)
    left, top, side = (scale * value for value in (left - extended.left, top - extended.top, side))
    cut = cut_out(image, thing.alpha, max(16, round(side)))
    size = len(cut.alpha)
    in_frame = object_camera(size)
    center, half, behind = shell_surfaces(cut, thing.geometry, in_frame)
    # Relative to the width of the frame, which is as wide in the scene as it is in the picture.
    frame = INPUT_DISTANCE * size / in_frame.intrinsics[0, 0, 0]
    # The photo is in front up to the outline, unlike in an object that turns around.
    offset, half = (center - INPUT_DISTANCE) / frame, np.maximum(half / frame, MIN_HALF_THICKNESS)
    width = np.float32(side / float(camera.intrinsics[0, 0, 0]))
    beside = ground_beside(cut, ground_depth, left=left, top=top, pixel=side / size)
    middle = np.float32(depth_of_middle(cut.alpha >= 0.5, beside, width * offset, width * half))
    front, back = (middle * (1 + width * (offset + sign * half)) for sign in (-1, 1))
    detail = cut_out(image, thing.alpha, DETAIL * size).rgb
    return PlacedThing(
        cut=cut, left=left, top=top, pixel=side / size, front=front, back=back, detail=detail, behind=behind
    )


def ground_beside(
    cut: CutOut, ground_depth: Float32[np.ndarray, "H W"], *, left: float, top: float, pixel: float
) -> Float32[np.ndarray, "S S"]:
    """Return the depth of the ground in the frame of a cut-out, 0 outside of the picture."""
    import cv2

    size = (len(cut.alpha), len(cut.alpha))
    to_scene = affine_to_scene(left, top, pixel)
    return cv2.warpAffine(ground_depth, to_scene, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)


def affine_to_scene(left: float, top: float, pixel: float) -> Float[np.ndarray, "2 3"]:
    """Return the matrix from pixel indices of a cut-out to those of the scene's frame, as OpenCV counts them."""
    offset = 0.5 * (pixel - 1)
    return np.array([[pixel, 0, left + offset], [0, pixel, top + offset]])


def depth_of_middle(
    inside: Bool[np.ndarray, "S S"],
    ground: Float32[np.ndarray, "S S"],
    offset: Float32[np.ndarray, "S S"],
    half: Float32[np.ndarray, "S S"],
) -> float:
    """Return the depth of the middle of a thing, so that it touches the ground at its lower end.

    `offset` and `half` are the middle and half of its thickness relative to that depth. Where the picture ends before
    the thing does, all of it is nearer than the scene behind it.
    """
    rows = np.flatnonzero(inside.any(1))
    if rows[-1] + 2 < len(ground) and (ground[rows[-1] + 2] > 0).any():
        feet = inside.copy()
        feet[: max(rows[-1] - round(CONTACT_FRACTION * np.ptp(rows)), 0)] = False
        feet &= ground > 0
        return float(np.median(ground[feet]) / (1 + np.median(offset[feet])))
    behind = ground[inside & (ground > 0)]
    return float(np.percentile(behind, 5) / SEPARATION / (1 + np.median((offset + half)[inside])))


def push_behind(ground_depth: Float32[np.ndarray, "H W"], things: Sequence[PlacedThing]) -> Float32[np.ndarray, "H W"]:
    """Return the depth of the scene such that it lies behind everything that the photo shows in front of it."""
    import cv2

    height, width = ground_depth.shape
    for thing in things:
        to_scene = affine_to_scene(thing.left, thing.top, thing.pixel)
        least = np.where(thing.cut.alpha > 0.05, SEPARATION * thing.front, 0).astype(np.float32)
        least = cv2.dilate(least, np.ones((3, 3), np.uint8))
        ground_depth = np.maximum(ground_depth, cv2.warpAffine(least, to_scene, (width, height)))
    return ground_depth


def layers_of_thing(camera: Cameras, thing: PlacedThing) -> tuple[Layer, Layer]:
    """Build front and back of a thing as the one camera sees it."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0].astype(np.float64)
    along = (np.arange(len(thing.cut.alpha)) + 0.5) * thing.pixel
    column, row = thing.left + along, thing.top + along
    x, y = np.meshgrid((column - cx) / fx, (row - cy) / fy)
    rays = np.stack([x, y, np.ones_like(x)], -1).astype(np.float32)
    in_picture = ((row > 0) & (row < camera.height))[:, None] & (column > 0) & (column < camera.width)
    origin = np.where(in_picture, SEEN, CONTINUED).astype(np.uint8)
    layers = []
    for depth, texture, seen in (
        (thing.front, thing.cut.rgb, origin),
        (thing.back, thing.behind, np.full_like(origin, INVENTED)),
    ):
        points = rays * depth[..., None]
        blur = stretch_blur(points, camera, TILT)
        layers.append(layer_of_grid(camera, points, texture, seen, alpha=thing.cut.alpha, blur=blur))
    return replace(layers[0], detail=thing.detail), layers[1]
