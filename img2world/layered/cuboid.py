"""Fit an upright box to the outline of an object: packets, crates, books, cupboards, doors.

An outline that shows three sides determines two angles (elevation of the camera, yaw of the box) and three sizes. The
embedded network predicts boxes as leaning pillows; its prediction only decides whether the object is a box at all, and
what an outline that shows fewer sides leaves open.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.layers import rays_in_cam
from img2world.layered.solids import MAX_DIFFERENCE, MAX_RADIUS, around_axis, frame_width, shape_difference, up_in_cam

ELEVATIONS, YAWS = np.radians(np.arange(0, 61, 5)), np.radians(np.arange(-45, 45, 5))
"""Angles to start from, in radians: elevation of the camera above the box, yaw of the box about the vertical."""

NUM_STARTS = 8
"""Number of the best starting points that are refined."""

NUM_DIRECTIONS = 72
"""Directions in which the support function of an outline is evaluated."""

SUBPIXELS = 4
"""Cells per pixel along each side in which the outline is traced."""

MIN_CONVEXITY = 0.93
"""Minimum fraction of its convex hull that the outline of a box fills: pictures of real boxes have dents."""

MAX_MISFIT = 0.0035
"""Maximum root-mean-square error of the support function, relative to the frame's width."""

SUPPORT_ERROR, NUM_INDEPENDENT = 0.004, 6
"""Expected error of the support function, relative to the frame's width, and number of independent errors."""

ELEVATION_ERROR = np.radians(7.0)
"""Expected error of the predicted elevation, in radians."""

PERSPECTIVE_ERRORS = 1e-3, 0.5
"""Expected relative deviation of the photo's perspective from the camera's: first nearly none, then almost free."""

VOLUME_ERROR = 1.0
"""Expected error of the logarithm of the predicted volume: large, so that it decides only what nothing else does."""

MIN_SIDE = 0.005
"""Minimum length of a side, in world units."""

_CORNERS = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5]), -1).reshape(8, 3)
_ANGLES = np.linspace(0, 2 * np.pi, NUM_DIRECTIONS, endpoint=False)
_NORMALS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)


@dataclass(frozen=True, kw_only=True)
class Cuboid:
    """An upright box whose center is INPUT_DISTANCE in front of the camera; a `Solid`."""

    elevation: float
    """Elevation of the camera in radians: the vertical leans towards the camera by this angle."""
    yaw: float
    """Rotation about the vertical in radians: the second size points away from the camera at 0, to the right at π/2."""
    sizes: tuple[float, float, float]
    """Across, away and up, in world units."""
    offset: tuple[float, float]
    """Position of the center to the right of the optical axis and below it, in world units."""

    @property
    def axes(self) -> Float64[np.ndarray, "3 3"]:
        """Return the unit vectors across, away and up in camera space."""
        away, across = around_axis(self.elevation, np.array([self.yaw, self.yaw + np.pi / 2]))
        return np.stack([across, away, up_in_cam(self.elevation)])

    @property
    def center(self) -> Float64[np.ndarray, "3"]:
        """Return the center in camera space."""
        return np.array([*self.offset, INPUT_DISTANCE])

    def corners(self) -> Float64[np.ndarray, "8 3"]:
        """Return the corners in camera space."""
        return self.center + (_CORNERS * self.sizes) @ self.axes

    def surface(self, rows: int, columns: int) -> Float64[np.ndarray, "rows columns 3"]:
        """Return a grid of surface points, see `Solid`; every edge of the box lies on a row or a column."""
        across, away, up = self.sizes
        x, y, z = across / 2, away / 2, up / 2
        ring = resample_polyline(np.array([(0, y), (x, y), (x, -y), (-x, -y), (-x, y), (0, y)]), columns)
        inward = np.sqrt(x * y)
        profile = resample_polyline(np.array([(0, -z), (inward, -z), (inward, z), (0, z)]), rows)
        points = np.empty((rows, columns, 3))
        points[..., :2] = (profile[:, 0] / inward)[:, None, None] * ring
        points[..., 2] = profile[:, 1, None]
        return self.center + points @ self.axes

    def depths(self, camera: Cameras) -> tuple[Float64[np.ndarray, "H W"], Float64[np.ndarray, "H W"]]:
        """Return the depths of the first and last surface, see `Solid`.

        Source: the slab method, Kay and Kajiya, "Ray Tracing Complex Scenes", 1986.
        """
        along, start = rays_in_cam(camera).astype(np.float64) @ self.axes.T, -self.center @ self.axes.T
        half = np.array(self.sizes) / 2
        along = np.where(np.abs(along) < 1e-12, 1e-12, along)
        one, other = (-half - start) / along, (half - start) / along
        near, far = np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
        return np.where(near < far, near, np.nan), np.where(near < far, far, np.nan)


