"""Cameras, tracks and videos with known geometry."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from img2world.core.camera_paths import on_sphere, orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.frames import Frames
from img2world.core.views import Views
from img2world.poses.orbit import OrbitPoses
from img2world.tracking.tracks import Tracks
from img2world.video.synthetic import SyntheticVideo


def cameras_from_poses(poses: np.ndarray, fov: float = 0.7, width: int = 256, height: int = 256) -> Cameras:
    """Cameras with the given poses (world from camera) and one lens."""
    return Cameras(
        world_from_cam=poses.astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(fov, width, height)[None], len(poses), 0),
        width=width,
        height=height,
    )


def observe_points(
    points: np.ndarray, cameras: Cameras, *, length: int | None = None, noise: float = 0.0, seed: int = 0
) -> Tracks:
    """Tracks of points [T, 3], or of moving points [T, V, 3], by K [R | t] in float64.

    Each is seen by all cameras, or by `length` consecutive ones (on a closed path) from a random one on.
    """
    random = np.random.default_rng(seed)
    num_points, num_views = len(points), len(cameras)
    moving = np.broadcast_to(points[:, None] if points.ndim == 2 else points, (num_points, num_views, 3))
    cam_from_world = np.linalg.inv(cameras.world_from_cam.astype(np.float64))
    in_cam = np.einsum("vij,tvj->tvi", cam_from_world[:, :3, :3], moving) + cam_from_world[:, :3, 3]
    pixels = np.einsum("vij,tvj->tvi", cameras.intrinsics.astype(np.float64), in_cam)
    xy = pixels[..., :2] / pixels[..., 2:]
    first = np.zeros(num_points, int) if length is None else random.integers(0, num_views, num_points)
    length = length or num_views
    frame_ids = (first[:, None] + np.arange(length)) % num_views  # [T, length]
    xy = np.take_along_axis(xy, frame_ids[..., None], 1) + noise * random.normal(size=(num_points, length, 2))
    return Tracks(
        frame_ids=frame_ids.reshape(-1), xy=xy.reshape(-1, 2), starts=length * np.arange(num_points, dtype=np.int64)
    )


def measure_errors(found: Cameras, truth: Cameras) -> tuple[float, float]:
    """Largest errors in degrees of the relative rotation of two views, and of the direction from one to the other."""
    rotation_errors, direction_errors = [], []
    for i in range(len(truth)):
        relative = [
            np.linalg.inv(cameras.world_from_cam.astype(np.float64)[i]) @ cameras.world_from_cam
            for cameras in (found, truth)
        ]
        turns = Rotation.from_matrix(relative[0][:, :3, :3]).inv() * Rotation.from_matrix(relative[1][:, :3, :3])
        rotation_errors.append(turns.magnitude().max())
        steps = [np.delete(each[:, :3, 3], i, 0) for each in relative]
        units = [step / np.linalg.norm(step, axis=1, keepdims=True) for step in steps]
        direction_errors.append(np.arccos(np.clip((units[0] * units[1]).sum(1), -1, 1)).max())
    return float(np.degrees(max(rotation_errors))), float(np.degrees(max(direction_errors)))


@pytest.fixture(scope="session")
def make_cameras() -> Callable[..., Cameras]:
    return cameras_from_poses


@pytest.fixture(scope="session")
def observe() -> Callable[..., Tracks]:
    return observe_points


@pytest.fixture(scope="session")
def pose_errors() -> Callable[..., tuple[float, float]]:
    return measure_errors


@pytest.fixture(scope="session")
def cloud() -> np.ndarray:
    """150 points about the origin, [T, 3]."""
    return np.random.default_rng(5).normal(size=(150, 3)) * 0.15


@pytest.fixture(scope="session")
def arc() -> Cameras:
    """Eight cameras along an arc at changing elevations; the first is at azimuth 0."""
    azimuths = np.radians(5.5) * np.arange(8)
    return cameras_from_poses(on_sphere(azimuths, 0.1 + 0.1 * np.sin(3 * azimuths)), np.radians(60), 192, 144)


@pytest.fixture(scope="session")
def room(arc) -> Frames:
    """A video of a room along the arc that does not tell its cameras."""
    rendered = SyntheticVideo(kind="room").generate(None, arc, seed=3)
    return Frames(rgb=rendered.rgb, times=rendered.times)


@pytest.fixture(scope="session")
def make_circle() -> Callable[..., Cameras]:
    """Makes 15 cameras on a closed circle, in either direction."""

    def make(elevation_deg: float, fov_deg: float, *, reverse: bool = False) -> Cameras:
        poses = orbit(15, elevation=np.radians(elevation_deg))
        return cameras_from_poses(
            np.roll(poses[::-1], 1, 0) if reverse else poses, np.radians(fov_deg), width=128, height=128
        )

    return make


@pytest.fixture(scope="session")
def circle(make_circle) -> Cameras:
    """The true cameras of `turntable`."""
    return make_circle(12, 40)


@pytest.fixture(scope="session")
def turntable(circle) -> Frames:
    """A flickering video around an object on white, without transparency."""
    made = SyntheticVideo().generate(None, circle, seed=1)
    flicker = 1 + 0.1 * np.random.default_rng(0).normal(size=(len(circle), 1, 1, 1))
    rgb = np.where(made.alpha[..., None] > 0, np.clip(made.rgb * flicker, 0, 255), 255).astype(np.uint8)
    return Frames(rgb=rgb, times=made.times)


@pytest.fixture(scope="session")
def inexact(make_circle) -> Cameras:
    """The camera path that was requested for `turntable`: too high, with too long a lens."""
    return make_circle(20, 32)


@pytest.fixture(scope="session")
def refined(turntable, inexact) -> Views:
    """The views of `turntable` with the inexact path refined."""
    return OrbitPoses().estimate(turntable, inexact)
