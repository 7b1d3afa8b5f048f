"""Boxes that stand upright: packets, crates, books, cupboards, doors. An outline of three sides tells their shape.

It tells two angles (how far above the camera is, how far the box is turned) and three sizes. The embedded network takes
boxes for pillows that lean; it is asked whether a thing is a box at all, and for what an outline of fewer sides leaves
open.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.layers import rays_in_cam
from img2world.layered.solids import FARTHEST_OUT, LARGEST_DIFFERENCE, around_axis, difference, frame_width, up_in_cam

ELEVATIONS, TURNS = np.radians(np.arange(0, 61, 5)), np.radians(np.arange(-45, 45, 5))
"""Of the camera above the box, and of the box about the vertical, that are tried first."""

STARTS = 8
"""How many of these, the best ones, are then made exact."""

DIRECTIONS = 72
"""In which an outline's reach is measured."""

FINER = 4
"""Cells per pixel along each side in which the outline is found."""

LEAST_CONVEX = 0.93
"""Share of its convex hull that a box fills: pictures of real ones have dents."""

LARGEST_MISFIT = 0.0035
"""Of the reach of the outline, relative to the frame's width, root mean square."""

REACH_ERROR, INDEPENDENT = 0.004, 6
"""Error to be expected of that reach, and how many of the directions err on their own."""

ELEVATION_ERROR = np.radians(7.0)
"""Error to be expected of the elevation that the network sees."""

LENSES = 1e-3, 0.5
"""How far a perspective may be from that of the camera, relative to it: tried first as it should be, then freely."""

VOLUME_ERROR = 1.0
"""Error to be expected of the logarithm of the volume that the network sees: it only decides what nothing else does."""

THINNEST = 0.005
"""Side of a box, in lengths of the world."""

_CORNERS = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5]), -1).reshape(8, 3)
_ANGLES = np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)
_NORMALS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)


@dataclass(frozen=True, kw_only=True)
class Cuboid:
    """A box whose middle is as far from the camera as the point that it looks at; a `Solid`."""

    elevation: float
    """Of the camera, in radians: the vertical leans by as much towards it."""
    turn: float
    """About the vertical, in radians: at 0 its second size goes away from the camera, at 90 degrees to the right."""
    sizes: tuple[float, float, float]
    """Across, away, up; lengths of the world."""
    middle: tuple[float, float]
    """To the right of the line of sight and below it."""

    @property
    def axes(self) -> Float64[np.ndarray, "3 3"]:
        """Directions of the sizes in the space of the camera."""
        away, across = around_axis(self.elevation, np.array([self.turn, self.turn + np.pi / 2]))
        return np.stack([across, away, up_in_cam(self.elevation)])

    @property
    def center(self) -> Float64[np.ndarray, "3"]:
        """In the space of the camera."""
        return np.array([*self.middle, INPUT_DISTANCE])

    def corners(self) -> Float64[np.ndarray, "8 3"]:
        """In the space of the camera."""
        return self.center + (_CORNERS * self.sizes) @ self.axes

    def surface(self, rows: int, columns: int) -> Float64[np.ndarray, "rows columns 3"]:
        """See `Solid`; every edge lies on a row or a column."""
        across, away, up = self.sizes
        x, y, z = across / 2, away / 2, up / 2
        ring = resampled(np.array([(0, y), (x, y), (x, -y), (-x, -y), (-x, y), (0, y)]), columns)
        inward = np.sqrt(x * y)
        profile = resampled(np.array([(0, -z), (inward, -z), (inward, z), (0, z)]), rows)
        places = np.empty((rows, columns, 3))
        places[..., :2] = (profile[:, 0] / inward)[:, None, None] * ring
        places[..., 2] = profile[:, 1, None]
        return self.center + places @ self.axes

    def depths(self, camera: Cameras) -> tuple[Float64[np.ndarray, "H W"], Float64[np.ndarray, "H W"]]:
        """See `Solid`. Source: the slabs of Kay and Kajiya, "Ray Tracing Complex Scenes", 1986."""
        along, start = rays_in_cam(camera).astype(np.float64) @ self.axes.T, -self.center @ self.axes.T
        half = np.array(self.sizes) / 2
        along = np.where(np.abs(along) < 1e-12, 1e-12, along)
        one, other = (-half - start) / along, (half - start) / along
        near, far = np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
        return np.where(near < far, near, np.nan), np.where(near < far, far, np.nan)


def resampled(corners: Float64[np.ndarray, "K 2"], count: int) -> Float64[np.ndarray, "count 2"]:
    """Evenly spaced places along a line, its corners among them."""
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    steps = np.maximum(1, np.round(lengths / lengths.sum() * (count - 1))).astype(int)
    steps[steps.argmax()] += count - 1 - steps.sum()
    at = np.cumsum([0, *steps])
    return np.stack([np.interp(np.arange(count), at, values) for values in corners.T], 1)


