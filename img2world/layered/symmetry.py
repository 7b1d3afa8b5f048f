"""Color the hidden side of an object by mirror symmetry: most objects have an upright symmetry plane.

The embedded network predicts the plane; points of the back get the color of their mirror image in the photo. Only
colors are mirrored: a back surface that is moved to the mirror image of a front surface nearby gets lumps.
"""

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.layers import rays_in_cam
from img2world.layered.solids import around_axis, frame_width, sample_at_points
from img2world.layered.texture_baking import facing_ratio, grid_normals

MIN_PROBABILITY = 1 / 3
"""Minimum probability of a plane's direction, summed over NEIGHBORS steps on both sides."""

NEIGHBORS = 2
"""Directions, 5 degrees apart, on both sides of a direction that are counted with it."""

MAX_RIVAL_RATIO = 0.5
"""Maximum probability of any other direction relative to the best: a box is symmetric both lengthwise and across."""

MAX_FACING = np.cos(np.radians(30))
"""Cosine between the optical axis and a plane's normal above which front and back would look alike: a second face."""

SAME_SURFACE = 0.1
"""Maximum difference in depth, relative to the frame's width, between a mirrored point and the surface in the photo."""

MIN_FACING = 0.2
"""Minimum facing ratio at which the photo shows the colors of a surface well enough."""

FEATHER = 1 / 128
"""Blur of the border of mirrored colors, relative to the frame's width."""


def mirror_normal(planes: Float32[np.ndarray, "37"], elevation: float) -> Float64[np.ndarray, "3"] | None:
    """Return the normal, in camera space, of an object's symmetry plane through its center; None if that is uncertain.

    `planes` are the probabilities of the normal's directions, from away from the camera (0 degrees) over its right (90)
    to 180, and last that of no symmetry plane; see `ObjectGeometry`. `elevation` is in radians.
    """
    probabilities = sum_neighbors(planes)
    best, count = int(probabilities.argmax()), len(probabilities)
    others = probabilities[(best + np.arange(2 * NEIGHBORS + 1, count - 2 * NEIGHBORS)) % count]
    if probabilities[best] < MIN_PROBABILITY or others.max() > MAX_RIVAL_RATIO * probabilities[best]:
        return None
    steps = np.arange(-NEIGHBORS, NEIGHBORS + 1)
    near = planes[(best + steps) % count]
    direction = (best + (near * steps).sum() / near.sum()) * np.pi / count
    normal = around_axis(elevation, np.array([direction]))[0]
    return normal if abs(normal[2]) < MAX_FACING else None


def sum_neighbors(planes: Float32[np.ndarray, "37"]) -> Float32[np.ndarray, "36"]:
    """Return the probability of each direction together with its neighbors."""
    return np.sum([np.roll(planes[:-1], shift) for shift in range(-NEIGHBORS, NEIGHBORS + 1)], axis=0)


def reflect(points: Float64[np.ndarray, "... 3"], normal: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "... 3"]:
    """Mirror points in camera space in a plane through the point that the camera looks at."""
    return points - 2 * ((points - (0, 0, INPUT_DISTANCE)) @ normal)[..., None] * normal


def copy_mirrored_colors(
    behind: Float32[np.ndarray, "S S 3"],
    rgb: Float32[np.ndarray, "S S 3"],
    alpha: Float32[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    back: Float32[np.ndarray, "S S"],
    normal: Float64[np.ndarray, "3"],
    camera: Cameras,
) -> Float32[np.ndarray, "S S 3"]:
    """Replace colors `behind` by those of the photo where it shows the mirror image of a point of the back.

    `front` and `back` are depths along +Z, `normal` is that of a plane through the point that the camera looks at.
    """
    import cv2

    rays = rays_in_cam(camera).astype(np.float64)
    points, in_front = rays * back[..., None], rays * front[..., None]
    mirrored = reflect(points, normal)
    # The back of a thin object is near its front, too: the mirrored surface has to face the camera.
    outward = grid_normals(points)
    outward = outward * np.sign((outward * rays).sum(-1, keepdims=True))
    mirrored_outward = outward - 2 * (outward @ normal)[..., None] * normal
    turned = -(mirrored_outward * mirrored).sum(-1) > MIN_FACING * np.linalg.norm(mirrored, axis=-1)
    maps = np.concatenate([rgb, alpha[..., None], front[..., None], facing_ratio(in_front)[..., None]], -1).astype(
        np.float32
    )
    seen = sample_at_points(maps, mirrored, camera)
    apart = np.abs(mirrored[..., 2] - seen[..., 4])
    shown = turned & (seen[..., 3] > 0.95) & (apart < SAME_SURFACE * frame_width(camera)) & (seen[..., 5] > MIN_FACING)
    blur = FEATHER * camera.width
    # The mask is eroded, so that its blurred border stays within it.
    inner = cv2.erode(shown.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(blur)))
    weight = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), blur)[..., None] * shown[..., None]
    return ((1 - weight) * behind + weight * seen[..., :3]).astype(np.float32)
