"""Camera paths as backends of a recipe. All except those read from a file start at the input camera."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float32

from img2world.core import camera_paths
from img2world.core.cameras import Cameras
from img2world.core.errors import CameraError
from img2world.core.ranges import Fraction, Range
from img2world.core.subject import Subject

OBJECT_VIEWS, SCENE_VIEWS = 40, 32

MAX_ELEVATION_DEG = 85.0
"""Above or below an object; beyond it frames would turn upside down."""


@dataclass(frozen=True, kw_only=True)
class OrbitTrajectory:
    """A closed circle around an object."""

    num_views: int = OBJECT_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    elevation_deg: float = 0.0
    """Height of the circle above the input camera's."""
    upright: bool = True
    """Around the object's own vertical, which is predicted from the photo; else around the photo's vertical."""

    def cameras(self, subject: Subject) -> Cameras:
        """Plan the cameras around an object. Raises CameraError for a scene or a path over the top."""
        above = vertical_tilt(subject, upright=self.upright)
        elevation = above + np.radians(self.elevation_deg)
        check_steepness(elevation, "trajectory.elevation_deg")
        poses = camera_paths.orbit(self.num_views, elevation=elevation)
        return along(subject, self.size, camera_paths.tilted(poses, above))


@dataclass(frozen=True, kw_only=True)
class DynamicOrbitTrajectory:
    """A closed orbit around an object that rises and falls, so that more is seen from above and below."""

    num_views: int = OBJECT_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    amplitude_deg: float = 20.0
    """Amplitude of its rise and fall."""
    upright: bool = True
    """Around the object's own vertical, which is predicted from the photo; else around the photo's vertical."""

    def cameras(self, subject: Subject) -> Cameras:
        """Plan the cameras around an object. Raises CameraError for a scene or a path over the top."""
        above = vertical_tilt(subject, upright=self.upright)
        amplitude = np.radians(self.amplitude_deg)
        check_steepness(above + abs(amplitude), "trajectory.amplitude_deg")
        poses = camera_paths.dynamic_orbit(self.num_views, amplitude=amplitude, elevation=above)
        return along(subject, self.size, camera_paths.tilted(poses, above))


