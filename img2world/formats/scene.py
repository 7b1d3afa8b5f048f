"""A scene from a splat file, which knows no cameras: an orbit around what most of its Gaussians are part of."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.camera_paths import on_sphere, orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.scene import Scene
from img2world.core.supported_region import SupportedRegion
from img2world.formats.splat_file import SplatFile, join

MIN_OPACITY = 0.1
"""Gaussians that are more transparent do not count."""

PERCENT = 95
"""Percentage of the Gaussians that is nearer to the center than the radius: the rest may be a sky, or floaters."""

SIGMAS = 2.0
"""Standard deviations of a Gaussian that can be seen."""

FOV = np.radians(45)
"""Field of view along the shorter side."""

DISTANCE = 3.1
"""Distance of the cameras from the center in radii."""

RINGS = {10: 12, -25: 6, 40: 10, 75: 4}
"""Elevation in degrees and number of the cameras that look from all sides."""

MOMENTS = 5
"""Moments of what moves that the cameras show all of."""

MIN_RADIUS = 1e-5
"""Cameras nearer to each other than that have no distinct positions in 32 bits."""

ELEVATION = np.radians(12)
BACKGROUND = (0.12, 0.12, 0.13)


def scene_from_gaussians(gaussians: Gaussians, *, views: int = 96, width: int = 640, height: int = 480) -> Scene:
    """Return a scene with cameras on a circle around the Gaussians, in the units of the file, the first one in front.

    Raises FormatError when there is nothing to see.
    """
    cameras = _cameras_at(gaussians, orbit(views, elevation=float(ELEVATION)), width, height)
    return Scene(gaussians=gaussians, cameras=cameras, background=BACKGROUND, is_object=True)


def scene_from_file(file: SplatFile, *, views: int = 96, width: int = 640, height: int = 480) -> Scene:
    """Return a scene with the motion of a file, if it has one, and cameras that show all of it at any time.

    Raises FormatError when there is nothing to see.
    """
    scene = scene_from_gaussians(all_moments(file), views=views, width=width, height=height)
    return replace(
        scene,
        gaussians=file.gaussians,
        motion=file.motion,
        background=file.background or scene.background,
        is_object=scene.is_object if file.motion is None else file.is_object is not False,
    )


def all_moments(content: Scene | SplatFile) -> Gaussians:
    """Return the Gaussians of what moves at several moments together, to set cameras around; of what does not, once."""
    if content.motion is None:
        return content.gaussians
    times = np.linspace(content.motion.key_times[0], content.motion.key_times[-1], MOMENTS)
    return join(*(content.at(float(time)) for time in times))


def cameras_on_all_sides(gaussians: Gaussians, size: int) -> Cameras:
    """Return cameras around the Gaussians at the elevations of RINGS, with square images, the first one in front."""
    azimuths = [2 * np.pi * i / count for count in RINGS.values() for i in range(count)]
    elevations = [np.radians(elevation_deg) for elevation_deg, count in RINGS.items() for _ in range(count)]
    return _cameras_at(gaussians, on_sphere(np.array(azimuths), np.array(elevations)), size, size)


def _cameras_at(gaussians: Gaussians, poses: Float32[np.ndarray, "V 4 4"], width: int, height: int) -> Cameras:
    """Return cameras at poses around the origin, scaled and moved such that they show the Gaussians."""
    center, radius = _middle(gaussians)
    poses = poses.copy()
    poses[:, :3, 3] = poses[:, :3, 3] / INPUT_DISTANCE * DISTANCE * radius + center
    across = 2 * np.arctan(np.tan(FOV / 2) * width / min(width, height))
    return Cameras(
        world_from_cam=poses,
        intrinsics=np.tile(intrinsics_from_fov(across, width, height), (len(poses), 1, 1)),
        width=width,
        height=height,
    )


def viewer_scene(scene: Scene) -> Scene:
    """Return the scene of a file in the units of the viewer, with its center at the origin, and with a free camera.

    The viewer's units are such that the first camera is INPUT_DISTANCE away.
    """
    center, radius = _middle(all_moments(scene))
    matrix = np.eye(4)
    matrix[:3, :3] *= INPUT_DISTANCE / (DISTANCE * radius)
    matrix[:3, 3] = -matrix[:3, :3] @ center
    half = float(np.tan(FOV / 2))
    free = SupportedRegion(
        pivot=(0.0, 0.0, 0.0),
        azimuth=(-np.pi, np.pi),
        elevation=(-np.pi / 2, np.pi / 2),
        distance=(0.02, 20.0),
        turn_yaw=(-np.pi, np.pi),
        turn_pitch=(-np.pi / 2, np.pi / 2),
        outline=(-half, -half, half, half),
    )
    return replace(
        scene,
        gaussians=scene.gaussians.transformed(matrix.astype(np.float32)),
        motion=None if scene.motion is None else scene.motion.transformed(matrix),
        cameras=scene.cameras.transformed(matrix),
        supported=free,
    )


def _middle(gaussians: Gaussians) -> tuple[Float64[np.ndarray, "3"], float]:
    """Return center and radius of most Gaussians that can be seen."""
    seen = gaussians.select(gaussians.opacities > MIN_OPACITY)
    visible = seen.means.astype(np.float64)
    if len(gaussians) == 0:
        raise FormatError("the file has no Gaussians", hint="`img2world inspect` tells more")
    if len(visible) == 0:
        raise FormatError("no Gaussian can be seen: all are transparent", hint="`img2world inspect` tells more")
    # Not the median: in a person, for example, most Gaussians are where there is most detail.
    center = np.percentile(visible, (100 - PERCENT, PERCENT), axis=0).mean(0)
    reach = np.linalg.norm(visible - center, axis=1) + SIGMAS * seen.scales.max(1)
    radius = float(np.percentile(reach, PERCENT))
    if radius < MIN_RADIUS:
        raise FormatError(
            f"the Gaussians are within {radius:.1e} units of one point",
            hint="make them larger: `img2world convert IN OUT --scale 1000`",
        )
    return center, radius