def box_shape(
    distance: Float32[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    thickness: Float32[np.ndarray, "S S"],
    elevation: float,
    camera: Cameras,
) -> Cuboid | None:
    """The box with an outline, if one agrees with what the network sees of it.

    `distance` is to the outline in pixels, negative outside of it; `front`, `thickness` and `elevation` are as in
    `ObjectGeometry`.
    """
    reach = reach_of(distance, camera)
    if reach is None:
        return None
    frame, starts = frame_width(camera), roughly(reach, camera)
    volume = float(thickness[distance > 0].sum()) / thickness.size * frame**3
    for lens in LENSES:
        best, least = None, LARGEST_DIFFERENCE
        for start in starts:
            shape, misfit = exactly(start, reach, elevation, volume, lens, camera)
            # What is seen end-on and long would leave the frame when it turns.
            if 0.5 * np.hypot(*shape.sizes[:2]) > FARTHEST_OUT * frame:
                continue
            if misfit < LARGEST_MISFIT and (wrong := difference(shape, distance > 0, front, thickness, camera)) < least:
                best, least = shape, wrong
        if best:
            return best
    return None


def reach_of(distance: Float32[np.ndarray, "S S"], camera: Cameras) -> Float64[np.ndarray, "72"] | None:
    """How far an outline reaches from the line of sight in each direction, relative to the frame's width.

    None if it is not convex.
    """
    import cv2

    fine = cv2.resize(distance, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR) > 0
    outlines, _ = cv2.findContours(fine.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    hull = cv2.convexHull(np.concatenate(outlines))
    # An outline goes through the middles of its pixels, half of which lie beyond it.
    if fine.sum() < LEAST_CONVEX * (cv2.contourArea(hull) + 0.5 * cv2.arcLength(hull, True)):
        return None
    middle = camera.intrinsics[0, :2, 2].astype(np.float64)
    return (((hull[:, 0] + 0.5) / FINER - middle) / camera.width @ _NORMALS.T).max(0)


def roughly(reach: Float64[np.ndarray, "72"], camera: Cameras) -> list[Cuboid]:
    """Boxes with about such an outline, the best first: as a camera infinitely far away would see them.

    There the width of an outline in one direction is the sum of what each edge is wide in it: of a turned box the
    lengths of the edges follow by non-negative least squares.
    """
    from scipy.optimize import nnls

    half = DIRECTIONS // 2
    widths, normals, frame = reach[:half] + reach[half:], _NORMALS[:half], frame_width(camera)
    middle = ((reach[:half] - reach[half:])[:, None] * normals).mean(0) * frame
    found: list[tuple[float, Cuboid]] = []
    for elevation in ELEVATIONS:
        tried = []
        for turn in TURNS:
            box = Cuboid(elevation=elevation, turn=turn, sizes=(1.0, 1.0, 1.0), middle=(middle[0], middle[1]))
            sizes, wrong = nnls(np.abs(normals @ box.axes[:, :2].T), widths)
            tried.append((wrong, box, np.maximum(frame * sizes, 2 * THINNEST)))
        for i, (wrong, box, sizes) in enumerate(tried):
            if wrong <= tried[i - 1][0] and wrong <= tried[(i + 1) % len(tried)][0]:
                found.append((wrong, replace(box, sizes=(sizes[0], sizes[1], sizes[2]))))
    return [box for _, box in sorted(found, key=lambda each: each[0])[:STARTS]]


def exactly(
    start: Cuboid, reach: Float64[np.ndarray, "72"], elevation: float, volume: float, lens: float, camera: Cameras
) -> tuple[Cuboid, float]:
    """The box near `start` with such an outline, and its misfit; what this leaves open is as the network sees it.

    That are `elevation`, in radians, and `volume`, in cubed lengths of the world; `lens` is one of LENSES. The misfit
    has the units of LARGEST_MISFIT.
    """
    from scipy.optimize import least_squares

    focal = float(camera.intrinsics[0, 0, 0]) / camera.width

    def box_of(values: Float64[np.ndarray, "8"]) -> Cuboid:
        above, turn, across, away, up, x, y, _ = values
        return Cuboid(elevation=above, turn=turn, sizes=(across, away, up), middle=(x, y))

    def misfits(values: Float64[np.ndarray, "8"]) -> Float64[np.ndarray, "72"]:
        corners = box_of(values).corners()
        depths = INPUT_DISTANCE + values[-1] * (corners[:, 2:] - INPUT_DISTANCE)
        return (focal * corners[:, :2] / depths @ _NORMALS.T).max(0) - reach

    def surprise(values: Float64[np.ndarray, "8"]) -> Float64[np.ndarray, "75"]:
        of_outline = misfits(values) / REACH_ERROR * np.sqrt(INDEPENDENT / DIRECTIONS)
        of_network = (
            (values[0] - elevation) / ELEVATION_ERROR,
            np.log(values[2:5].prod() / max(volume, 1e-9)) / VOLUME_ERROR,
        )
        return np.array([*of_outline, *of_network, (values[-1] - 1) / lens])

    values = np.array([start.elevation, start.turn, *start.sizes, *start.middle, 1])
    low = [-1e-6, -4, *[THINNEST] * 3, -1, -1, 0]
    high = [ELEVATIONS[-1] + 1e-6, 4, 2, 2, 2, 1, 1, 3]
    values = least_squares(surprise, values, bounds=(low, high), max_nfev=30).x
    return facing_away(box_of(values)), float(np.sqrt(np.mean(misfits(values) ** 2)))


def facing_away(box: Cuboid) -> Cuboid:
    """The same box, its second side turned by at most 45 degrees."""
    quarters = round(box.turn / (np.pi / 2))
    across, away, up = box.sizes
    sizes = (away, across, up) if quarters % 2 else box.sizes
    return replace(box, turn=box.turn - quarters * np.pi / 2, sizes=sizes)
