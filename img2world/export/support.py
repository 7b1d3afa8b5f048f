"""Measure the region in which a camera may leave the path that a scene was made from.

A pixel of a new view is supported if a camera of the scene showed the same surface with at least MIN_DETAIL of the
detail. What those cameras showed is what the video contains: seen in the photo, continued or invented. A pixel is
unsupported where there is nothing, where a surface comes into view that was hidden or outside every picture, and where
a surface that was seen from the side is stretched to a streak. A view is supported while its fraction of unsupported
pixels is at most MAX_UNSUPPORTED above that of the first camera. Of an object, only the pixels that it covers count.

The region reaches from the first camera in each direction as far as views are supported, but not much farther than the
path itself does.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.rotation import rotation_about
from img2world.core.scene import Scene
from img2world.core.supported_region import Range, SupportedRegion, region_from_json
from img2world.render import render_each

Outline = tuple[float, float, float, float]
"""Left, top, right and bottom edges as x / z and y / z in a camera."""

MAX_UNSUPPORTED = 0.05
"""Maximum fraction of unsupported pixels in a supported view, above that of the first camera."""

MIN_DETAIL = 0.5
"""Minimum resolution at which a camera must have shown a surface, relative to that of the new view."""

DEPTH_TOLERANCE = 0.05
"""Relative difference of depths up to which two cameras see the same surface."""

REACH = 1.25
"""Maximum distance from the first camera, relative to that of the path's farthest camera."""

MIN_REACH = np.radians(3)
"""Reach of the region around a path that does not turn."""

MAX_OBJECT_ELEVATION = np.radians(75)
"""Beyond this elevation the orbit of an upright camera becomes a spin."""

OBJECT_REACH = np.radians(45)
"""Maximum elevation above and below the path around an object."""

DISTANCES = {True: (0.45, 3.0), False: (0.5, 1.5)}
"""Limits of the distance from the pivot, relative to that of the first camera, of an object and of a scene."""

SIZE = 96
"""Pixels on the long side of the compared views."""

MAX_CAMERAS = 16
"""Number of the scene's cameras that views are compared with."""

MOVING_TIMES = 5
"""Times at which the outline of an object that moves is looked for."""

HALVINGS = 4
"""Halvings of the interval that contains the limit."""


def supported_region(scene: Scene) -> SupportedRegion:
    """Return the region around the first camera in which views of the scene are supported.

    The positions of all cameras of a scene lie in it. Around an object, every azimuth does.
    """
    cameras = _small(scene.cameras)
    home = cameras.world_from_cam[0].astype(np.float64)
    pivot = _pivot(cameras)
    unsupported, outline = _comparison(scene, cameras)
    allowed = unsupported(home) + MAX_UNSUPPORTED

    def farthest(poses: Callable[[float], list[Float64[np.ndarray, "4 4"]]], limit: float) -> float:
        return _farthest(lambda amount: all(unsupported(pose) <= allowed for pose in poses(amount)), limit)

    azimuths, elevations, distances = _positions(cameras, pivot)
    reach = max(REACH * float(np.abs([azimuths, elevations]).max()), MIN_REACH)
    if scene.is_object:
        azimuth = -np.pi, np.pi
        first = _elevation(home, pivot)
        lowest = min(OBJECT_REACH - elevations.min(), MAX_OBJECT_ELEVATION + first)
        highest = min(OBJECT_REACH + elevations.max(), MAX_OBJECT_ELEVATION - first)
        # Turning away from an object shows no gap, but soon nothing at all.
        turn_yaw, turn_pitch = (_half_angles(outline, axis) for axis in (0, 1))
    else:
        lowest = highest = reach
        left, right = (
            farthest(lambda angle, sign=sign: [orbited(home, pivot, sign * angle, 0.0)], reach) for sign in (-1, 1)
        )
        azimuth = _including((-left, right), azimuths)
        turn_yaw, turn_pitch = _turns(home, farthest, reach)
    # The corners of the region are farther from the first camera than its sides.
    sides = (0.0,) if scene.is_object else (0.0, *azimuth)
    down = farthest(lambda angle: [orbited(home, pivot, side, -angle) for side in sides], lowest)
    up = farthest(lambda angle: [orbited(home, pivot, side, angle) for side in sides], highest)
    nearest, remotest = DISTANCES[scene.is_object]
    way = pivot - home[:3, 3]
    nearer = farthest(lambda part: [_moved(home, part * way)], 1 - nearest)
    farther = farthest(lambda part: [_moved(home, -part * way)], remotest - 1)
    limits = {
        "pivot": pivot,
        "azimuth": azimuth,
        "elevation": _including((-down, up), elevations),
        "distance": _including(distances[0] * np.array([1 - nearer, 1 + farther]), distances),
        "turn_yaw": turn_yaw,
        "turn_pitch": turn_pitch,
        "outline": outline,
    }
    # Rounded, so that files do not depend on the last bits of a machine's arithmetic.
    return region_from_json({name: np.round(values, 6).tolist() for name, values in limits.items()})