def resample_polyline(corners: Float64[np.ndarray, "K 2"], count: int) -> Float64[np.ndarray, "count 2"]:
    """Return nearly evenly spaced points of a polyline, all of its corners among them."""
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    steps = np.maximum(1, np.round(lengths / lengths.sum() * (count - 1))).astype(int)
    steps[steps.argmax()] += count - 1 - steps.sum()
    at = np.cumsum([0, *steps])
    return np.stack([np.interp(np.arange(count), at, values) for values in corners.T], 1)


def fit_cuboid(
    distance: Float32[np.ndarray, "S S"],
    front: Float32[np.ndarray, "S S"],
    thickness: Float32[np.ndarray, "S S"],
    elevation: float,
    camera: Cameras,
) -> Cuboid | None:
    """Return the box with the outline of an object, or None if none agrees with the predicted geometry.

    `distance` is the signed distance to the outline in pixels, negative outside; `front`, `thickness` and `elevation`
    are those of `ObjectGeometry`.
    """
    support = outline_support(distance, camera)
    if support is None:
        return None
    frame, starts = frame_width(camera), guess_cuboids(support, camera)
    volume = float(thickness[distance > 0].sum()) / thickness.size * frame**3
    for perspective_error in PERSPECTIVE_ERRORS:
        best, min_difference = None, MAX_DIFFERENCE
        for start in starts:
            shape, misfit = refine_cuboid(start, support, elevation, volume, perspective_error, camera)
            # A long box that is seen end-on would leave the frame when it turns.
            if misfit >= MAX_MISFIT or 0.5 * np.hypot(*shape.sizes[:2]) > MAX_RADIUS * frame:
                continue
            found = shape_difference(shape, distance > 0, front, thickness, camera)
            if found < min_difference:
                best, min_difference = shape, found
        if best:
            return best
    return None


