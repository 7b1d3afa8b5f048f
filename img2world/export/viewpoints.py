"""Where to look at a scene from, so that its surface can be measured."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.scene import Scene

RINGS = {-75: 5, -45: 9, -15: 12, 15: 12, 45: 9, 75: 5}
"""Elevation in degrees to number of views around an object: about evenly spread on the sphere."""

RING_FOV = np.radians(36)

RING_WEIGHT = 0.5
"""Trust in views from where no picture was taken, against those of the scene's own cameras."""

MAX_OWN_VIEWS = 40
"""More of the scene's own cameras add time, not detail."""


@dataclass(frozen=True, kw_only=True)
class Viewpoints:
    """Cameras of one size and how much to trust what they see."""

    cameras: Cameras
    weights: Float32[np.ndarray, "V"]
    outer: Bool[np.ndarray, "V"]
    """False where what looks hollow is to be closed."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The box that holds what can be seen."""

    low: Float64[np.ndarray, "3"]
    high: Float64[np.ndarray, "3"]

    @property
    def center(self) -> Float64[np.ndarray, "3"]:
        """Middle of the box."""
        return (self.low + self.high) / 2

    @property
    def radius(self) -> float:
        """Of the sphere around the box."""
        return float(np.linalg.norm(self.high - self.low) / 2)


def opaque_extent(gaussians: Gaussians) -> Extent:
    """The box around the opaque Gaussians, without the few that float far away.

    Raises ExportError when nothing is opaque.
    """
    opaque = gaussians.select(gaussians.logit_opacities > 0)
    if len(opaque) == 0:
        raise ExportError(
            f"none of the {len(gaussians)} Gaussians is opaque, so there is no surface",
            hint="train the scene longer, or look at it with `img2world doctor RUN`",
        )
    means = opaque.means.astype(np.float64)
    low, high = np.quantile(means, [0.02, 0.98], axis=0)
    # A part that sticks out is nearer than this; a floater that a bad view left is not.
    margin = (high - low).max() / 2
    kept = ((means >= low - margin) & (means <= high + margin)).all(1)
    reach = 2 * opaque.scales.max(1, keepdims=True)[kept]
    reach = np.minimum(reach, 0.05 * margin)
    return Extent(low=(means[kept] - reach).min(0), high=(means[kept] + reach).max(0))


def object_viewpoints(scene: Scene, extent: Extent, size: int) -> Viewpoints:
    """The scene's own cameras and rings of others on all sides, in pictures of `size` x `size` pixels."""
    azimuths, elevations = [], []
    for ring, (elevation_deg, count) in enumerate(RINGS.items()):
        # Each ring starts elsewhere, so that no direction is left out.
        azimuths += [2 * np.pi * (i + 0.5 * (ring % 2)) / count for i in range(count)]
        elevations += [np.radians(elevation_deg)] * count
    radius = 1.05 * extent.radius / np.sin(RING_FOV / 2)
    poses = on_sphere(np.array(azimuths), np.array(elevations), radius)
    poses[:, :3, 3] += extent.center
    intrinsics = np.tile(intrinsics_from_fov(RING_FOV, size, size), (len(poses), 1, 1))
    rings = Cameras(world_from_cam=poses, intrinsics=intrinsics, width=size, height=size)
    own = _in_square(_thinned(scene.cameras), size)
    weights = np.concatenate([np.ones(len(own)), np.full(len(rings), RING_WEIGHT)])
    # A cup is open above. What is open below is an underside that no picture shows: it is to be closed.
    outer = np.concatenate([np.ones(len(own), bool), np.array(elevations) > 0])
    return Viewpoints(cameras=_joined(own, rings), weights=weights.astype(np.float32), outer=outer)


def scene_viewpoints(scene: Scene, size: int) -> Viewpoints:
    """The scene's own cameras, their long side scaled to `size` pixels: nothing else is known to look right."""
    cameras = _thinned(scene.cameras)
    scale = size / max(cameras.width, cameras.height)
    cameras = cameras.resized(round(cameras.width * scale), round(cameras.height * scale))
    everywhere = np.ones(len(cameras), bool)
    return Viewpoints(cameras=cameras, weights=everywhere.astype(np.float32), outer=everywhere)


def _thinned(cameras: Cameras) -> Cameras:
    """At most MAX_OWN_VIEWS of the cameras, evenly taken."""
    count = min(len(cameras), MAX_OWN_VIEWS)
    return cameras.select(np.round(np.linspace(0, len(cameras) - 1, count)).astype(int))


def _in_square(cameras: Cameras, size: int) -> Cameras:
    """The cameras with pictures of `size` x `size` that show the whole of the old ones."""
    scale = size / max(cameras.width, cameras.height)
    scaled = cameras.resized(round(cameras.width * scale), round(cameras.height * scale))
    intrinsics = scaled.intrinsics.copy()
    intrinsics[:, 0, 2] += (size - scaled.width) / 2
    intrinsics[:, 1, 2] += (size - scaled.height) / 2
    return replace(scaled, intrinsics=intrinsics, width=size, height=size)


def _joined(first: Cameras, second: Cameras) -> Cameras:
    """All of the first, then all of the second."""
    return replace(
        first,
        world_from_cam=np.concatenate([first.world_from_cam, second.world_from_cam]),
        intrinsics=np.concatenate([first.intrinsics, second.intrinsics]),
    )
