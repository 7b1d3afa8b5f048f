"""Camera paths: poses along orbits, arcs, spirals and dollies, and paths read from files.

Angles are in radians. Azimuth 0 is the input camera; a positive azimuth moves the camera to its own right, a positive
elevation moves it up. All cameras look at the origin unless stated otherwise.
"""

import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from img2world.core.cameras import Cameras, cameras_from_transforms
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import CameraError
from img2world.core.rotation import slerp
from img2world.core.text_file import MAX_BYTES
from img2world.core.transforms import posed_pictures, read_json

UP_IN_WORLD = np.array([0.0, -1.0, 0.0])

PATH_HINT = "needs a transforms.json, or world_from_cam, intrinsics, width and height in a .json or .npz file"


def look_at(
    center: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"] = UP_IN_WORLD
) -> Float[np.ndarray, "4 4"]:
    """Return the pose of a camera at `center` whose +Z axis points at `target` and whose picture is upright.

    Raises CameraError when the pose is undefined: `target` equals `center`, or lies along `up` from it.
    """
    forward = np.asarray(target, np.float64) - center
    right = np.cross(forward, up)
    if np.linalg.norm(forward) < 1e-9 or np.linalg.norm(right) < 1e-6 * np.linalg.norm(forward):
        raise CameraError(
            f"a camera at {np.round(center, 3).tolist()} cannot look at {np.round(target, 3).tolist()}",
            hint="keep the target away from the camera, and not straight above or below it",
        )
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    world_from_cam = np.eye(4)
    world_from_cam[:3, :3] = np.stack([right, np.cross(forward, right), forward], -1)
    world_from_cam[:3, 3] = center
    return world_from_cam


def orbit_center(azimuth: float, elevation: float, radius: float = INPUT_DISTANCE) -> Float[np.ndarray, "3"]:
    """Return the point at an azimuth and an elevation on a sphere about the origin."""
    flat = np.cos(elevation)
    return radius * np.array([flat * np.sin(azimuth), -np.sin(elevation), -flat * np.cos(azimuth)])


def on_sphere(
    azimuths: Float[np.ndarray, "V"], elevations: Float[np.ndarray, "V"], radius: float = INPUT_DISTANCE
) -> Float32[np.ndarray, "V 4 4"]:
    """Return poses on a sphere about the origin, looking at it."""
    poses = [
        look_at(orbit_center(float(azimuth), float(elevation), radius), np.zeros(3))
        for azimuth, elevation in zip(azimuths, elevations, strict=True)
    ]
    return np.stack(poses).astype(np.float32)


def orbit(num_views: int, *, elevation: float = 0.0, radius: float = INPUT_DISTANCE) -> Float32[np.ndarray, "V 4 4"]:
    """Return a closed circle at one elevation; the pose after the last would be the first."""
    azimuths = np.arange(num_views) * (2 * np.pi / num_views)
    return on_sphere(azimuths, np.full(num_views, elevation), radius)


def dynamic_orbit(num_views: int, *, amplitude: float, elevation: float = 0.0) -> Float32[np.ndarray, "V 4 4"]:
    """Return a closed circle whose elevation rises and falls twice, so that top and underside are seen too."""
    azimuths = np.arange(num_views) * (2 * np.pi / num_views)
    return on_sphere(azimuths, elevation + amplitude * np.sin(2 * azimuths))


def tilt(elevation: float) -> Float[np.ndarray, "4 4"]:
    """Return the transform from an upright world to the world of an input camera at an elevation above the origin."""
    matrix = np.eye(4)
    matrix[:3, :3] = look_at(orbit_center(0.0, elevation), np.zeros(3))[:3, :3].T
    return matrix


def tilted(poses: Float32[np.ndarray, "V 4 4"], elevation: float) -> Float32[np.ndarray, "V 4 4"]:
    """Transform poses from the upright world to that of an input camera at an elevation, see `tilt`."""
    return (tilt(elevation) @ poses.astype(np.float64)).astype(np.float32)


