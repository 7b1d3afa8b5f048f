"""An object cut out of its picture as a closed shape: the photo in front, a plainer guess behind."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.layered.cuboid import box_shape
from img2world.layered.foreground import Foreground
from img2world.layered.inflate import inflate
from img2world.layered.inpaint import fill_smooth, nearest_known
from img2world.layered.layers import INVENTED, SEEN, Layer, LayeredWorld, layer_from_depth
from img2world.layered.revolution import round_shape
from img2world.layered.solid_layers import solid_layers
from img2world.layered.solids import FARTHEST_OUT, Solid
from img2world.layered.symmetry import mirror_normal, with_other_side

if TYPE_CHECKING:
    from img2world.depth.predict import ObjectGuess

OBJECT_FOV = np.radians(30.0)
"""A long lens, as product photos use: an unknown object's outline is then nearly its section."""

OBJECT_SHARE = 0.74
"""Longer side of the object's box relative to the frame. More would be cut off when it turns."""

RIM_SLOPE = 3.0
"""Steepest rise of the shape's half thickness from its outline."""

LEARNED_RIM_SLOPE = 8.0
"""The same where the network knows that the shape is thick up to its outline, as a box is."""

DOUBT_BEFORE = 0.25
"""Share of the error to be expected by which the front comes nearer: what is seen is known better than what is not."""

CENTERED = 0.5
"""How far a shape is moved from where the network takes its middle to be to where the middle of its box is."""

OUTSIDE = 4
"""Pixels beyond the outline up to which front and back go on crossing."""

FINER = 4
"""Cells per pixel along each side where an outline is measured between pixels."""

SOLID_SIDE = 96
"""Pixels of the frame in which a simple shape is sought."""

ELEVATION_SIDE = 192
"""The same in which the photo's elevation is guessed."""

STEEPEST = np.radians(60.0)
"""Elevation from which a path around the vertical would hardly be one around the object."""

RIM = 0.03
"""Width of the rim whose colours go on behind, relative to the frame's."""

SIDEWAYS = 8
"""How many times as far colours go on to the side as up and down: most things are layered from the ground up, and a
point keeps its height when its thing turns about the vertical."""

LAYERS_SHARE, LAYERS_FROM = 0.5, 0.1
"""Share of the front's layers in the back's colours, and how far from the outline, relative to the frame's width, it is
all there: beside the outline they would show a seam."""

LAYERS_DIFFER = 0.2
"""Difference from the rim's colour, 0 to 1, at which a layer begins to be none: a picture's back is as its frame is."""


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """The object centred in a square frame."""

    rgb: Float32[np.ndarray, "S S 3"]
    """0 to 1, continued beyond the outline with the object's own colours."""
    alpha: Float32[np.ndarray, "S S"]


def object_camera(size: int) -> Cameras:
    """The input camera of an object's square frame: `size` pixels, 1 unit before the origin."""
    world_from_cam = np.eye(4, dtype=np.float32)
    world_from_cam[2, 3] = -INPUT_DISTANCE
    intrinsics = intrinsics_from_fov(OBJECT_FOV, size, size)
    return Cameras(world_from_cam=world_from_cam[None], intrinsics=intrinsics[None], width=size, height=size)


