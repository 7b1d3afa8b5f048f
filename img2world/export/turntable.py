"""A short looping video: once around an object, or back and forth along a scene's own camera path.

What moves does so at its own speed: in a loop where its end leads to its beginning, otherwise back and forth.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from img2world.core.camera_paths import interpolate, orbit
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import ExportError
from img2world.core.motion import Motion
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, Range
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.mp4 import write_mp4
from img2world.export.support import supported_elevations
from img2world.formats.scene import all_moments
from img2world.meshing.viewpoints import opaque_extent
from img2world.render import render_each

DENSITY = 40
"""Interpolated cameras per frame, from which the frames of an eased motion are picked."""

MAX_STRETCH = 3.0
"""Cycle of a motion relative to the length of the video up to which the video is made longer for it."""

MAX_KEYS = 49
"""Keys at which it is looked at whether a motion ends where it begins."""

SMOOTHING = 0.03
"""Standard deviation of the smoothing of estimated cameras, as a fraction of the path."""


@dataclass(frozen=True, kw_only=True)
class TurntableExport:
    """turntable.mp4: a looping video from cameras near those that the scene was made from."""

    seconds: NonNegativeFloat = 5.0
    """Of what moves, about that: whole cycles of the motion."""
    fps: Annotated[float, Range(1, 240)] = 24.0
    size: Annotated[int, Range(16)] = 512
    """Pixels on the long side."""
    elevation_deg: Annotated[float, Range(-80, 80)] = 12.0
    """Elevation of the camera's circle around an object, brought into the region that the object supports."""
    crf: Annotated[int, Range(0, 51)] = 18
    """H.264 constant rate factor, 0 (lossless) to 51."""

    filename: ClassVar[str] = "turntable.mp4"

    def write(
        self, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent
    ) -> dict[str, float | str]:
        """Render, write and decode the video.

        Returns the figures of `write_mp4`, and the reader. Raises ExportError when an option is out of range or the
        video reads back wrong.
        """
        cycle = find_cycle(scene, self.seconds)
        seconds = self.seconds if cycle is None else cycle.period * max(1, round(self.seconds / cycle.period))
        num_frames = round(seconds * self.fps)
        if num_frames < 2 or self.size < 16 or not -80 <= self.elevation_deg <= 80:
            raise ExportError(
                f"a turntable of {num_frames} frames of {self.size} pixels at {self.elevation_deg:g}° cannot be made",
                hint="needs two or more frames of 16 or more pixels, and an elevation of -80 to 80 degrees",
            )
        frames = render_frames(scene, self.path(scene, num_frames), self.fps, progress=progress)
        return {**write_mp4(frames, path, self.fps, crf=self.crf), "reader": name_with_version("av")}

    def path(self, scene: Scene, num_frames: int) -> Cameras:
        """Return the cameras of the video."""
        return self.object_path(scene, num_frames) if scene.is_object else self.scene_path(scene, num_frames)

    def object_path(self, scene: Scene, num_frames: int) -> Cameras:
        """Return a closed circle around the centre of the object, at a distance that shows all of it."""
        extent = opaque_extent(all_moments(scene))
        first = _resized(scene.cameras.select([0]), self.size)
        focal, half = first.intrinsics[0, 0, 0], min(first.width, first.height) / 2
        distance = 1.1 * extent.radius / np.sin(np.arctan(half / focal))
        elevation = float(np.clip(np.radians(self.elevation_deg), *supported_elevations(scene)))
        poses = orbit(num_frames, elevation=elevation, radius=float(distance))
        poses[:, :3, 3] += extent.center.astype(np.float32)
        intrinsics = np.tile(first.intrinsics, (num_frames, 1, 1))
        intrinsics[:, :2, 2] = first.width / 2, first.height / 2
        return replace(first, world_from_cam=poses, intrinsics=intrinsics)

    def scene_path(self, scene: Scene, num_frames: int) -> Cameras:
        """Return a smooth path through the scene's cameras: a loop if they form one, otherwise back and forth."""
        cameras = _resized(scene.cameras, self.size)
        lengths = np.linalg.norm(np.diff(cameras.centers_in_world, axis=0), axis=1)
        gap = np.linalg.norm(cameras.centers_in_world[-1] - cameras.centers_in_world[0])
        closed = len(cameras) > 3 and bool(gap < 2 * lengths.max())
        if closed:
            cameras = cameras.select([*range(len(cameras)), 0])
        path = interpolate(cameras, DENSITY * num_frames)
        # The speed of the motion must not vary with the spacing of the cameras.
        path = pick_at(path, np.linspace(0, 1, len(path)))
        path = smooth_path(path, closed=closed)
        fractions = np.arange(num_frames) / num_frames
        # Cosine easing slows down at both ends, so that the reversal is not a jolt.
        return pick_at(path, fractions if closed else 0.5 - 0.5 * np.cos(2 * np.pi * fractions))