@dataclass(frozen=True, kw_only=True)
class ArcTrajectory:
    """A figure of eight in front of a scene, as wide as the picture supports."""

    num_views: int = SCENE_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    max_degrees: Annotated[float, Range(0.1, 180)] = 25.0
    """Maximum angle to either side; it is reduced if frames would show too much that the photo does not."""
    max_unseen: Fraction = 0.2
    """Maximum fraction of a frame that the photo does not show."""
    max_stretched: Fraction = 0.05
    """Maximum fraction of a frame in which surfaces are smeared because the photo shows them from the side."""

    def cameras(self, subject: Subject) -> Cameras:
        """Plan the cameras; around an object only `max_degrees` limits the angle."""
        degrees = self.max_degrees if subject.is_object else self.supported_degrees(subject)
        return along(subject, self.size, self.poses(degrees))

    def poses(self, degrees: float) -> Float32[np.ndarray, "V 4 4"]:
        """Return the path with a given angle to either side."""
        half = np.radians(degrees)
        return camera_paths.arc(self.num_views, half_azimuth=half, half_elevation=half / 4)

    def supported_degrees(self, subject: Subject) -> float:
        """Return the largest angle, to half a degree, at which no pixels are empty and few are unseen or stretched."""
        from img2world.layered.gaps import make_gap_measure

        measure_gaps = make_gap_measure(subject)
        low, high = min(2.0, self.max_degrees), self.max_degrees
        degrees = high
        while high - low > 0.5:
            ends = self.poses(degrees)[[self.num_views // 8, self.num_views // 4, 3 * self.num_views // 4]]
            gaps = measure_gaps(ends)
            if gaps.empty < 0.001 and gaps.unseen <= self.max_unseen and gaps.stretched <= self.max_stretched:
                if degrees == high:
                    return degrees
                low = degrees
            else:
                high = degrees
            degrees = 0.5 * (low + high)
        return low


@dataclass(frozen=True, kw_only=True)
class SpiralTrajectory:
    """A growing spiral in front of a scene."""

    num_views: int = SCENE_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    degrees: float = 8.0
    """Angle to either side at its end."""

    def cameras(self, subject: Subject) -> Cameras:
        """Plan the cameras."""
        half = np.radians(self.degrees)
        poses = camera_paths.spiral(self.num_views, half_azimuth=half, half_elevation=half / 3)
        return along(subject, self.size, poses)


@dataclass(frozen=True, kw_only=True)
class DollyTrajectory:
    """Straight into a scene."""

    num_views: int = SCENE_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    distance: float = 0.2
    """Length of the path, where 1 reaches the middle of the scene; negative is backward."""

    def cameras(self, subject: Subject) -> Cameras:
        """Plan the cameras."""
        return along(subject, self.size, camera_paths.dolly(self.num_views, distance=self.distance))


@dataclass(frozen=True, kw_only=True)
class FileTrajectory:
    """Cameras from a transforms.json, or from a .json or .npz file with world_from_cam and intrinsics."""

    path: Path | None = None
    size: int = 1024
    """Longer side in pixels to which the frames of larger cameras are reduced."""

    def cameras(self, subject: Subject) -> Cameras:
        """Read the cameras. Raises CameraError when the file cannot be used."""
        if self.path is None:
            raise CameraError("no camera file is named", hint="add --set trajectory.path=cameras.json")
        cameras = camera_paths.load_trajectory(self.path, (subject.image.width, subject.image.height))
        if (scale := self.size / max(cameras.width, cameras.height)) < 1:
            cameras = cameras.resized(round(cameras.width * scale), round(cameras.height * scale))
        check_frames(len(cameras), max(cameras.width, cameras.height), "the camera file or trajectory.size")
        return cameras


@dataclass(frozen=True, kw_only=True)
class AutoTrajectory:
    """A closed orbit around a free-standing object, or an arc in front of a scene."""

    size: int = 512
    """Longer side of the frames in pixels."""
    num_views: int = 0
    """0 takes the default of the chosen path."""
    upright: bool = True
    """Around an object's own vertical, which is predicted from the photo; else around the photo's vertical."""

    def cameras(self, subject: Subject) -> Cameras:
        """Plan an orbit around an object, an arc in front of a scene."""
        if subject.is_object:
            num_views = self.num_views or OBJECT_VIEWS
            return OrbitTrajectory(num_views=num_views, size=self.size, upright=self.upright).cameras(subject)
        return ArcTrajectory(num_views=self.num_views or SCENE_VIEWS, size=self.size).cameras(subject)


def check_frames(count: int, size: int, where: str) -> None:
    """Raise CameraError when a video of so many frames with this longer side in pixels cannot be made."""
    if not 64 <= size <= 2048 or count < 2:
        raise CameraError(
            f"{count} frames of {size} pixels were asked for, needs at least 2 of 64 to 2048", hint=f"change {where}"
        )


def check_steepness(elevation: float, option: str) -> None:
    """Raise CameraError when a path would lead over the top of the object."""
    if abs(np.degrees(elevation)) > MAX_ELEVATION_DEG:
        raise CameraError(
            f"the path would be {np.degrees(elevation):.0f} degrees above the object, "
            f"{MAX_ELEVATION_DEG:.0f} are possible",
            hint=f"lower {option}",
        )


def vertical_tilt(subject: Subject, *, upright: bool) -> float:
    """Return the angle from the photo's vertical to that of an orbit, in radians. Raises CameraError for a scene."""
    from img2world.layered.object_layers import camera_elevation

    if not subject.is_object:
        raise CameraError(
            f"an orbit goes around an object, the picture shows a scene: {subject.reason}",
            hint="add --set subject.kind=object, or use --set trajectory.name=arc",
        )
    return camera_elevation(subject) if upright else 0.0


def along(subject: Subject, size: int, poses: Float32[np.ndarray, "V 4 4"]) -> Cameras:
    """Return cameras at the poses with the lens and frame size of the picture's input camera."""
    from img2world.layered.build import input_camera

    check_frames(len(poses), size, "trajectory.size or trajectory.num_views")
    camera = input_camera(subject, size)
    intrinsics = np.repeat(camera.intrinsics, len(poses), 0)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=camera.width, height=camera.height)