def cut_out(image: Image, foreground: Foreground, size: int) -> CutOut:
    """Crop the object to a square frame in which it fills OBJECT_SHARE."""
    import cv2

    solid = foreground.alpha > 0.5
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    side = max(np.ptp(rows), np.ptp(columns), 1) / OBJECT_SHARE
    left = (columns[0] + columns[-1] + 1) / 2 - side / 2
    top = (rows[0] + rows[-1] + 1) / 2 - side / 2
    # Colours at the outline are mixed with the background; those a little inside are the object's.
    inner = cv2.erode(solid.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inner = inner if inner.any() else solid
    _, nearest_row, nearest_column = nearest_known(inner)
    own = image.rgb[nearest_row, nearest_column].astype(np.float32) / 255
    scale = size / side
    # Averaging before shrinking keeps thin parts from flickering (cv2.warpAffine samples points only).
    blur = max(0.0, 0.5 * (1 / scale - 1))
    alpha = foreground.alpha
    if blur > 0.3:
        own, alpha = cv2.GaussianBlur(own, (0, 0), blur), cv2.GaussianBlur(alpha, (0, 0), blur)
    shift = np.array([[scale, 0, -left * scale + 0.5 * scale - 0.5], [0, scale, -top * scale + 0.5 * scale - 0.5]])
    rgb = cv2.warpAffine(own, shift, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    framed = cv2.warpAffine(alpha, shift, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return CutOut(rgb=rgb.clip(0, 1), alpha=framed.clip(0, 1))


def object_world(image: Image, foreground: Foreground, size: int, *, learned: bool = True) -> LayeredWorld:
    """The closed shape of an object, centred on the origin, seen by `object_camera(size)`.

    Its depths are those the embedded network guesses, or what its outline lets expect when they are not `learned`.
    """
    cut, camera = cut_out(image, foreground, size), object_camera(size)
    layers = learned_layers(cut, camera) if learned else shells(cut, camera, outline_halves(cut, camera))
    return LayeredWorld(layers=layers, is_object=True)


def elevation_above(image: Image, foreground: Foreground) -> float:
    """How far above an object its photo was taken, in radians, as the embedded network guesses it; never from below.

    Of what is round or a box its outline tells it better.
    """
    from img2world.depth.predict import guess_object

    cut, camera = cut_out(image, foreground, ELEVATION_SIDE), object_camera(ELEVATION_SIDE)
    guess = guess_object(cut.rgb, cut.alpha)
    shape = seen_as_solid(cut, camera, guess)
    return float(np.clip(guess.elevation if shape is None else shape.elevation, 0, STEEPEST))


def learned_layers(cut: CutOut, camera: Cameras) -> tuple[Layer, Layer]:
    """Front and back as the embedded network sees them; what is round or a box as its outline tells."""
    from img2world.depth.predict import guess_object

    guess = guess_object(cut.rgb, cut.alpha)
    shape = seen_as_solid(cut, camera, guess)
    if shape is not None:
        return solid_layers(shape, cut.rgb, cut.alpha, camera)
    return shells(cut, camera, learned_halves(cut, camera, guess))


def seen_as_solid(cut: CutOut, camera: Cameras, guess: "ObjectGuess") -> Solid | None:
    """The round shape or the box with the outline, if the network sees such a shape, too."""
    import cv2

    side = (SOLID_SIDE, SOLID_SIDE)
    alpha, front, thickness = (
        cv2.resize(values, side, interpolation=cv2.INTER_AREA) for values in (cut.alpha, guess.front, guess.thickness)
    )
    distance, small = signed_distance(alpha), camera.resized(*side)
    round_one = round_shape(distance, front, thickness, small)
    return round_one or box_shape(distance, front, thickness, guess.elevation, small)


Halves = tuple[Float32[np.ndarray, "S S"], Float32[np.ndarray, "S S"], Float32[np.ndarray, "S S 3"]]
"""Depth of the middle between front and back, half thickness, colours behind."""


def shells(cut: CutOut, camera: Cameras, halves: Halves) -> tuple[Layer, Layer]:
    """Front and back that meet at the outline."""
    middle, half, behind = halves
    front = shell(camera, middle - half, cut.alpha, cut.rgb, SEEN)
    back = shell(camera, middle + half, cut.alpha, behind, INVENTED)
    return front, back


def outline_halves(cut: CutOut, camera: Cameras) -> Halves:
    """Flat in the middle, and as thick as the outline is wide."""
    inside = cut.alpha >= 0.5
    half = bevelled(inflate(inside), cut.alpha, RIM_SLOPE) / camera.intrinsics[0, 0, 0]
    return np.full(half.shape, INPUT_DISTANCE, np.float32), half, colors_behind(cut)


def learned_halves(cut: CutOut, camera: Cameras, guess: "ObjectGuess") -> Halves:
    """What the embedded network sees, closed at the outline."""
    import cv2

    inside = cut.alpha >= 0.5
    size = inside.shape[0]
    # What the network is not sure of it takes for too thin: by about the error that it expects. Of legs and rods it
    # does not know the place; they would become slabs.
    doubt = np.minimum(guess.doubt, 0.5 * guess.thickness)
    front, thickness = guess.front - DOUBT_BEFORE * doubt, guess.thickness + doubt
    half = bevelled((0.5 * size * thickness).astype(np.float32), cut.alpha, LEARNED_RIM_SLOPE) / size
    # The surface goes on beyond the outline as it is a little inside, where no other thing's depth is mixed in.
    inner = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    _, rows, columns = nearest_known(inner if inner.any() else inside)
    middle = (front + 0.5 * thickness)[rows, columns]
    # The path turns about the middle of the shape's box, half way to where the network took that to be.
    reach = np.percentile(middle[inside] - half[inside], 2), np.percentile(middle[inside] + half[inside], 98)
    middle = middle - np.float32(CENTERED * 0.5 * (reach[0] + reach[1]))
    aside = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    room = np.sqrt(np.maximum(FARTHEST_OUT**2 - aside**2, 0.01))
    too_deep = max(1.0, float(((np.abs(middle) + half) / room)[inside].max(initial=0)))
    middle, half = middle / np.float32(too_deep), half / np.float32(too_deep)
    frame = INPUT_DISTANCE * size / camera.intrinsics[0, 0, 0]
    depth = (INPUT_DISTANCE + frame * cv2.GaussianBlur(middle, (0, 0), size / 256)).astype(np.float32)
    half = (frame * half).astype(np.float32)
    behind, normal = colors_behind(cut), mirror_normal(guess.planes, guess.elevation)
    if normal is not None:
        behind = with_other_side(behind, cut.rgb, cut.alpha, depth - half, depth + half, normal, camera)
    return depth, half, behind


def shell(
    camera: Cameras,
    depth: Float32[np.ndarray, "S S"],
    alpha: Float32[np.ndarray, "S S"],
    texture: np.ndarray,
    seen: int,
) -> Layer:
    """One half of the closed shape."""
    known = np.full(depth.shape, seen, np.uint8)
    return layer_from_depth(camera, depth.astype(np.float32), texture, known, alpha=alpha)


def bevelled(
    half: Float32[np.ndarray, "S S"], alpha: Float32[np.ndarray, "S S"], slope: float
) -> Float32[np.ndarray, "S S"]:
    """Half thickness in pixels that rises from the outline with a bounded slope, and goes on below zero outside of it.

    A round rim would be infinitely steep there and stretch one pixel of the photo over the whole side.
    Below zero front and back have crossed, so that no slit shows the inside.
    """
    import cv2

    # Nothing is drawn farther out, where the surfaces would reach the camera.
    inward = np.maximum(signed_distance(alpha) - 0.5, -OUTSIDE)
    bevel = slope * np.maximum(inward, 0)
    # A smooth minimum of the bevel and the round shape.
    rounded = half * bevel / np.maximum(np.hypot(half, bevel), 1e-6)
    rounded = cv2.GaussianBlur(rounded.astype(np.float32), (0, 0), 1.0)
    return np.where(inward > 0, rounded, np.where(alpha >= 0.5, 0, slope * inward)).astype(np.float32)


def signed_distance(alpha: Float32[np.ndarray, "S S"]) -> Float32[np.ndarray, "S S"]:
    """Pixels from where alpha crosses one half, negative outside, to a fraction of a pixel.

    Whole pixels would step along a slanted outline, and make beads of what is a few pixels wide.
    """
    import cv2

    size = alpha.shape[0]
    fine = cv2.resize(alpha, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR) >= 0.5
    inward, outward = (
        cv2.distanceTransform(np.ascontiguousarray(side, np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (fine, ~fine)
    )
    # Distances are to the middle of the first cell beyond, which is half a cell too far.
    distance = (inward - outward - np.where(fine, 0.5, -0.5)) / FINER
    return cv2.resize(distance.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


def colors_behind(cut: CutOut) -> Float32[np.ndarray, "S S 3"]:
    """The colours of the back: those of the rim, where it meets the front, go on at their own height.

    Farther in they are mixed with the front's layers, from which features are gone: a mirrored photo would give a face
    a second face, and blurred features look like stains.
    """
    import cv2

    size = cut.alpha.shape[0]
    inside = cut.alpha >= 0.5
    # Where the picture ends, the object does: each row has a rim.
    inward = cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rim = (inside & (inward <= max(2.5, RIM * size))).astype(np.float32)
    narrow = max(size // SIDEWAYS, 1), size
    share = cv2.resize(rim, narrow, interpolation=cv2.INTER_AREA)[..., None]
    colors = cv2.resize(cut.rgb * rim[..., None], narrow, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)
    filled = fill_smooth(colors, share[..., 0] > 0)
    wide = cv2.resize(filled, (size, size), interpolation=cv2.INTER_CUBIC)
    going_on = cv2.GaussianBlur(wide, (0, 0), size / 64)
    layers, going_around = layers_of(cut, inside, rim > 0)
    of_layers = LAYERS_SHARE * going_around * np.minimum(1, inward / (LAYERS_FROM * size))[..., None]
    return ((1 - of_layers) * going_on + of_layers * layers).clip(0, 1)


def layers_of(
    cut: CutOut, inside: Bool[np.ndarray, "S S"], rim: Bool[np.ndarray, "S S"]
) -> tuple[Float32[np.ndarray, "S 1 3"], Float32[np.ndarray, "S 1 1"]]:
    """The colour that most of the object has at each height, and how surely it goes around: of a barrel its hoops."""
    import cv2

    size = cut.alpha.shape[0]
    layers, going_around = np.zeros((size, 1, 3), np.float32), np.zeros((size, 1, 1), np.float32)
    for row in np.flatnonzero(inside.any(1)):
        layers[row, 0] = np.median(cut.rgb[row, inside[row]], axis=0)
        differing = np.abs(np.median(cut.rgb[row, rim[row]], axis=0) - layers[row, 0]).max()
        going_around[row] = np.exp(-((differing / LAYERS_DIFFER) ** 2))
    smooth, surely = (
        cv2.GaussianBlur(values, (1, 0), sigmaX=0, sigmaY=size / 128) for values in (layers, going_around)
    )
    return smooth, surely.reshape(size, 1, 1)
