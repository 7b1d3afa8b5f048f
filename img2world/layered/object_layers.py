"""Build an object as a closed shape: the photo in front, plainer colors behind."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.core.subject import ObjectGeometry, Subject
from img2world.layered.cuboid import fit_cuboid
from img2world.layered.inpaint import extend_nearest, fill_smooth
from img2world.layered.layers import DETAIL, INVENTED, SEEN, Layer, layer_from_depth
from img2world.layered.revolution import fit_revolution
from img2world.layered.solid_layers import solid_layers
from img2world.layered.solids import MAX_RADIUS, Solid
from img2world.layered.symmetry import copy_mirrored_colors, find_mirror_plane

OBJECT_FOV = np.radians(30.0)
"""A long lens, as product photos use: an unknown object's outline is then nearly its section."""

OBJECT_FRACTION = 0.74
"""Longer side of the object's bounding box relative to the frame. A larger one would be cut off when it turns."""

MAX_RIM_SLOPE = 8.0
"""Maximum slope of the half thickness at the outline: a box is thick up to its outline."""

FRONT_ERROR_FRACTION = 0.25
"""Fraction of the predicted error by which the front is moved nearer; the rest thickens the less certain back."""

CENTERING = 0.5
"""Fraction of the way from the predicted center to the center of the bounding box by which the shape is moved."""

MIN_OUTER_SLOPE, OUTER_FRACTION = 2.0, 0.5
"""Minimum slope at which front and back go on past each other beyond the outline, and that slope relative to the half
thickness in pixels: less leaves slits at the rim of a body, more shows as spikes along a leg."""

OVERSHOOT = 4
"""Pixels beyond the outline up to which front and back continue past each other."""

SUBPIXELS = 4
"""Cells per pixel along each side when an outline is measured between pixels."""

SOLID_SIDE = 96
"""Pixels of the frame in which a simple solid is fitted."""

MAX_ELEVATION = np.radians(60.0)
"""Above this an orbit about the vertical would hardly go around the object."""

RIM_WIDTH = 0.03
"""Width of the rim whose colors continue behind, relative to the frame's width."""

BLEND_WIDTH = 0.03
"""Distance from the outline, relative to the frame's width, over which the back takes on colors of its own."""

SIDEWAYS_SPREAD = 8
"""Ratio of horizontal to vertical spread of colors: most objects are layered from the ground up, and a point keeps its
height when the object turns about the vertical."""

STRIPES_FRACTION, STRIPES_DISTANCE = 0.5, 0.1
"""Weight of the front's horizontal stripes in the colors of the back, and the distance from the outline, relative to
the frame's width, at which it is reached: next to the outline they would show a seam."""

STRIPES_TOLERANCE = 0.2
"""Difference from the rim's color, 0 to 1, at which a stripe no longer goes around: the back of a picture frame looks
like its rim."""


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """The object centered in a square frame."""

    rgb: Float32[np.ndarray, "S S 3"]
    """0 to 1, continued beyond the outline with the object's own colors."""
    alpha: Float32[np.ndarray, "S S"]


def object_camera(size: int) -> Cameras:
    """Return the input camera of an object: a square frame of `size` pixels, 1 unit in front of the origin."""
    world_from_cam = np.eye(4, dtype=np.float32)
    world_from_cam[2, 3] = -INPUT_DISTANCE
    intrinsics = intrinsics_from_fov(OBJECT_FOV, size, size)
    return Cameras(world_from_cam=world_from_cam[None], intrinsics=intrinsics[None], width=size, height=size)


def frame_around(alpha: UInt8[np.ndarray, "H W"]) -> tuple[float, float, float]:
    """Return left, top and side, in pixels, of the square frame in which an object fills OBJECT_FRACTION."""
    solid = alpha > 127
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    side = max(np.ptp(rows), np.ptp(columns), 1) / OBJECT_FRACTION
    return (columns[0] + columns[-1] + 1) / 2 - side / 2, (rows[0] + rows[-1] + 1) / 2 - side / 2, side


