"""Camera paths as options of a recipe. All start at the input camera."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from img2world.core import camera_paths
from img2world.core.cameras import Cameras
from img2world.core.errors import CameraError
from img2world.core.image import Image

OBJECT_VIEWS, SCENE_VIEWS = 40, 32

STEEPEST_DEG = 85.0
"""Above or below an object; farther on its pictures would turn upside down."""


@dataclass(frozen=True, kw_only=True)
class OrbitTrajectory:
    """A closed circle around an object."""

    num_views: int = OBJECT_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    elevation_deg: float = 0.0
    """Height of the circle above the input camera's."""
    upright: bool = True
    """Around the object's own vertical, which the embedded network guesses; else around that of the photo."""

    def cameras(self, image: Image) -> Cameras:
        """The wanted cameras for an object in the picture."""
        above = photo_elevation(image) if self.upright else 0.0
        elevation = above + np.radians(self.elevation_deg)
        check_steepness(elevation, "trajectory.elevation_deg")
        poses = camera_paths.orbit(self.num_views, elevation=elevation)
        return along(image, "object", self.size, camera_paths.tilted(poses, above))


@dataclass(frozen=True, kw_only=True)
class DynamicOrbitTrajectory:
    """A closed circle around an object that rises and sinks on its way, so that more is seen from above and below."""

    num_views: int = OBJECT_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    amplitude_deg: float = 20.0
    """How far it rises and sinks."""
    upright: bool = True
    """Around the object's own vertical, which the embedded network guesses; else around that of the photo."""

    def cameras(self, image: Image) -> Cameras:
        """The wanted cameras for an object in the picture."""
        above = photo_elevation(image) if self.upright else 0.0
        amplitude = np.radians(self.amplitude_deg)
        check_steepness(above + abs(amplitude), "trajectory.amplitude_deg")
        poses = camera_paths.dynamic_orbit(self.num_views, amplitude=amplitude, elevation=above)
        return along(image, "object", self.size, camera_paths.tilted(poses, above))


@dataclass(frozen=True, kw_only=True)
class ArcTrajectory:
    """A figure of eight before a scene, as wide as the picture supports."""

    num_views: int = SCENE_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    max_degrees: float = 12.0
    """Widest turn to either side; it is less where the picture would show too much that is not known."""
    max_unseen: float = 0.12
    """Share of a frame that may lie outside of what the photo shows."""

    def cameras(self, image: Image) -> Cameras:
        """The wanted cameras for the scene in the picture."""
        return along(image, "scene", self.size, self.poses(self.supported_degrees(image)))

    def poses(self, degrees: float) -> Float32[np.ndarray, "V 4 4"]:
        """The path with a given turn to either side."""
        half = np.radians(degrees)
        return camera_paths.arc(self.num_views, half_azimuth=half, half_elevation=half / 4)

    def supported_degrees(self, image: Image) -> float:
        """The widest turn that shows nothing empty and little that is unknown, to half a degree."""
        from img2world.layered.build import as_asked, support

        supported = support(image, as_asked(image, "scene"))
        low, high = 2.0, self.max_degrees
        degrees = high
        while high - low > 0.5:
            ends = self.poses(degrees)[[self.num_views // 8, self.num_views // 4, 3 * self.num_views // 4]]
            empty, unseen = supported(ends)
            if empty < 0.001 and unseen <= self.max_unseen:
                if degrees == high:
                    return degrees
                low = degrees
            else:
                high = degrees
            degrees = 0.5 * (low + high)
        return low


@dataclass(frozen=True, kw_only=True)
class SpiralTrajectory:
    """A growing spiral before a scene."""

    num_views: int = SCENE_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    degrees: float = 8.0
    """Turn to either side at its end."""
    turns: int = 2

    def cameras(self, image: Image) -> Cameras:
        """The wanted cameras for the scene in the picture."""
        half = np.radians(self.degrees)
        poses = camera_paths.spiral(self.num_views, half_azimuth=half, half_elevation=half / 3, turns=self.turns)
        return along(image, "scene", self.size, poses)


@dataclass(frozen=True, kw_only=True)
class DollyTrajectory:
    """Straight into a scene."""

    num_views: int = SCENE_VIEWS
    size: int = 512
    """Longer side of the frames in pixels."""
    distance: float = 0.2
    """How far, with the middle of the scene 1 away; negative is backward."""

    def cameras(self, image: Image) -> Cameras:
        """The wanted cameras for the scene in the picture."""
        return along(image, "scene", self.size, camera_paths.dolly(self.num_views, distance=self.distance))


@dataclass(frozen=True, kw_only=True)
class FileTrajectory:
    """Cameras from a transforms.json, or from a .json or .npz file with world_from_cam and intrinsics."""

    path: str = ""

    def cameras(self, image: Image) -> Cameras:
        """The cameras of the file. Raises CameraError when it cannot be used."""
        if not self.path:
            raise CameraError("no camera file is named", hint="add --set trajectory.path=cameras.json")
        return camera_paths.load_trajectory(Path(self.path))


@dataclass(frozen=True, kw_only=True)
class AutoTrajectory:
    """A closed orbit where the picture shows one object that stands free, an arc where it shows a scene."""

    size: int = 512
    """Longer side of the frames in pixels."""
    num_views: int = 0
    """0 takes what the chosen path takes by default."""
    upright: bool = True
    """Around an object's own vertical, which the embedded network guesses; else around that of the photo."""

    def cameras(self, image: Image) -> Cameras:
        """The wanted cameras for whatever the picture shows."""
        from img2world.layered.foreground import find_foreground

        if find_foreground(image).is_object:
            num_views = self.num_views or OBJECT_VIEWS
            return OrbitTrajectory(num_views=num_views, size=self.size, upright=self.upright).cameras(image)
        return ArcTrajectory(num_views=self.num_views or SCENE_VIEWS, size=self.size).cameras(image)


def check_steepness(elevation: float, option: str) -> None:
    """Raise CameraError when a path would lead over the top of the object."""
    if abs(np.degrees(elevation)) > STEEPEST_DEG:
        raise CameraError(
            f"the path would be {np.degrees(elevation):.0f} degrees above the object, {STEEPEST_DEG:.0f} are possible",
            hint=f"lower {option}",
        )


def photo_elevation(image: Image) -> float:
    """How far above the object the picture was taken, in radians."""
    from img2world.layered.build import as_asked
    from img2world.layered.object_layers import elevation_above

    return elevation_above(image, as_asked(image, "object"))


def along(image: Image, kind: str, size: int, poses: Float32[np.ndarray, "V 4 4"]) -> Cameras:
    """The poses with the lens and frame size of the picture's input camera."""
    from img2world.layered.build import as_asked, input_camera

    if not 64 <= size <= 2048 or len(poses) < 2:
        raise CameraError(
            f"{len(poses)} frames of {size} pixels were asked for, needs at least 2 of 64 to 2048",
            hint="change trajectory.size or trajectory.num_views",
        )
    camera = input_camera(image, as_asked(image, kind), size)
    intrinsics = np.repeat(camera.intrinsics, len(poses), 0)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=camera.width, height=camera.height)
