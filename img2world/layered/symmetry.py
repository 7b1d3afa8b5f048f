"""Things that are their own mirror image, as most are: what the photo shows of one side is on the other side, too.

The embedded network tells the upright plane; the photo's colours are read where a place of the back is seen in it. Only
colours are: a back that is moved to the mirror image of the front, where that is near, gets lumps.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.layers import rays_in_cam
from img2world.layered.solids import around_axis, frame_width, sampled
from img2world.layered.texture_baking import facing, grid_normals

LEAST_SHARE = 1 / 3
"""How sure the network has to be of a plane's direction, to AROUND of its steps on both sides."""

AROUND = 2

MOST_BESIDE = 0.5
"""Most that another direction may have of that: a box is its own mirror image lengthwise and across."""

MOST_FACING = np.cos(np.radians(30))
"""Cosine between the line of sight and a plane's normal above which front and back would be alike: a second face."""

SAME_SURFACE = 0.1
"""Difference of depth, relative to the frame's width, up to which a mirrored place is the one that the photo shows."""

GRAZING = 0.2
"""Cosine between a surface and the line of sight below which the photo shows too little of its colours."""

FEATHER = 1 / 128
"""Blur of where the photo's colours end, relative to the frame's width."""


def mirror_normal(planes: Float32[np.ndarray, "37"], elevation: float) -> Float64[np.ndarray, "3"] | None:
    """The normal, in the camera's space, of the plane that a thing is its own mirror image in; None if that is unsure.

    `planes` are the shares of directions from that away from the camera (0) to that to its right and on to 180 degrees,
    the last one being that of things without such a plane. The plane goes through the middle of the thing.
    """
    shares = around(planes)
    best, count = int(shares.argmax()), len(shares)
    others = shares[(best + np.arange(2 * AROUND + 1, count - 2 * AROUND)) % count]
    if shares[best] < LEAST_SHARE or others.max() > MOST_BESIDE * shares[best]:
        return None
    beside = np.arange(-AROUND, AROUND + 1)
    near = planes[(best + beside) % count]
    direction = (best + (near * beside).sum() / near.sum()) * np.pi / count
    normal = around_axis(elevation, np.array([direction]))[0]
    return normal if abs(normal[2]) < MOST_FACING else None


def around(planes: Float32[np.ndarray, "37"]) -> Float32[np.ndarray, "36"]:
    """The share of each direction with its neighbours."""
    return np.sum([np.roll(planes[:-1], shift) for shift in range(-AROUND, AROUND + 1)], axis=0)


def reflected(places: Float64[np.ndarray, "... 3"], normal: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "... 3"]:
    """Places in the camera's space, mirrored in a plane through the middle of the frame, 1 unit away."""
    return places - twice_along(places - (0, 0, INPUT_DISTANCE), normal)


def twice_along(vectors: Float[np.ndarray, "... 3"], normal: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "... 3"]:
    """What a mirror with that normal takes from vectors."""
    return 2 * (vectors @ normal)[..., None] * normal


def with_other_side(
    behind: Float32[np.ndarray, "S S 3"],
    rgb: Float32[np.ndarray, "S S 3"],
    alpha: Float32[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    back: Float32[np.ndarray, "S S"],
    normal: Float64[np.ndarray, "3"],
    camera: Cameras,
) -> Float32[np.ndarray, "S S 3"]:
    """The colours `behind` with those of the photo where it shows the mirror image of a place of the back.

    `front` and `back` are depths, `normal` that of a plane through the middle of the frame, 1 unit away.
    """
    import cv2

    rays = rays_in_cam(camera).astype(np.float64)
    places, in_front = rays * back[..., None], rays * front[..., None]
    mirrored = reflected(places, normal)
    # Thin things are near to their front behind, too: the mirror image has to look at the camera.
    outward = grid_normals(places)
    outward = outward * np.sign((outward * rays).sum(-1, keepdims=True))
    towards = -((outward - twice_along(outward, normal)) * mirrored).sum(-1)
    turned = towards > GRAZING * np.linalg.norm(mirrored, axis=-1)
    maps = np.concatenate([rgb, alpha[..., None], front[..., None], facing(in_front)[..., None]], -1).astype(np.float32)
    seen = sampled(maps, mirrored, camera)
    apart = np.abs(mirrored[..., 2] - seen[..., 4])
    shown = turned & (seen[..., 3] > 0.95) & (apart < SAME_SURFACE * frame_width(camera)) & (seen[..., 5] > GRAZING)
    blur = FEATHER * camera.width
    # Only what lies well within is taken, so that the blur reaches no other colours.
    inner = cv2.erode(shown.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(blur)))
    share = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), blur)[..., None] * shown[..., None]
    return ((1 - share) * behind + share * seen[..., :3]).astype(np.float32)
