"""A thing that stands out in a scene as layers of its own: the photo in front, plainer colors behind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.core.subject import Foreground
from img2world.layered.layers import INVENTED, SEEN, Layer, layer_of_grid, stretch_blur
from img2world.layered.object_layers import CutOut, cut_out, object_camera, shell_surfaces

CONTACT_FRACTION = 0.04
"""Fraction of the height of a thing, from its lowest pixel up, that touches what it stands on."""

SEPARATION = 1.03
"""A thing whose lower end is not in the picture is at least this many times nearer than what is behind it."""

TILT = 0.25
"""See `scene_layers.TILT`."""


@dataclass(frozen=True, kw_only=True)
class PlacedThing:
    """A thing of the foreground at its place in the scene; depths are along +Z of the scene's camera."""

    cut: CutOut
    scale: float
    """Size of the scene's frame relative to the picture."""
    front: Float32[np.ndarray, "S S"]
    """Depth of the surface that the photo shows, in the frame of the cut-out."""
    back: Float32[np.ndarray, "S S"]
    behind: Float32[np.ndarray, "S S 3"]
    """Colors of the back."""


def place(camera: Cameras, image: Image, thing: Foreground, ground_depth: Float32[np.ndarray, "H W"]) -> PlacedThing:
    """Give a thing the depth at which it stands on the ground.

    `ground_depth` is the depth of the scene without the thing, at the size of the camera.
    """
    scale = camera.width / image.width
    cut = cut_out_at(image, thing, scale)
    size = len(cut.alpha)
    in_frame = object_camera(size)
    center, half, behind = shell_surfaces(cut, thing.geometry, in_frame)
    # Relative to the width of the frame, which is as wide in the scene as it is in the picture.
    frame = INPUT_DISTANCE * size / in_frame.intrinsics[0, 0, 0]
    offset, half = (center - INPUT_DISTANCE) / frame, half / frame
    width = cut.side * scale / float(camera.intrinsics[0, 0, 0])
    middle = depth_of_middle(cut, offset, half, width, ground_depth, scale)
    front, back = (np.float32(middle) * (1 + np.float32(width) * (offset + sign * half)) for sign in (-1, 1))
    return PlacedThing(cut=cut, scale=scale, front=front, back=back, behind=behind)


def layers_of_thing(camera: Cameras, thing: PlacedThing) -> tuple[Layer, Layer]:
    """Build front and back of a thing as the one camera sees it."""
    rays = rays_of_cut_out(camera, thing.cut, thing.scale)
    layers = []
    for depth, texture, origin in ((thing.front, thing.cut.rgb, SEEN), (thing.back, thing.behind, INVENTED)):
        points = rays * depth[..., None]
        blur, seen = stretch_blur(points, camera, TILT), np.full(depth.shape, origin, np.uint8)
        layers.append(layer_of_grid(camera, points, texture, seen, alpha=thing.cut.alpha, blur=blur))
    return layers[0], layers[1]


def push_behind(ground_depth: Float32[np.ndarray, "H W"], things: Sequence[PlacedThing]) -> Float32[np.ndarray, "H W"]:
    """Return the depth of the scene such that it lies behind everything that the photo shows in front of it."""
    import cv2

    height, width = ground_depth.shape
    for thing in things:
        pixel = thing.cut.side * thing.scale / len(thing.cut.alpha)  # Of the cut-out, in pixels of the scene.
        offset = 0.5 * (pixel - 1)
        to_scene = np.array(
            [[pixel, 0, thing.cut.left * thing.scale + offset], [0, pixel, thing.cut.top * thing.scale + offset]]
        )
        least = np.where(thing.cut.alpha > 0.05, SEPARATION * thing.front, 0).astype(np.float32)
        least = cv2.dilate(least, np.ones((3, 3), np.uint8))
        ground_depth = np.maximum(ground_depth, cv2.warpAffine(least, to_scene, (width, height)))
    return ground_depth


def cut_out_at(image: Image, thing: Foreground, scale: float) -> CutOut:
    """Return the cut-out of a thing whose pixels are about as large as those of the scene's frame."""
    rough = cut_out(image, thing.alpha, 16)
    return cut_out(image, thing.alpha, max(16, round(rough.side * scale)))


def rays_of_cut_out(camera: Cameras, cut: CutOut, scale: float) -> Float32[np.ndarray, "S S 3"]:
    """Return the directions with z = 1 through the pixel centers of a cut-out."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0].astype(np.float64)
    along = (np.arange(len(cut.alpha)) + 0.5) * cut.side / len(cut.alpha)
    x, y = np.meshgrid(((cut.left + along) * scale - cx) / fx, ((cut.top + along) * scale - cy) / fy)
    return np.stack([x, y, np.ones_like(x)], -1).astype(np.float32)


def depth_of_middle(
    cut: CutOut,
    offset: Float32[np.ndarray, "S S"],
    half: Float32[np.ndarray, "S S"],
    width: float,
    ground_depth: Float32[np.ndarray, "H W"],
    scale: float,
) -> float:
    """Return the depth of the middle of a thing, so that it touches the ground at its lower end.

    Where the picture ends before the thing does, its front is nearer than all of the scene behind it.
    """
    inside = cut.alpha >= 0.5
    rows = np.flatnonzero(inside.any(1))
    last = rows[-1]
    feet = inside.copy()
    feet[: max(last - round(CONTACT_FRACTION * np.ptp(rows)), 0)] = False
    behind = values_below(cut, ground_depth, inside, scale)
    bottom = (cut.top + (last + 1) * cut.side / len(inside)) * scale
    if bottom < len(ground_depth) - 2:
        below = values_below(cut, ground_depth, feet, scale)
        return float(np.median(below) / (1 + width * np.median(offset[feet])))
    nearest = np.percentile(behind, 5) / SEPARATION
    return float(nearest / (1 + width * np.median((offset + half)[inside])))


def values_below(
    cut: CutOut, values: Float32[np.ndarray, "H W"], mask: Bool[np.ndarray, "S S"], scale: float
) -> Float[np.ndarray, "N"]:
    """Return the values of the scene at the pixels of a cut-out's mask."""
    at = (np.stack(np.nonzero(mask)) + 0.5) * cut.side / len(mask)
    rows, columns = ((at + np.array([[cut.top], [cut.left]])) * scale).astype(np.int64)
    height, width = values.shape
    return values[rows.clip(0, height - 1), columns.clip(0, width - 1)].astype(np.float64)