def outline_support(distance: Float32[np.ndarray, "S S"], camera: Cameras) -> Float64[np.ndarray, "72"] | None:
    """Return the support function of an outline about the principal point, relative to the frame's width.

    That is its largest extent in each of NUM_DIRECTIONS directions. Return None if the outline is not convex.
    """
    import cv2

    fine = cv2.resize(distance, None, fx=SUBPIXELS, fy=SUBPIXELS, interpolation=cv2.INTER_LINEAR) > 0
    outlines, _ = cv2.findContours(fine.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    hull = cv2.convexHull(np.concatenate(outlines))
    # A contour goes through pixel centers and leaves out half of the area of its pixels.
    if fine.sum() < MIN_CONVEXITY * (cv2.contourArea(hull) + 0.5 * cv2.arcLength(hull, True)):
        return None
    principal_point = camera.intrinsics[0, :2, 2].astype(np.float64)
    return (((hull[:, 0] + 0.5) / SUBPIXELS - principal_point) / camera.width @ _NORMALS.T).max(0)


def guess_cuboids(support: Float64[np.ndarray, "72"], camera: Cameras) -> list[Cuboid]:
    """Return up to NUM_STARTS boxes that have about this outline in orthographic projection, the best first.

    There the width of the outline in a direction is the sum of the widths of three edges, so that for given angles the
    sizes follow by non-negative least squares.
    """
    from scipy.optimize import nnls

    half = NUM_DIRECTIONS // 2
    widths, normals, frame = support[:half] + support[half:], _NORMALS[:half], frame_width(camera)
    offset = ((support[:half] - support[half:])[:, None] * normals).mean(0) * frame
    found: list[tuple[float, Cuboid]] = []
    for elevation in ELEVATIONS:
        tried = []
        for yaw in YAWS:
            box = Cuboid(elevation=elevation, yaw=yaw, sizes=(1.0, 1.0, 1.0), offset=(offset[0], offset[1]))
            sizes, residual = nnls(np.abs(normals @ box.axes[:, :2].T), widths)
            tried.append((residual, box, np.maximum(frame * sizes, 2 * MIN_SIDE)))
        for i, (residual, box, sizes) in enumerate(tried):
            if residual <= tried[i - 1][0] and residual <= tried[(i + 1) % len(tried)][0]:
                found.append((residual, replace(box, sizes=(sizes[0], sizes[1], sizes[2]))))
    return [box for _, box in sorted(found, key=lambda each: each[0])[:NUM_STARTS]]


def refine_cuboid(
    start: Cuboid,
    support: Float64[np.ndarray, "72"],
    elevation: float,
    volume: float,
    perspective_error: float,
    camera: Cameras,
) -> tuple[Cuboid, float]:
    """Return the box near `start` that fits the support function best, and its misfit in the units of MAX_MISFIT.

    What the outline leaves open is drawn to the predicted `elevation` in radians and `volume` in cubic world units.
    `perspective_error` is one of PERSPECTIVE_ERRORS.
    """
    from scipy.optimize import least_squares

    focal = float(camera.intrinsics[0, 0, 0]) / camera.width

    def box_of(values: Float64[np.ndarray, "8"]) -> Cuboid:
        box_elevation, yaw, across, away, up, x, y, _ = values
        return Cuboid(elevation=box_elevation, yaw=yaw, sizes=(across, away, up), offset=(x, y))

    def support_errors(values: Float64[np.ndarray, "8"]) -> Float64[np.ndarray, "72"]:
        corners = box_of(values).corners()
        depths = INPUT_DISTANCE + values[-1] * (corners[:, 2:] - INPUT_DISTANCE)
        return (focal * corners[:, :2] / depths @ _NORMALS.T).max(0) - support

    def residuals(values: Float64[np.ndarray, "8"]) -> Float64[np.ndarray, "75"]:
        priors = (
            (values[0] - elevation) / ELEVATION_ERROR,
            np.log(values[2:5].prod() / max(volume, 1e-9)) / VOLUME_ERROR,
            (values[-1] - 1) / perspective_error,
        )
        return np.array([*support_errors(values) / SUPPORT_ERROR * np.sqrt(NUM_INDEPENDENT / NUM_DIRECTIONS), *priors])

    values = np.array([start.elevation, start.yaw, *start.sizes, *start.offset, 1])
    low = [-1e-6, -4, *[MIN_SIDE] * 3, -1, -1, 0]
    high = [ELEVATIONS[-1] + 1e-6, 4, 2, 2, 2, 1, 1, 3]
    values = least_squares(residuals, values, bounds=(low, high), max_nfev=30).x
    return normalize_yaw(box_of(values)), float(np.sqrt(np.mean(support_errors(values) ** 2)))


def normalize_yaw(box: Cuboid) -> Cuboid:
    """Return the same box with a yaw between -45 and 45 degrees."""
    quarters = round(box.yaw / (np.pi / 2))
    across, away, up = box.sizes
    sizes = (away, across, up) if quarters % 2 else box.sizes
    return replace(box, yaw=box.yaw - quarters * np.pi / 2, sizes=sizes)
