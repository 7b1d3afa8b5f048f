"""Views of a finished scene, and where their pixels lie in the photo."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.metric import up_direction
from img2world.core.scene import Scene
from img2world.layered.anchor_frames import unproject_depth
from img2world.render import render_each

OPAQUE = 0.5
"""Alpha from which a pixel shows a surface."""

DEPTH_TOLERANCE = 0.04
"""Relative difference of depths up to which two views show the same surface."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A scene as one camera sees it."""

    camera: Cameras
    rgb: Float32[np.ndarray, "H W 3"]
    """sRGB 0 to 1, background included."""
    alpha: Float32[np.ndarray, "H W"]
    depth: Float32[np.ndarray, "H W"]
    """Along +Z in world units, 0 where nothing is hit."""

    @property
    def opaque(self) -> Bool[np.ndarray, "H W"]:
        """Where the view shows a surface."""
        return self.alpha >= OPAQUE


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where the surfaces that a view shows lie in the photo."""

    xy: Float[np.ndarray, "H W 2"]
    """Position in the photo's view, in pixels."""
    seen: Bool[np.ndarray, "H W"]
    """Where the photo shows the same surface, unhidden."""
    detail: Float[np.ndarray, "H W"]
    """Lowest resolution at which it does in any direction, relative to that of the view."""


def draw(scene: Scene, cameras: Cameras, side: int) -> list[View]:
    """Draw a scene as cameras see it, with `side` pixels along the longer side."""
    scale = side / max(cameras.width, cameras.height)
    size = [max(round(scale * length), 2) for length in (cameras.width, cameras.height)]
    return list(views_of(scene, cameras.resized(*size)))


def views_of(scene: Scene, cameras: Cameras) -> Iterable[View]:
    """Yield the views of cameras, one after the other."""
    drawn = render_each(scene.at(scene.start), cameras, background=scene.background)
    for i, (rgb, alpha, depth) in enumerate(drawn):
        yield View(camera=cameras.select([i]), rgb=rgb, alpha=alpha, depth=depth)


def project(camera: Cameras, points: Float[np.ndarray, "*B 3"]) -> Float[np.ndarray, "*B 3"]:
    """Return the pixel positions x and y of points in the world, and their depth; NaN behind the camera."""
    cam_from_world = camera.cam_from_world[0].astype(np.float64)
    in_cam = points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    depth = np.where(in_cam[..., 2:] > 0, in_cam[..., 2:], np.nan)
    on_screen = (in_cam / depth) @ camera.intrinsics[0].astype(np.float64).T
    return np.concatenate([on_screen[..., :2], depth], -1)


def find_origins(view: View, photo: View) -> Origins:
    """Find the surfaces of a view in the photo's view of the same scene."""
    points = unproject_depth(view.depth, view.camera).astype(np.float64)
    projected = np.nan_to_num(project(photo.camera, points), nan=-1.0)
    xy, depth = projected[..., :2], projected[..., 2]
    inside = (xy >= 0).all(-1) & (xy < (photo.camera.width, photo.camera.height)).all(-1)
    columns, rows = np.moveaxis(np.where(np.expand_dims(inside, -1), xy, 0).astype(int), -1, 0)
    same = np.abs(photo.depth[rows, columns] - depth) < DEPTH_TOLERANCE * depth
    down, right = np.gradient(xy, axis=(0, 1))
    # The smaller singular value of the 2 x 2 Jacobian, from the norms of its sum and difference with its rotation.
    sums = np.hypot(right[..., 0] + down[..., 1], right[..., 1] - down[..., 0])
    differences = np.hypot(right[..., 0] - down[..., 1], right[..., 1] + down[..., 0])
    return Origins(
        xy=xy,
        seen=view.opaque & inside & photo.opaque[rows, columns] & same,
        detail=0.5 * np.abs(sums - differences),
    )


def headings(cameras: Cameras) -> Float64[np.ndarray, "V"]:
    """Return how far each camera has turned about the vertical since the first, -pi to pi."""
    up = up_direction(cameras)
    forward = cameras.world_from_cam[:, :3, 2].astype(np.float64)
    ahead = forward[0] - (forward[0] @ up) * up
    return np.arctan2(forward @ np.cross(ahead, up), forward @ ahead)


def widest_cameras(cameras: Cameras, max_angle: float) -> tuple[int, int]:
    """Return the indices of the camera farthest from the first, and of that farthest from it.

    Only cameras that have turned by at most `max_angle` radians since the first count.
    """
    centers = cameras.centers_in_world
    near = np.flatnonzero(np.abs(headings(cameras)) <= max_angle)
    one = near[np.linalg.norm(centers[near] - centers[0], axis=1).argmax()]
    other = near[np.linalg.norm(centers[near] - centers[one], axis=1).argmax()]
    return int(one), int(other)


def cameras_around(cameras: Cameras) -> list[int]:
    """Return the cameras that look from one side, from behind and from the other side; none if there are no such."""
    turned = headings(cameras)
    targets = np.array([-np.pi / 2, np.pi, np.pi / 2])
    distances = np.abs(np.angle(np.exp(1j * (turned - targets[:, None]))))
    return distances.argmin(1).tolist() if distances.min(1).max() < np.pi / 6 else []


def nearby_cameras(cameras: Cameras, ends: tuple[int, int], fraction: float) -> list[int]:
    """Return the indices of the cameras nearest to a fraction of the way from the first camera to each end."""
    centers = cameras.centers_in_world
    places = centers[0] + fraction * (centers[list(ends)] - centers[0])
    return np.linalg.norm(centers[:, None] - places, axis=-1).argmin(0).tolist()
