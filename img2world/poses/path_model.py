"""A parametric camera path: a prior path with a few parameters free to deviate from it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from img2world.core.cameras import Cameras
from img2world.core.rotation import rotation_about
from img2world.poses.camera_parameters import CameraParameters

PRIOR_STDS = {
    "elevation": np.radians(10.0),
    "focal": 0.25,
    "principal_point": 0.04,
    "arc": 0.05,
    "elevation harmonic": np.radians(8.0),
    "azimuth harmonic": np.radians(5.0),
    "radius harmonic": 0.08,
}
"""Standard deviation of each parameter: how far video generators usually deviate from the path they were asked for.

Angles are in radians; focal length, arc and radius are logarithms of factors; the principal point is in image widths.
"""

LIMITS = {
    "elevation": np.radians(75.0),
    "focal": np.log(2.5),
    "principal_point": 0.25,
    "arc": 0.7,
    "elevation harmonic": np.radians(40.0),
    "azimuth harmonic": np.radians(25.0),
    "radius harmonic": 0.5,
}
"""Largest absolute value of each parameter, in the same units."""

ELEVATION_ONLY = ("elevation",)
"""Parameters with harmonics in simple models: elevation deviates most; generators keep to even steps in azimuth."""

MIN_ROUNDNESS = 0.35
"""Ratio of a path's width to its length from which it counts as going around something."""


@dataclass(frozen=True, kw_only=True)
class CameraPath:
    """Cameras on spheres about the origin, with their orientations relative to looking at it.

    A camera position has an azimuth (positive to the right of the input camera), an elevation and a radius.
    """

    azimuths: Float64[np.ndarray, "V"]
    elevations: Float64[np.ndarray, "V"]
    radii: Float64[np.ndarray, "V"]
    cam_from_look_at: Float64[np.ndarray, "V 3 3"]
    """Rotation from an upright camera at the same position that looks at the origin."""
    focal: Float64[np.ndarray, "V 2"]
    """Focal lengths along x and y, in pixels."""
    principal_point: Float64[np.ndarray, "V 2"]
    """In pixels."""
    width: int
    """Width of the frames in pixels."""
    closed: bool
    """True if the view after the last would be the first."""
    upright_from_world: Float64[np.ndarray, "3 3"]
    """Rotation to a world whose vertical is the axis of the path; azimuth and elevation are measured there."""

    def __len__(self) -> int:
        return len(self.azimuths)


@dataclass(frozen=True, kw_only=True)
class FreeParameters:
    """The parameters of a path that are free to deviate from it; all are 0 on the path itself."""

    names: tuple[str, ...] = ("elevation", "focal")
    """Any of elevation, focal, principal_point (two values) and arc."""
    harmonics: int = 0
    """Number of Fourier harmonics along the path, each with a cosine and a sine."""
    modulated: tuple[str, ...] = ("elevation", "azimuth", "radius")
    """The quantity that the harmonics are added to, with one coefficient for each cosine and sine."""

    @property
    def labels(self) -> list[tuple[str, int]]:
        """Name and index of each value; the index counts the values of the same name."""
        plain = [(name, i) for name in self.names for i in range(2 if name == "principal_point" else 1)]
        return plain + [(f"{name} harmonic", i) for i in range(2 * self.harmonics) for name in self.modulated]

    @property
    def prior_stds(self) -> Float64[np.ndarray, "N"]:
        """Standard deviation of each value."""
        return np.array([PRIOR_STDS[name] for name, _ in self.labels])

    @property
    def limits(self) -> Float64[np.ndarray, "N"]:
        """Largest absolute value of each value."""
        return np.array([LIMITS[name] for name, _ in self.labels])


def path_from_cameras(cameras: Cameras, *, closed: bool) -> CameraPath:
    """Express cameras as a path."""
    world_from_cam = cameras.world_from_cam.astype(np.float64)
    upright_from_world = _upright_rotation(world_from_cam)
    world_from_cam[:, :3] = upright_from_world @ world_from_cam[:, :3]
    x, y, z = world_from_cam[:, :3, 3].T
    azimuths, elevations = np.unwrap(np.arctan2(x, -z)), np.arctan2(-y, np.hypot(x, z))
    look_at = look_at_origin(azimuths, elevations)
    return CameraPath(
        azimuths=azimuths,
        elevations=elevations,
        radii=np.sqrt(x * x + y * y + z * z),
        cam_from_look_at=np.einsum("vij,vjk->vik", look_at, world_from_cam[:, :3, :3]).transpose(0, 2, 1),
        focal=cameras.intrinsics[:, [0, 1], [0, 1]].astype(np.float64),
        principal_point=cameras.intrinsics[:, :2, 2].astype(np.float64),
        width=cameras.width,
        closed=closed,
        upright_from_world=upright_from_world,
    )