def cut_out(image: Image, alpha: UInt8[np.ndarray, "H W"], size: int) -> CutOut:
    """Crop an object, given by its alpha, to a square frame in which it fills OBJECT_FRACTION."""
    import cv2

    left, top, side = frame_around(alpha)
    solid = alpha > 127
    # Colors at the outline are blended with the background; those a little inside are the object's own.
    inner = cv2.erode(solid.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inner = inner if inner.any() else solid
    own = extend_nearest(image.rgb, inner).astype(np.float32) / 255
    scale = size / side
    # Averaging before shrinking keeps thin parts from flickering (cv2.warpAffine samples points only).
    blur = max(0.0, 0.5 * (1 / scale - 1))
    cover = alpha.astype(np.float32) / 255
    if blur > 0.3:
        own, cover = cv2.GaussianBlur(own, (0, 0), blur), cv2.GaussianBlur(cover, (0, 0), blur)
    shift = np.array([[scale, 0, -left * scale + 0.5 * scale - 0.5], [0, scale, -top * scale + 0.5 * scale - 0.5]])
    rgb = cv2.warpAffine(own, shift, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    framed = cv2.warpAffine(cover, shift, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return CutOut(rgb=rgb.clip(0, 1), alpha=framed.clip(0, 1))


def object_layers(subject: Subject, size: int) -> tuple[Layer, Layer]:
    """Build the closed shape of an object, centered on the origin and seen by `object_camera(size)`: front and back."""
    cut, geometry = cut_out_subject(subject, size)
    front, back = layers_of_cut_out(cut, geometry, object_camera(size))
    return replace(front, detail=cut_out_subject(subject, DETAIL * size)[0].rgb), back


def layers_of_cut_out(cut: CutOut, geometry: ObjectGeometry, camera: Cameras) -> tuple[Layer, Layer]:
    """Build front and back: of the solid that fits, or else from the predicted geometry."""
    solid = fit_solid(cut, geometry, camera)
    if solid is not None:
        return solid_layers(solid, cut.rgb, cut.alpha, camera)
    return shell_layers(cut, *shell_surfaces(cut, geometry, camera), camera)


def cut_out_subject(subject: Subject, size: int | None = None) -> tuple[CutOut, ObjectGeometry]:
    """Return the cut-out of an object, at the size of its predicted geometry unless given, and that geometry."""
    assert subject.alpha is not None
    assert isinstance(subject.geometry, ObjectGeometry)
    return cut_out(subject.image, subject.alpha, size or len(subject.geometry.front)), subject.geometry


def camera_elevation(subject: Subject) -> float:
    """Return the elevation of the photo's camera above an object in radians, 0 or more.

    It is that of the solid which fits the object's outline, or else the predicted one.
    """
    cut, geometry = cut_out_subject(subject)
    solid = fit_solid(cut, geometry, object_camera(len(cut.alpha)))
    return float(np.clip(geometry.elevation if solid is None else solid.elevation, 0, MAX_ELEVATION))


def fit_solid(cut: CutOut, geometry: ObjectGeometry, camera: Cameras) -> Solid | None:
    """Return the surface of revolution or box with the object's outline, if one agrees with the predicted geometry."""
    import cv2

    side = (SOLID_SIDE, SOLID_SIDE)
    alpha, front, thickness = (
        cv2.resize(values, side, interpolation=cv2.INTER_AREA)
        for values in (cut.alpha, geometry.front, geometry.thickness)
    )
    distance, small = signed_distance(alpha), camera.resized(*side)
    revolution = fit_revolution(distance, front, thickness, geometry.symmetry_planes, geometry.elevation, small)
    return revolution or fit_cuboid(distance, front, thickness, geometry.elevation, small)


def shell_layers(
    cut: CutOut,
    center: Float32[np.ndarray, "S S"],
    half: Float32[np.ndarray, "S S"],
    behind: Float32[np.ndarray, "S S 3"],
    camera: Cameras,
) -> tuple[Layer, Layer]:
    """Build front and back from the depth halfway between them, the half thickness and the colors behind."""
    front = layer_from_depth(camera, center - half, cut.rgb, np.full(half.shape, SEEN, np.uint8), alpha=cut.alpha)
    back = layer_from_depth(camera, center + half, behind, np.full(half.shape, INVENTED, np.uint8), alpha=cut.alpha)
    return front, back


def shell_surfaces(
    cut: CutOut, geometry: ObjectGeometry, camera: Cameras
) -> tuple[Float32[np.ndarray, "S S"], Float32[np.ndarray, "S S"], Float32[np.ndarray, "S S 3"]]:
    """Return the depth halfway between front and back, the half thickness, closed at the outline, and colors behind."""
    import cv2

    inside = cut.alpha >= 0.5
    size = inside.shape[0]
    front, thickness, predicted_error = (
        cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC)
        for values in (geometry.front, geometry.thickness, geometry.predicted_error)
    )
    thickness, predicted_error = np.maximum(thickness, 0), np.maximum(predicted_error, 0)
    # Where the network is unsure it predicts too thin a shape, by about the error that it predicts. That error is large
    # at legs and rods; adding all of it would turn them into slabs.
    slack = np.minimum(predicted_error, 0.5 * thickness)
    front, thickness = front - FRONT_ERROR_FRACTION * slack, thickness + slack
    half = bevel((0.5 * size * thickness).astype(np.float32), cut.alpha, MAX_RIM_SLOPE) / size
    # Beyond the outline the surface continues at the depth a little inside, which is not blended with the background.
    inner = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    center = extend_nearest(front + 0.5 * thickness, inner if inner.any() else inside)
    # The path turns about the center of the bounding box, halfway to where the network predicts the center.
    extent = np.percentile(center[inside] - half[inside], 2), np.percentile(center[inside] + half[inside], 98)
    center = center - np.float32(CENTERING * 0.5 * (extent[0] + extent[1]))
    lateral = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    max_depth = np.sqrt(np.maximum(MAX_RADIUS**2 - lateral**2, 0.01))
    excess = np.float32(max(1.0, float(((np.abs(center) + half) / max_depth)[inside].max(initial=0))))
    center, half = center / excess, half / excess
    frame = INPUT_DISTANCE * size / camera.intrinsics[0, 0, 0]
    depth = (INPUT_DISTANCE + frame * cv2.GaussianBlur(center, (0, 0), size / 256)).astype(np.float32)
    half = (frame * half).astype(np.float32)
    behind = colors_behind(cut)
    plane = find_mirror_plane(geometry.symmetry_planes, geometry.elevation, depth, half, inside, camera)
    if plane is not None:
        behind = copy_mirrored_colors(behind, cut.rgb, cut.alpha, depth - half, depth + half, plane, camera)
    return depth, half, blend_at_rim(behind, cut)


def blend_at_rim(behind: Float32[np.ndarray, "S S 3"], cut: CutOut) -> Float32[np.ndarray, "S S 3"]:
    """Return the colors of the back, led over from those of the front where both meet: no seam shows at the outline."""
    import cv2

    size = len(cut.alpha)
    inward = cv2.distanceTransform((cut.alpha >= 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    weight = (inward / (BLEND_WIDTH * size)).clip(0, 1)
    weight = (weight * weight * (3 - 2 * weight))[..., None]
    return ((1 - weight) * cut.rgb + weight * behind).astype(np.float32)


def bevel(
    half: Float32[np.ndarray, "S S"], alpha: Float32[np.ndarray, "S S"], slope: float
) -> Float32[np.ndarray, "S S"]:
    """Bevel a half thickness in pixels: it rises from the outline with a bounded slope and is negative outside.

    A round rim would be infinitely steep there and stretch one pixel of the photo over the whole side. Where it is
    negative front and back have crossed, so that no slit shows the inside.
    """
    import cv2

    # Clipped, as the surfaces would reach the camera farther out, where nothing is drawn.
    inward = np.maximum(signed_distance(alpha) - 0.5, -OVERSHOOT)
    ramp = slope * np.maximum(inward, 0)
    # A smooth minimum of the ramp and the shape.
    rounded = half * ramp / np.maximum(np.hypot(half, ramp), 1e-6)
    rounded = cv2.GaussianBlur(rounded.astype(np.float32), (0, 0), 1.0)
    side = 2 * OVERSHOOT + 1
    nearby = cv2.dilate(np.where(alpha >= 0.5, half, 0).astype(np.float32), np.ones((side, side), np.uint8))
    outer_slope = (OUTER_FRACTION * nearby).clip(MIN_OUTER_SLOPE, slope)
    return np.where(inward > 0, rounded, np.where(alpha >= 0.5, 0, outer_slope * inward)).astype(np.float32)


def signed_distance(alpha: Float32[np.ndarray, "S S"]) -> Float32[np.ndarray, "S S"]:
    """Return the distance in pixels from where alpha crosses one half, negative outside, to a fraction of a pixel.

    Whole pixels would step along a slanted outline, and turn a rod of a few pixels' width into beads.
    """
    import cv2

    size = alpha.shape[0]
    fine = cv2.resize(alpha, None, fx=SUBPIXELS, fy=SUBPIXELS, interpolation=cv2.INTER_LINEAR) >= 0.5
    inward, outward = (
        cv2.distanceTransform(np.ascontiguousarray(side, np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (fine, ~fine)
    )
    # Distances are to the center of the first cell beyond, which is half a cell too far.
    distance = (inward - outward - np.where(fine, 0.5, -0.5)) / SUBPIXELS
    return cv2.resize(distance.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


def colors_behind(cut: CutOut) -> Float32[np.ndarray, "S S 3"]:
    """Return the colors of the back: those of the rim, where it meets the front, continued at their own height.

    Farther in they are mixed with the front's stripes, which hold no features: a mirrored photo would give a face a
    second face, and blurred features look like stains.
    """
    import cv2

    size = cut.alpha.shape[0]
    inside = cut.alpha >= 0.5
    # An object that is cut off by the picture's border has a rim there: each row needs one.
    inward = cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rim = (inside & (inward <= max(2.5, RIM_WIDTH * size))).astype(np.float32)
    narrow = max(size // SIDEWAYS_SPREAD, 1), size
    cover = cv2.resize(rim, narrow, interpolation=cv2.INTER_AREA)[..., None]
    colors = cv2.resize(cut.rgb * rim[..., None], narrow, interpolation=cv2.INTER_AREA) / np.maximum(cover, 1e-6)
    filled = fill_smooth(colors, cover[..., 0] > 0)
    wide = cv2.resize(filled, (size, size), interpolation=cv2.INTER_CUBIC)
    continued = cv2.GaussianBlur(wide, (0, 0), size / 64)
    stripes, likelihood = find_stripes(cut, inside, rim > 0)
    weight = STRIPES_FRACTION * likelihood * np.minimum(1, inward / (STRIPES_DISTANCE * size))[..., None]
    return ((1 - weight) * continued + weight * stripes).clip(0, 1)


def find_stripes(
    cut: CutOut, inside: Bool[np.ndarray, "S S"], rim: Bool[np.ndarray, "S S"]
) -> tuple[Float32[np.ndarray, "S 1 3"], Float32[np.ndarray, "S 1 1"]]:
    """Return the predominant color at each height, and how likely it goes around, as the hoops of a barrel do."""
    import cv2

    size = cut.alpha.shape[0]
    stripes, likelihood = np.zeros((size, 1, 3), np.float32), np.zeros((size, 1, 1), np.float32)
    for row in np.flatnonzero(inside.any(1)):
        stripes[row, 0] = np.median(cut.rgb[row, inside[row]], axis=0)
        difference = np.abs(np.median(cut.rgb[row, rim[row]], axis=0) - stripes[row, 0]).max()
        likelihood[row] = np.exp(-((difference / STRIPES_TOLERANCE) ** 2))
    smooth, smooth_likelihood = (
        cv2.GaussianBlur(values, (1, 0), sigmaX=0, sigmaY=size / 128) for values in (stripes, likelihood)
    )
    return smooth, smooth_likelihood.reshape(size, 1, 1)