def supported_elevations(scene: Scene) -> Range:
    """Return the minimum and maximum elevation above the horizontal from which an object is supported, in radians."""
    region = scene.supported or supported_region(scene)
    first = _elevation(scene.cameras.world_from_cam[0].astype(np.float64), np.array(region.pivot))
    return first + region.elevation[0], first + region.elevation[1]


def orbited(
    pose: Float64[np.ndarray, "4 4"], pivot: Float64[np.ndarray, "3"], azimuth: float, elevation: float
) -> Float64[np.ndarray, "4 4"]:
    """Return a pose that has moved about a pivot, to its right by the azimuth and up by the elevation, in radians."""
    rotation = _rotated(pose[:3, :3], -azimuth, -elevation)
    moved = np.eye(4)
    moved[:3, :3] = rotation
    moved[:3, 3] = pivot - rotation @ pose[:3, :3].T @ (pivot - pose[:3, 3])
    return moved


def _elevation(pose: Float64[np.ndarray, "4 4"], pivot: Float64[np.ndarray, "3"]) -> float:
    """Return the elevation of a camera above the pivot, in radians."""
    way = pivot - pose[:3, 3]
    return float(np.arcsin(np.clip(way[1] / np.linalg.norm(way), -1, 1)))


def _rotated(rotation: Float64[np.ndarray, "3 3"], yaw: float, pitch: float) -> Float64[np.ndarray, "3 3"]:
    """Return a rotation turned about the world's vertical and about its own horizontal axis, upwards."""
    forward = rotation[:, 2]
    level = np.array([forward[2], 0, -forward[0]])
    level = level if np.linalg.norm(level) > 1e-6 else rotation[:, 0]
    return rotation_about(np.array([0.0, 1, 0]), yaw) @ rotation_about(level, pitch) @ rotation


def _comparison(scene: Scene, cameras: Cameras) -> tuple[Callable[[Float64[np.ndarray, "4 4"]], float], Outline]:
    """Return the function from a pose to its fraction of unsupported pixels, and the outline of the scene."""
    gaussians = scene.at(scene.start)
    own = cameras.select(np.unique(np.round(np.linspace(0, len(cameras) - 1, MAX_CAMERAS)).astype(int)))
    depths, covered = [], []
    for _, alpha, depth in render_each(gaussians, own):
        depths.append(depth)
        covered.append(alpha >= 0.5)
    for time in _other_times(scene):
        # What moves must stay in the window.
        for seen, (_, alpha, _) in zip(covered, render_each(scene.at(time), own), strict=True):
            seen |= alpha >= 0.5
    outline = _outline(own, np.stack(covered)) if scene.is_object and np.any(covered) else _edges(cameras)

    def unsupported(pose: Float64[np.ndarray, "4 4"]) -> float:
        camera = replace(cameras.select([0]), world_from_cam=pose[None].astype(np.float32))
        _, alpha, depth = next(iter(render_each(gaussians, camera)))
        counted = alpha >= 0.5 if scene.is_object else np.ones(alpha.shape, bool)
        good = (alpha >= 0.5) & _shown(_points(camera, depth), own, depths)
        return float((counted & ~good).sum() / max(counted.sum(), 1))

    return unsupported, outline


def _other_times(scene: Scene) -> list[float]:
    """Return times in seconds besides 0 at which an object that moves may be elsewhere."""
    if scene.motion is None or not scene.is_object:
        return []
    keys = scene.motion.key_times
    return np.linspace(keys[0], keys[-1], MOVING_TIMES).tolist() if len(keys) > 1 else []


def _points(camera: Cameras, depth: Float32[np.ndarray, "H W"]) -> Float64[np.ndarray, "H W 3"]:
    """Return the points in the world that the pixels of one camera show."""
    j, i = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([j, i, np.ones_like(i)], -1) @ np.linalg.inv(camera.intrinsics[0].astype(np.float64)).T
    pose = camera.world_from_cam[0]
    return (rays * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]


def _shown(
    points: Float64[np.ndarray, "H W 3"], cameras: Cameras, depths: list[Float32[np.ndarray, "H W"]]
) -> Bool[np.ndarray, "H W"]:
    """Return which points, of neighbouring pixels, a camera has shown unhidden and in sufficient detail."""
    shown = np.zeros(points.shape[:2], bool)
    for cam_from_world, intrinsics, depth in zip(cameras.cam_from_world, cameras.intrinsics, depths, strict=True):
        in_cam = points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
        z = np.maximum(in_cam[..., 2], 1e-6)
        x, y = np.moveaxis((in_cam @ intrinsics.T)[..., :2] / z[..., None], -1, 0)
        inside = (in_cam[..., 2] > 0) & (x >= 0) & (x < cameras.width) & (y >= 0) & (y < cameras.height)
        column, row = (np.where(inside, place, 0).astype(int) for place in (x, y))
        visible = np.abs(depth[row, column] - z) < DEPTH_TOLERANCE * z
        # Pixels of this camera per pixel of the new view.
        (x_down, x_across), (y_down, y_across) = np.gradient(x), np.gradient(y)
        detailed = np.abs(x_across * y_down - x_down * y_across) >= MIN_DETAIL**2
        shown |= inside & visible & detailed
    return shown