def _upright_rotation(world_from_cam: Float64[np.ndarray, "V 4 4"]) -> Float64[np.ndarray, "3 3"]:
    """Return the smallest rotation that makes the axis of a round path vertical; the identity for other paths."""
    centers = world_from_cam[:, :3, 3] - world_from_cam[:, :3, 3].mean(0)
    _, spread, axes = np.linalg.svd(centers, full_matrices=False)
    if len(spread) < 3 or spread[1] < MIN_ROUNDNESS * spread[0] or spread[2] > spread[1] / 2:
        return np.eye(3)
    # The y axis of a camera points down.
    down = axes[2] * np.sign(axes[2] @ world_from_cam[:, :3, 1].mean(0))
    vertical = np.array([0.0, 1.0, 0.0])
    axis, cosine = np.cross(down, vertical), float(down @ vertical)
    if np.linalg.norm(axis) < 1e-6:
        return np.eye(3)
    return rotation_about(axis, float(np.arccos(np.clip(cosine, -1, 1))))


def is_closed_path(cameras: Cameras) -> bool:
    """Tell whether the step from the last camera to the first is about as long as the others."""
    centers = cameras.centers_in_world.astype(np.float64)
    steps = np.linalg.norm(np.roll(centers, -1, 0) - centers, axis=1)
    return len(cameras) > 4 and bool(0.3 * np.median(steps) < steps[-1] < 1.7 * np.median(steps))


def look_at_origin(
    azimuths: Float64[np.ndarray, "V"], elevations: Float64[np.ndarray, "V"]
) -> Float64[np.ndarray, "V 3 3"]:
    """Return rotations from world to upright cameras that look at the origin; defined even from straight above."""
    sin_a, cos_a, sin_e, cos_e = np.sin(azimuths), np.cos(azimuths), np.sin(elevations), np.cos(elevations)
    right = np.stack([cos_a, np.zeros_like(cos_a), sin_a], -1)
    down = np.stack([sin_a * sin_e, cos_e, -cos_a * sin_e], -1)
    forward = np.stack([-sin_a * cos_e, sin_e, cos_a * cos_e], -1)
    return np.stack([right, down, forward], 1)


def reverse_path(path: CameraPath) -> CameraPath:
    """Return the path mirrored left to right, which goes around in the opposite direction."""
    mirror = np.diag([-1.0, 1.0, 1.0])
    return replace(path, azimuths=-path.azimuths, cam_from_look_at=mirror @ path.cam_from_look_at @ mirror)


def cameras_on_path(path: CameraPath, free: FreeParameters, values: Float64[np.ndarray, "N"]) -> CameraParameters:
    """Return the cameras of a path for values of its free parameters."""
    azimuths, elevations, log_radii = path.azimuths, path.elevations, np.log(path.radii)
    focal, principal_point, at = path.focal, path.principal_point, 0
    for name in free.names:
        if name == "elevation":
            elevations = elevations + values[at]
        elif name == "focal":
            focal = focal * np.exp(values[at])
        elif name == "arc":
            azimuths = azimuths * np.exp(values[at])
        else:
            principal_point = principal_point + values[at : at + 2] * path.width
        at += 2 if name == "principal_point" else 1
    modulated = {"elevation": elevations, "azimuth": azimuths, "radius": log_radii}
    basis = _harmonic_basis(len(path), free.harmonics, path.closed)
    for wave, coefficients in zip(basis, values[at:].reshape(len(basis), len(free.modulated)), strict=True):
        for name, coefficient in zip(free.modulated, coefficients, strict=True):
            modulated[name] = modulated[name] + coefficient * wave
    azimuths, radii = modulated["azimuth"], np.exp(modulated["radius"])
    elevations = np.clip(modulated["elevation"], -1.55, 1.55)
    # A camera that looks at the origin has it straight ahead, at the distance of the radius.
    translations = np.stack([np.zeros_like(radii), np.zeros_like(radii), radii], -1)
    look_at_from_world = np.concatenate(
        [look_at_origin(azimuths, elevations) @ path.upright_from_world, translations[:, :, None]], -1
    )
    return CameraParameters(
        cam_from_world=np.einsum("vij,vjk->vik", path.cam_from_look_at, look_at_from_world),
        focal=focal,
        principal_point=principal_point,
    )


def _harmonic_basis(num_views: int, harmonics: int, closed: bool) -> Float64[np.ndarray, "K V"]:
    """Return cosine and sine of each harmonic along the path, with a period of the path, or of twice an open one."""
    phase = np.arange(num_views) * (2 * np.pi / num_views if closed else np.pi / max(num_views - 1, 1))
    waves = [wave for k in range(1, harmonics + 1) for wave in (np.cos(k * phase), np.sin(k * phase))]
    return np.array(waves).reshape(-1, num_views)
