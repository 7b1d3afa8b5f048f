"""A camera path that is known but for a few numbers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from img2world.core.cameras import Cameras
from img2world.core.rotation import rotation_about
from img2world.poses.triangulation import Rig

LIMITS = {"elevation": np.radians(75.0), "focal": np.log(2.5), "middle": 0.25, "arc": 0.7}
"""How far each number may go from what was told: radians, logarithms, and widths of the picture."""

DOUBTS = {"elevation": np.radians(10.0), "focal": 0.25, "middle": 0.04, "arc": 0.05}
"""Standard deviations: how far generators usually stray from what they were told."""

WAVE_DOUBTS = {"elevation": np.radians(8.0), "azimuth": np.radians(5.0), "radius": 0.08}
"""The same for each wave along the path, the radius as a logarithm."""

WAVE_LIMITS = {"elevation": np.radians(40.0), "azimuth": np.radians(25.0), "radius": 0.5}

HEIGHT_ONLY = ("elevation",)
"""What strays most: generators are told even steps round, and keep to them."""

ROUND = 0.35
"""A path goes far round when it is so much as wide as it is long."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """Cameras on spheres about the origin that look at it, or past it as they were told.

    A point of the path has an azimuth (positive: to the right of the input camera), an elevation and a radius.
    """

    azimuths: Float64[np.ndarray, "V"]
    elevations: Float64[np.ndarray, "V"]
    radii: Float64[np.ndarray, "V"]
    turns: Float64[np.ndarray, "V 3 3"]
    """From the camera as told to one that looks at the origin upright."""
    focal: Float64[np.ndarray, "V 2"]
    middle: Float64[np.ndarray, "V 2"]
    width: int
    closed: bool
    """The view after the last would be the first."""
    upright_from_world: Float64[np.ndarray, "3 3"]
    """Turns the world so that the path goes round its vertical, in which azimuth and elevation are measured."""

    def __len__(self) -> int:
        return len(self.azimuths)


@dataclass(frozen=True, kw_only=True)
class Freedom:
    """Which numbers of a path are free."""

    names: tuple[str, ...] = ("elevation", "focal")
    """Of elevation, focal, middle (two numbers) and arc."""
    waves: int = 0
    """Waves along the path: a cosine and a sine each."""
    strays: tuple[str, ...] = tuple(WAVE_DOUBTS)
    """What has these waves, of elevation, azimuth and radius: one number for each cosine and sine."""

    @property
    def doubts(self) -> Float64[np.ndarray, "N"]:
        """Standard deviation of each number."""
        return self._values(DOUBTS, WAVE_DOUBTS)

    @property
    def limits(self) -> Float64[np.ndarray, "N"]:
        """Each number stays between plus and minus this."""
        return self._values(LIMITS, WAVE_LIMITS)

    def _values(self, table: dict[str, float], waves: dict[str, float]) -> Float64[np.ndarray, "N"]:
        """One value of a table for each free number."""
        values = [table[name] for name in self.names for _ in range(2 if name == "middle" else 1)]
        return np.array(values + [waves[name] for _ in range(2 * self.waves) for name in self.strays])


def path_from_cameras(told: Cameras, *, closed: bool) -> Path:
    """The told cameras as a path."""
    world_from_cam = told.world_from_cam.astype(np.float64)
    upright_from_world = _upright(world_from_cam)
    world_from_cam[:, :3] = upright_from_world @ world_from_cam[:, :3]
    x, y, z = world_from_cam[:, :3, 3].T
    flat = np.hypot(x, z)
    azimuths, elevations = np.unwrap(np.arctan2(x, -z)), np.arctan2(-y, flat)
    looking = looking_at_origin(azimuths, elevations)
    return Path(
        azimuths=azimuths,
        elevations=elevations,
        radii=np.sqrt(x * x + y * y + z * z),
        turns=np.einsum("vij,vjk->vik", looking, world_from_cam[:, :3, :3]).transpose(0, 2, 1),
        focal=told.intrinsics[:, [0, 1], [0, 1]].astype(np.float64),
        middle=told.intrinsics[:, :2, 2].astype(np.float64),
        width=told.width,
        closed=closed,
        upright_from_world=upright_from_world,
    )


def _upright(world_from_cam: Float64[np.ndarray, "V 4 4"]) -> Float64[np.ndarray, "3 3"]:
    """The smallest turn that stands the axis of a path which goes far round upright; none for other paths."""
    centers = world_from_cam[:, :3, 3] - world_from_cam[:, :3, 3].mean(0)
    _, spread, axes = np.linalg.svd(centers, full_matrices=False)
    if len(spread) < 3 or spread[1] < ROUND * spread[0] or spread[2] > spread[1] / 2:
        return np.eye(3)
    # A camera's picture has its y axis down.
    down = axes[2] * np.sign(axes[2] @ world_from_cam[:, :3, 1].mean(0))
    vertical = np.array([0.0, 1.0, 0.0])
    axis, cosine = np.cross(down, vertical), float(down @ vertical)
    if np.linalg.norm(axis) < 1e-6:
        return np.eye(3)
    return rotation_about(axis, float(np.arccos(np.clip(cosine, -1, 1))))


def is_closed(told: Cameras) -> bool:
    """Whether the way from the last camera to the first is about as long as the other steps."""
    centers = told.centers_in_world.astype(np.float64)
    steps = np.linalg.norm(np.roll(centers, -1, 0) - centers, axis=1)
    return len(told) > 4 and bool(0.3 * np.median(steps) < steps[-1] < 1.7 * np.median(steps))


def looking_at_origin(
    azimuths: Float64[np.ndarray, "V"], elevations: Float64[np.ndarray, "V"]
) -> Float64[np.ndarray, "V 3 3"]:
    """World to camera for upright cameras on a sphere that look at its middle, even from straight above."""
    sin_a, cos_a, sin_e, cos_e = np.sin(azimuths), np.cos(azimuths), np.sin(elevations), np.cos(elevations)
    right = np.stack([cos_a, np.zeros_like(cos_a), sin_a], -1)
    down = np.stack([sin_a * sin_e, cos_e, -cos_a * sin_e], -1)
    ahead = np.stack([-sin_a * cos_e, sin_e, cos_a * cos_e], -1)
    return np.stack([right, down, ahead], 1)


def reversed_path(path: Path) -> Path:
    """The same path walked the other way round."""
    mirror = np.diag([-1.0, 1.0, 1.0])
    return Path(**{**vars(path), "azimuths": -path.azimuths, "turns": mirror @ path.turns @ mirror})


def rig_on_path(path: Path, freedom: Freedom, numbers: Float64[np.ndarray, "N"]) -> Rig:
    """The cameras when the free numbers have these values."""
    azimuths, elevations, log_radii = path.azimuths, path.elevations, np.log(path.radii)
    focal, middle, at = path.focal, path.middle, 0
    for name in freedom.names:
        if name == "elevation":
            elevations = elevations + numbers[at]
        elif name == "focal":
            focal = focal * np.exp(numbers[at])
        elif name == "arc":
            azimuths = azimuths * np.exp(numbers[at])
        else:
            middle = middle + numbers[at : at + 2] * path.width
        at += 2 if name == "middle" else 1
    strayed = {"elevation": elevations, "azimuth": azimuths, "radius": log_radii}
    waves = _waves(len(path), freedom.waves, path.closed)
    for wave, factors in zip(waves, numbers[at:].reshape(len(waves), len(freedom.strays)), strict=True):
        for name, factor in zip(freedom.strays, factors, strict=True):
            strayed[name] = strayed[name] + factor * wave
    azimuths, radii = strayed["azimuth"], np.exp(strayed["radius"])
    elevations = np.clip(strayed["elevation"], -1.55, 1.55)
    looking = looking_at_origin(azimuths, elevations)
    # A camera that looks at the origin has it straight ahead.
    shift = np.stack([np.zeros_like(radii), np.zeros_like(radii), radii], -1)
    cam_from_world = np.concatenate([looking, shift[:, :, None]], -1)
    return Rig(
        cam_from_world=np.einsum("vij,vjk->vik", path.turns, _in_world(cam_from_world, path)),
        focal=focal,
        middle=middle,
    )


def _in_world(cam_from_upright: Float64[np.ndarray, "V 3 4"], path: Path) -> Float64[np.ndarray, "V 3 4"]:
    """The same poses in the world as it was told."""
    poses = cam_from_upright.copy()
    poses[:, :, :3] = poses[:, :, :3] @ path.upright_from_world
    return poses


def _waves(num_views: int, count: int, closed: bool) -> Float64[np.ndarray, "K V"]:
    """Pairs of waves along the path: whole ones where it is closed, half as long ones where not."""
    phase = np.arange(num_views) * (2 * np.pi / num_views if closed else np.pi / max(num_views - 1, 1))
    waves = [wave for k in range(1, count + 1) for wave in (np.cos(k * phase), np.sin(k * phase))]
    return np.array(waves).reshape(-1, num_views)