def _farthest(is_supported: Callable[[float], bool], limit: float) -> float:
    """Return the largest amount up to a limit that is supported, found by halving."""
    if limit <= 0 or is_supported(limit):
        return limit
    low, high = 0.0, limit
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if is_supported(middle) else (low, middle)
    return low


def _turns(
    home: Float64[np.ndarray, "4 4"],
    farthest: Callable[[Callable[[float], list[Float64[np.ndarray, "4 4"]]], float], float],
    limit: float,
) -> tuple[Range, Range]:
    """Return how far the first camera may turn in place, by yaw and by pitch."""

    def turned(yaw: float, pitch: float) -> Float64[np.ndarray, "4 4"]:
        pose = home.copy()
        pose[:3, :3] = _rotated(home[:3, :3], yaw, pitch)
        return pose

    left, right = (farthest(lambda angle, sign=sign: [turned(sign * angle, 0.0)], limit) for sign in (-1, 1))
    down, up = (farthest(lambda angle, sign=sign: [turned(0.0, sign * angle)], limit) for sign in (-1, 1))
    return (-left, right), (-down, up)


def _half_angles(outline: Outline, axis: int) -> Range:
    """Return half the angles from the centre of an object to its edges, across (0) or down (1)."""
    angle = float(np.arctan((outline[axis + 2] - outline[axis]) / 2)) / 2
    return -angle, angle


def _positions(
    cameras: Cameras, pivot: Float64[np.ndarray, "3"]
) -> tuple[Float64[np.ndarray, "V"], Float64[np.ndarray, "V"], Float64[np.ndarray, "V"]]:
    """Return azimuths and elevations of the cameras about the pivot, relative to the first, and their distances."""
    way = pivot - cameras.centers_in_world.astype(np.float64)
    distances = np.linalg.norm(way, axis=1)
    azimuths = -np.arctan2(way[:, 0], way[:, 2])
    elevations = np.arcsin(np.clip(way[:, 1] / distances, -1, 1))
    return (azimuths - azimuths[0] + np.pi) % (2 * np.pi) - np.pi, elevations - elevations[0], distances


def _including(limits: Range | Float64[np.ndarray, "2"], values: Float64[np.ndarray, "V"]) -> Range:
    """Return limits extended such that all values are within them."""
    return min(float(limits[0]), float(values.min())), max(float(limits[1]), float(values.max()))


def _pivot(cameras: Cameras) -> Float64[np.ndarray, "3"]:
    """Return the origin if the first camera has it in front, otherwise a point straight ahead at the same distance.

    It is moved away from a path that comes closer to it than half the distance.
    """
    center, forward = (cameras.world_from_cam[0, :3, axis].astype(np.float64) for axis in (3, 2))
    way = -center
    if way @ forward < 0.01:
        way = max(float(np.linalg.norm(center)), 0.1) * forward
    steps = cameras.centers_in_world - center
    if np.linalg.norm(steps - way, axis=1).min() < 0.5 * np.linalg.norm(way):
        way *= 2 * float((steps @ way).max() / (way @ way))
    return center + way


def _moved(pose: Float64[np.ndarray, "4 4"], step: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "4 4"]:
    """Return a pose shifted in the world."""
    moved = pose.copy()
    moved[:3, 3] += step
    return moved


def _small(cameras: Cameras) -> Cameras:
    """Return the cameras of pictures whose long side has SIZE pixels."""
    scale = SIZE / max(cameras.width, cameras.height)
    return cameras.resized(max(round(cameras.width * scale), 2), max(round(cameras.height * scale), 2))


def _edges(cameras: Cameras) -> Outline:
    """Return the edges of the first camera's picture, as x / z and y / z."""
    (fx, _, cx), (_, fy, cy), _ = cameras.intrinsics[0].tolist()
    return -cx / fx, -cy / fy, (cameras.width - cx) / fx, (cameras.height - cy) / fy


def _outline(cameras: Cameras, covered: Bool[np.ndarray, "V H W"]) -> Outline:
    """Return the edges of an object in all pictures together, as x / z and y / z."""
    rows, columns = (np.flatnonzero(covered.any(axes)) for axes in ((0, 2), (0, 1)))
    (fx, _, cx), (_, fy, cy), _ = cameras.intrinsics[0].tolist()
    # All sides of the object are to fit, whichever way it is turned.
    across = max(abs(columns[0] - cx), abs(columns[-1] + 1 - cx)) / fx
    return -float(across), float((rows[0] - cy) / fy), float(across), float((rows[-1] + 1 - cy) / fy)