def arc(num_views: int, *, half_azimuth: float, half_elevation: float = 0.0) -> Float32[np.ndarray, "V 4 4"]:
    """Return a closed figure of eight in front of the scene: to the right, to the left and back, rising and falling."""
    phase = np.arange(num_views) * (2 * np.pi / num_views)
    return on_sphere(half_azimuth * np.sin(phase), half_elevation * np.sin(2 * phase))


def spiral(num_views: int, *, half_azimuth: float, half_elevation: float) -> Float32[np.ndarray, "V 4 4"]:
    """Return a growing spiral of two turns in front of the scene that starts at the input camera."""
    fraction = np.linspace(0, 1, num_views)
    phase = 4 * np.pi * fraction
    return on_sphere(half_azimuth * fraction * np.sin(phase), half_elevation * fraction * np.cos(phase))


def dolly(num_views: int, *, distance: float) -> Float32[np.ndarray, "V 4 4"]:
    """Return a straight path along the view of the input camera, backward where `distance` is negative."""
    poses = np.tile(np.eye(4, dtype=np.float32), (num_views, 1, 1))
    poses[:, 2, 3] = -INPUT_DISTANCE + np.linspace(0, distance, num_views)
    return poses


def interpolate(cameras: Cameras, num_views: int) -> Cameras:
    """Return a path of `num_views` cameras through the given ones in their order, with rotations by slerp."""
    place = np.linspace(0, len(cameras) - 1, num_views)
    low = np.minimum(place.astype(int), max(len(cameras) - 2, 0))
    high = np.minimum(low + 1, len(cameras) - 1)
    fraction = place - low  # [V]

    def between(values: Float32[np.ndarray, "N *S"]) -> Float[np.ndarray, "V *S"]:
        weight = fraction.reshape(-1, *[1] * (values.ndim - 1))
        return (1 - weight) * values[low] + weight * values[high]

    rotations = cameras.world_from_cam[:, :3, :3]
    poses = np.tile(np.eye(4, dtype=np.float32), (num_views, 1, 1))
    poses[:, :3, :3] = slerp(rotations[low], rotations[high], fraction)
    poses[:, :3, 3] = between(cameras.centers_in_world)
    intrinsics = between(cameras.intrinsics).astype(np.float32)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=cameras.width, height=cameras.height)


def load_trajectory(path: Path, default_size: tuple[int, int] | None = None) -> Cameras:
    """Read cameras from a transforms.json of any dialect, or from a JSON or npz file of our own form.

    Our own form has `world_from_cam` [V, 4, 4], `intrinsics` [V, 3, 3] or [3, 3] in pixels, `width` and `height`, in
    our conventions (OpenCV axes). `default_size` is the width and height in pixels of cameras whose file tells none.
    Warns when lenses distort, which frames along the path will not. Raises CameraError when the file cannot be read or
    used.
    """
    data = _load_npz(path) if path.suffix == ".npz" else read_json(path)
    if "frames" in data:
        if not all(picture.lens.is_pinhole for picture in posed_pictures(data, lambda _: default_size)):
            warnings.warn(f"the distortion of the lenses is ignored, a path has none: {path}", stacklevel=2)
        return cameras_from_transforms(data, lambda _: default_size)
    try:
        poses = np.asarray(data["world_from_cam"], np.float32)
        intrinsics = np.asarray(data["intrinsics"], np.float32)
        intrinsics = np.ascontiguousarray(np.broadcast_to(intrinsics, (len(poses), 3, 3)))
        return Cameras(
            world_from_cam=poses, intrinsics=intrinsics, width=int(data["width"]), height=int(data["height"])
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CameraError(f"the camera path cannot be used: {error} ({path})", hint=PATH_HINT) from error


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file. Raises CameraError when it is broken or unpacks to more than `MAX_BYTES`."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_BYTES:
            raise CameraError(
                f"the camera path unpacks to {size >> 20} MB, needs at most {MAX_BYTES >> 20}: {path}", hint=PATH_HINT
            )
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise CameraError(f"the camera path cannot be read: {error} ({path})", hint=PATH_HINT) from error
