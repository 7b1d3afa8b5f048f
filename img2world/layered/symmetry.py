"""Color the hidden side of an object by mirror symmetry: most objects have an upright symmetry plane.

The embedded network predicts the plane's direction, and the outline confirms it: the mirror image of the predicted
shape has to have the same outline. Points of the back get the color of their mirror image in the photo. Only colors
are mirrored: a back surface that is moved to the mirror image of a front surface nearby gets lumps.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.layers import rays_in_cam
from img2world.layered.solids import around_axis, frame_width, sample_at_points
from img2world.layered.texture_baking import facing_ratio, grid_normals

NEIGHBORS = 2
"""Directions, 5 degrees apart, on both sides of a direction that are counted with it."""

MIN_PROBABILITY, PROBABILITY_FLOOR = 0.05, 0.02
"""Minimum predicted probability of a plane's direction, summed over its neighbors; an error of that prediction."""

OUTLINE_WEIGHT = 10.0
"""Logarithm of the odds that a unit of overlap of the mirrored outline is worth."""

MIN_ODDS = 2.0
"""Minimum odds of a direction against any other one: a box is symmetric both lengthwise and across."""

OUTLINE_SIDE = 96
"""Pixels of the frame in which outlines are compared."""

NUM_SHEETS = 5
"""Surfaces from front to back whose points stand for the shape."""

EXTENT_PERCENTILE = 1.0
"""Percentile of the points at which the shape's extent along a normal begins."""

MAX_FACING = np.cos(np.radians(30))
"""Cosine between the optical axis and a plane's normal above which the front as a whole is repeated behind."""

SIDE_VIEW_ASPECT = 1.25
"""Ratio of width to height from which on that is allowed: vehicles and animals from the side are wider than high, but
a person or a head would get a second face."""

SAME_SURFACE = 0.1
"""Maximum difference in depth, relative to the frame's width, between a mirrored point and the surface in the photo."""

MIN_FACING = 0.2
"""Minimum facing ratio at which the photo shows the colors of a surface well enough."""

FEATHER = 1 / 128
"""Blur of the border of mirrored colors, relative to the frame's width."""


@dataclass(frozen=True, kw_only=True)
class MirrorPlane:
    """A symmetry plane in camera space."""

    normal: Float64[np.ndarray, "3"]
    offset: float
    """Position along the normal, relative to the point that the camera looks at, in world units."""

    def reflect(self, points: Float64[np.ndarray, "... 3"]) -> Float64[np.ndarray, "... 3"]:
        """Return the mirror images of points in camera space."""
        distance = (points - (0, 0, INPUT_DISTANCE)) @ self.normal - self.offset
        return points - 2 * distance[..., None] * self.normal


def find_mirror_plane(
    planes: Float32[np.ndarray, "37"],
    elevation: float,
    center: Float32[np.ndarray, "S S"],
    half: Float32[np.ndarray, "S S"],
    inside: Bool[np.ndarray, "S S"],
    camera: Cameras,
) -> MirrorPlane | None:
    """Return an object's upright symmetry plane, or None if it is uncertain or would give a face a second face.

    `planes` are the probabilities of the normal's directions, from away from the camera (0 degrees) over its right (90)
    to 180, and last that of no symmetry plane; see `ObjectGeometry`. `elevation` is in radians; `center` and `half` are
    the depth and the half thickness of the shape within its outline `inside`.
    """
    count = len(planes) - 1
    normals = around_axis(elevation, np.arange(count) * np.pi / count)
    probabilities = sum_neighbors(planes)
    candidates, overlaps = mirrored_overlaps(normals, center, half, inside, camera)
    scores = np.log(probabilities + PROBABILITY_FLOOR) + OUTLINE_WEIGHT * overlaps
    best = int(scores.argmax())
    others = scores[(best + np.arange(2 * NEIGHBORS + 1, count - 2 * NEIGHBORS)) % count]
    if probabilities[best] < MIN_PROBABILITY or scores[best] - others.max() < np.log(MIN_ODDS):
        return None
    plane = candidates[best]
    rows, columns = (np.ptp(np.flatnonzero(inside.any(axis))) + 1 for axis in (1, 0))
    is_repeated = abs(plane.normal[2]) > MAX_FACING
    return None if is_repeated and columns < SIDE_VIEW_ASPECT * rows else plane


def sum_neighbors(planes: Float32[np.ndarray, "37"]) -> Float32[np.ndarray, "36"]:
    """Return the probability of each direction together with its neighbors."""
    return np.sum([np.roll(planes[:-1], shift) for shift in range(-NEIGHBORS, NEIGHBORS + 1)], axis=0)


def mirrored_overlaps(
    normals: Float64[np.ndarray, "K 3"],
    center: Float32[np.ndarray, "S S"],
    half: Float32[np.ndarray, "S S"],
    inside: Bool[np.ndarray, "S S"],
    camera: Cameras,
) -> tuple[list[MirrorPlane], Float64[np.ndarray, "K"]]:
    """Return planes through the middle of a shape, and the IoU of its outline with that of its mirror image in each.

    See `find_mirror_plane`.
    """
    import cv2

    size = (OUTLINE_SIDE, OUTLINE_SIDE)
    center, half = (cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (center, half))
    outline = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    small = camera.resized(*size)
    sheets = center + np.linspace(-1, 1, NUM_SHEETS)[:, None, None] * np.maximum(half, 0)
    points = (rays_in_cam(small).astype(np.float64) * sheets[..., None])[:, outline].reshape(-1, 3)
    planes, overlaps = [], []
    for normal in normals:
        along = (points - (0, 0, INPUT_DISTANCE)) @ normal
        extent = np.percentile(along, (EXTENT_PERCENTILE, 100 - EXTENT_PERCENTILE))
        plane = MirrorPlane(normal=normal, offset=float(extent.mean()))
        projected = plane.reflect(points) @ small.intrinsics[0].T.astype(np.float64)
        x, y = np.floor(projected[:, :2] / projected[:, 2:]).astype(np.int64).clip(0, OUTLINE_SIDE - 1).T
        mirrored = np.zeros(size, np.uint8)
        mirrored[y, x] = 1
        mirrored = cv2.morphologyEx(mirrored, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0
        planes.append(plane)
        overlaps.append((mirrored & outline).sum() / max((mirrored | outline).sum(), 1))
    return planes, np.array(overlaps)


def copy_mirrored_colors(
    behind: Float32[np.ndarray, "S S 3"],
    rgb: Float32[np.ndarray, "S S 3"],
    alpha: Float32[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    back: Float32[np.ndarray, "S S"],
    plane: MirrorPlane,
    camera: Cameras,
) -> Float32[np.ndarray, "S S 3"]:
    """Replace colors `behind` by those of the photo where it shows the mirror image of a point of the back.

    `front` and `back` are depths along +Z.
    """
    import cv2

    rays = rays_in_cam(camera).astype(np.float64)
    points, in_front = rays * back[..., None], rays * front[..., None]
    mirrored = plane.reflect(points)
    # The back of a thin object is near its front, too: the mirrored surface has to face the camera.
    outward = grid_normals(points)
    outward = outward * np.sign((outward * rays).sum(-1, keepdims=True))
    mirrored_outward = outward - 2 * (outward @ plane.normal)[..., None] * plane.normal
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
