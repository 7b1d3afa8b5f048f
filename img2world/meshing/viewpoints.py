"""Cameras from which the surface of a scene is measured."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, concatenate_cameras, intrinsics_from_fov
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.scene import Scene

RINGS = {-75: 5, -45: 9, -15: 12, 15: 12, 45: 9, 75: 5}
"""Elevation in degrees and number of cameras of each ring around an object, spread about evenly over the sphere."""

RING_FOV = np.radians(36)

RING_WEIGHT = 0.5
"""Weight of a ring camera, relative to one of the scene's own cameras."""

MAX_OWN_CAMERAS = 40
"""More of the scene's own cameras add time but no detail."""


@dataclass(frozen=True, kw_only=True)
class Viewpoints:
    """Cameras of one image size and the weight of what each of them sees."""

    cameras: Cameras
    weights: Float32[np.ndarray, "V"]
    keeps_hollows: Bool[np.ndarray, "V"]
    """True for cameras that may look into a hollow; a hollow that only other cameras look into is closed."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Axis-aligned box in the world."""

    low: Float64[np.ndarray, "3"]
    high: Float64[np.ndarray, "3"]

    @property
    def center(self) -> Float64[np.ndarray, "3"]:
        """Centre of the box."""
        return (self.low + self.high) / 2

    @property
    def radius(self) -> float:
        """Radius of the sphere through the corners of the box."""
        return float(np.linalg.norm(self.high - self.low) / 2)


def opaque_extent(gaussians: Gaussians) -> Extent:
    """Return the box around the opaque Gaussians, without outliers that float far away.

    Raises ExportError when no Gaussian is opaque.
    """
    opaque = gaussians.select(gaussians.logit_opacities > 0)
    if len(opaque) == 0:
        raise ExportError(
            f"none of the {len(gaussians)} Gaussians is opaque, so there is no surface",
            hint="train the scene longer, or look at it with `img2world doctor RUN`",
        )
    means = opaque.means.astype(np.float64)
    low, high = np.quantile(means, [0.02, 0.98], axis=0)
    # Protruding parts lie within this margin, floaters left by a bad view do not.
    margin = (high - low).max() / 2
    kept = ((means >= low - margin) & (means <= high + margin)).all(1)
    reach = 2 * opaque.scales.max(1, keepdims=True)[kept]
    reach = np.minimum(reach, 0.05 * margin)
    return Extent(low=(means[kept] - reach).min(0), high=(means[kept] + reach).max(0))


def object_viewpoints(scene: Scene, extent: Extent, size: int) -> Viewpoints:
    """Return the scene's own cameras and rings of cameras on all sides, with images of `size` x `size` pixels."""
    azimuths, elevations = [], []
    for ring, (elevation_deg, count) in enumerate(RINGS.items()):
        # Every other ring is offset by half a step, so that no direction is left out.
        azimuths += [2 * np.pi * (i + 0.5 * (ring % 2)) / count for i in range(count)]
        elevations += [np.radians(elevation_deg)] * count
    radius = 1.05 * extent.radius / np.sin(RING_FOV / 2)
    poses = on_sphere(np.array(azimuths), np.array(elevations), radius)
    poses[:, :3, 3] += extent.center
    intrinsics = np.tile(intrinsics_from_fov(RING_FOV, size, size), (len(poses), 1, 1))
    rings = Cameras(world_from_cam=poses, intrinsics=intrinsics, width=size, height=size)
    own = _pad_to_square(_thin_out(scene.cameras), size)
    weights = np.concatenate([np.ones(len(own)), np.full(len(rings), RING_WEIGHT)])
    # A cup is open at the top. An opening at the bottom is only an underside that no photo shows.
    keeps_hollows = np.concatenate([np.ones(len(own), bool), np.array(elevations) > 0])
    return Viewpoints(
        cameras=concatenate_cameras([own, rings]), weights=weights.astype(np.float32), keeps_hollows=keeps_hollows
    )


def scene_viewpoints(scene: Scene, size: int) -> Viewpoints:
    """Return the scene's own cameras, the only ones known to look right; the long side has `size` pixels."""
    cameras = _thin_out(scene.cameras)
    scale = size / max(cameras.width, cameras.height)
    cameras = cameras.resized(round(cameras.width * scale), round(cameras.height * scale))
    all_cameras = np.ones(len(cameras), bool)
    return Viewpoints(cameras=cameras, weights=all_cameras.astype(np.float32), keeps_hollows=all_cameras)


def evenly_spaced(total: int, limit: int) -> list[int]:
    """Return at most `limit` of the indices below `total`, evenly spaced, with the first and the last."""
    return np.round(np.linspace(0, total - 1, min(total, limit))).astype(int).tolist()


def _thin_out(cameras: Cameras) -> Cameras:
    """Return at most MAX_OWN_CAMERAS of the cameras, evenly spaced."""
    return cameras.select(evenly_spaced(len(cameras), MAX_OWN_CAMERAS))


def _pad_to_square(cameras: Cameras, size: int) -> Cameras:
    """Return the cameras with images of `size` x `size` that contain the whole of the old ones."""
    scale = size / max(cameras.width, cameras.height)
    scaled = cameras.resized(round(cameras.width * scale), round(cameras.height * scale))
    intrinsics = scaled.intrinsics.copy()
    intrinsics[:, 0, 2] += (size - scaled.width) / 2
    intrinsics[:, 1, 2] += (size - scaled.height) / 2
    return replace(scaled, intrinsics=intrinsics, width=size, height=size)