def pick_at(path: Cameras, fractions: Float64[np.ndarray, "S"]) -> Cameras:
    """Return the cameras nearest to fractions, 0 to 1, of the length of the path."""
    lengths = arc_lengths(path)
    return path.select(np.round(np.interp(fractions * lengths[-1], lengths, np.arange(len(path)))).astype(int))


def arc_lengths(path: Cameras) -> Float64[np.ndarray, "V"]:
    """Return the strictly increasing length of the path up to each camera, in world units plus radians."""
    poses = path.world_from_cam.astype(np.float64)
    moves = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    # The Frobenius norm of a difference of rotations is sqrt(2) times its angle, for small ones.
    turns = np.linalg.norm(np.diff(poses[:, :3, :3], axis=0), axis=(1, 2)) / np.sqrt(2)
    return np.concatenate([[0.0], np.cumsum(moves + INPUT_DISTANCE * turns + 1e-9)])


def smooth_path(path: Cameras, *, closed: bool) -> Cameras:
    """Remove the kinks and jitter of the cameras that the path was interpolated from."""
    from scipy.ndimage import gaussian_filter1d

    sigma, mode = SMOOTHING * len(path), "wrap" if closed else "nearest"
    poses = gaussian_filter1d(path.world_from_cam.astype(np.float64), sigma, axis=0, mode=mode)
    # The rotation closest to a mean of rotations is its polar factor.
    u, _, vt = np.linalg.svd(poses[:, :3, :3])
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    poses[:, :3, :3] = u @ vt
    return replace(path, world_from_cam=poses.astype(np.float32))


def _resized(cameras: Cameras, size: int) -> Cameras:
    """Return the cameras with images of even sides, the longer of about `size` pixels."""
    scale = size / max(cameras.width, cameras.height)
    return cameras.resized(*(max(2 * round(side * scale / 2), 2) for side in (cameras.width, cameras.height)))


def render_frames(
    scene: Scene, cameras: Cameras, fps: float, *, progress: Progress = silent
) -> UInt8[np.ndarray, "V H W 3"]:
    """Render one frame per camera; the motion of a moving scene is repeated, or played back and forth."""
    frames = np.empty((len(cameras), cameras.height, cameras.width, 3), np.uint8)
    for i, rgb in enumerate(_render_each_frame(scene, cameras, fps)):
        rgb *= 255
        frames[i] = rgb.round(out=rgb)
        progress(i + 1, len(cameras))
    return frames


def _render_each_frame(scene: Scene, cameras: Cameras, fps: float) -> Iterator[Float32[np.ndarray, "H W 3"]]:
    """Yield the frames, 0 to 1; a still scene is converted for the rasterizer only once."""
    cycle = find_cycle(scene, len(cameras) / fps)
    if cycle is None:
        for rgb, _, _ in render_each(scene.at(scene.start), cameras, background=scene.background):
            yield rgb
        return
    for i in range(len(cameras)):
        gaussians = scene.at(cycle.time_at(i / fps))
        for rgb, _, _ in render_each(gaussians, cameras.select([i]), background=scene.background):
            yield rgb


@dataclass(frozen=True)
class Cycle:
    """How a video repeats a motion."""

    start: float
    """Seconds of the first key."""
    duration: float
    """Seconds of the motion that are played."""
    closed: bool
    """True if its end leads to its beginning; otherwise it is played back and forth."""

    @property
    def period(self) -> float:
        """Seconds after which the video repeats itself."""
        return self.duration if self.closed else 2 * self.duration

    def time_at(self, seconds: float) -> float:
        """Return the time of the motion at a time of the video."""
        phase = seconds % self.period
        return self.start + (phase if phase < self.duration else self.period - phase)


def find_cycle(scene: Scene, seconds: float) -> Cycle | None:
    """Return how a video of about so many seconds repeats the motion of a scene; None if nothing moves.

    Of a motion that is much longer than the video, the beginning is played, back and forth.
    """
    motion = scene.motion
    if motion is None or len(motion.key_times) < 2:
        return None
    duration = float(motion.key_times[-1] - motion.key_times[0])
    cycle = Cycle(scene.start, duration, _is_closed(scene, motion))
    return cycle if cycle.period <= MAX_STRETCH * seconds else Cycle(scene.start, seconds / 2, False)


def _is_closed(scene: Scene, motion: Motion) -> bool:
    """Return whether a motion ends where it begins, compared with its longest step and with how far it goes."""
    keys = motion.key_times[np.unique(np.linspace(0, len(motion.key_times) - 1, MAX_KEYS).astype(int))]
    states = [(scene.at(float(key)).means, motion.presence(float(key))) for key in keys]

    def change(i: int, j: int) -> float:
        (a, there), (b, then) = states[i], states[j]
        return float(np.sqrt(np.square(a - b).sum(1).mean()) + np.abs(there - then).mean())

    gap, far = change(-1, 0), max(change(i, 0) for i in range(len(states)))
    return gap <= max(change(i, i - 1) for i in range(1, len(states))) and gap <= 0.25 * far
