"""A short film of the scene: once around an object, or there and back along a scene's own path."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from img2world.core.camera_paths import interpolate, orbit
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import ExportError
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.mp4 import write_mp4
from img2world.export.viewpoints import opaque_extent
from img2world.render import render_each

DENSITY = 40
"""Places on the path per frame, from which the eased frames are taken."""

SMOOTHING = 0.03
"""Standard deviation, as a share of the path, over which estimated cameras are smoothed."""


@dataclass(frozen=True, kw_only=True)
class TurntableExport:
    """turntable.mp4: a loop that shows the scene from where it is known to look right."""

    seconds: float = 5.0
    fps: float = 24.0
    size: int = 512
    """Pixels on the long side."""
    elevation_deg: float = 12.0
    """How high above an object the camera goes around it."""
    crf: int = 18
    """Quality of H.264, 0 (lossless) to 51."""

    filename: ClassVar[str] = "turntable.mp4"

    def write(self, scene: Scene, views: Views, path: Path, *, progress: Progress = silent) -> dict[str, float]:
        """Render and write the film, and check what it decodes to. Raises ExportError when that is wrong."""
        num_frames = round(self.seconds * self.fps)
        if num_frames < 2 or self.size < 16 or not -80 <= self.elevation_deg <= 80:
            raise ExportError(
                f"a turntable of {num_frames} frames of {self.size} pixels at {self.elevation_deg:g}° cannot be made",
                hint="needs two or more frames of 16 or more pixels, and an elevation of -80 to 80 degrees",
            )
        cameras = self.object_path(scene, num_frames) if scene.is_object else self.scene_path(scene, num_frames)
        return write_mp4(draw(scene, cameras, self.fps, progress=progress), path, self.fps, crf=self.crf)

    def object_path(self, scene: Scene, num_frames: int) -> Cameras:
        """A closed circle around the middle of the object, as far away as shows all of it."""
        extent = opaque_extent(scene.at(0.0))
        first = _resized(scene.cameras.select([0]), self.size)
        focal, half = first.intrinsics[0, 0, 0], min(first.width, first.height) / 2
        distance = 1.1 * extent.radius / np.sin(np.arctan(half / focal))
        poses = orbit(num_frames, elevation=float(np.radians(self.elevation_deg)), radius=float(distance))
        poses[:, :3, 3] += extent.center.astype(np.float32)
        intrinsics = np.tile(first.intrinsics, (num_frames, 1, 1))
        intrinsics[:, :2, 2] = first.width / 2, first.height / 2
        return replace(first, world_from_cam=poses, intrinsics=intrinsics)

    def scene_path(self, scene: Scene, num_frames: int) -> Cameras:
        """A smooth way through the scene's cameras: a round if they close one, else there and back."""
        cameras = _resized(scene.cameras, self.size)
        lengths = np.linalg.norm(np.diff(cameras.centers_in_world, axis=0), axis=1)
        gap = np.linalg.norm(cameras.centers_in_world[-1] - cameras.centers_in_world[0])
        closed = len(cameras) > 3 and bool(gap < 2 * lengths.max())
        if closed:
            cameras = cameras.select([*range(len(cameras)), 0])
        path = interpolate(cameras, DENSITY * num_frames)
        # Cameras that stand unevenly must not make the film hurry and dawdle.
        path = at_shares(path, np.linspace(0, 1, len(path)))
        path = smoothed(path, closed=closed)
        share = np.arange(num_frames) / num_frames
        # Cosine easing stands still for a moment at both ends, so that the turn is not a jolt.
        return at_shares(path, share if closed else 0.5 - 0.5 * np.cos(2 * np.pi * share))


def at_shares(path: Cameras, shares: Float64[np.ndarray, "S"]) -> Cameras:
    """The places at shares, 0 to 1, of the way."""
    lengths = travelled(path)
    return path.select(np.round(np.interp(shares * lengths[-1], lengths, np.arange(len(path)))).astype(int))


def travelled(path: Cameras) -> Float64[np.ndarray, "V"]:
    """How far the camera has come at each place, in world units and radians together, rising."""
    poses = path.world_from_cam.astype(np.float64)
    moves = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    # The Frobenius norm of a difference of rotations is sqrt(2) times its angle, for small ones.
    turns = np.linalg.norm(np.diff(poses[:, :3, :3], axis=0), axis=(1, 2)) / np.sqrt(2)
    return np.concatenate([[0.0], np.cumsum(moves + INPUT_DISTANCE * turns + 1e-9)])


def smoothed(path: Cameras, *, closed: bool) -> Cameras:
    """The path without the kinks and tremble of the cameras it was laid through."""
    from scipy.ndimage import gaussian_filter1d

    sigma, mode = SMOOTHING * len(path), "wrap" if closed else "nearest"
    poses = gaussian_filter1d(path.world_from_cam.astype(np.float64), sigma, axis=0, mode=mode)
    # The rotation nearest to a mean of rotations is its polar factor.
    u, _, vt = np.linalg.svd(poses[:, :3, :3])
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    poses[:, :3, :3] = u @ vt
    return replace(path, world_from_cam=poses.astype(np.float32))


def _resized(cameras: Cameras, size: int) -> Cameras:
    """The cameras with pictures of even sides, the longer of about `size` pixels."""
    scale = size / max(cameras.width, cameras.height)
    return cameras.resized(*(max(2 * round(side * scale / 2), 2) for side in (cameras.width, cameras.height)))


def draw(scene: Scene, cameras: Cameras, fps: float, *, progress: Progress = silent) -> UInt8[np.ndarray, "V H W 3"]:
    """What the cameras see one after another; a moving scene moves, over and over."""
    frames = np.empty((len(cameras), cameras.height, cameras.width, 3), np.uint8)
    for i, rgb in enumerate(_rendered(scene, cameras, fps)):
        rgb *= 255
        frames[i] = rgb.round(out=rgb)
        progress(i + 1, len(cameras))
    return frames


def _rendered(scene: Scene, cameras: Cameras, fps: float) -> Iterator[Float32[np.ndarray, "H W 3"]]:
    duration = 0.0 if scene.motion is None else float(scene.motion.key_times[-1])
    if duration <= 0:
        for rgb, _, _ in render_each(scene.at(0.0), cameras, background=scene.background):
            yield rgb
        return
    for i in range(len(cameras)):
        gaussians = scene.at(i / fps % duration)
        for rgb, _, _ in render_each(gaussians, cameras.select([i]), background=scene.background):
            yield rgb
