"""The vertical of a scene, the height of its subject, its scale in metres, and its place in exported files."""

from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Float, Float64

from img2world.core.camera_paths import UP_IN_WORLD
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.rotation import rotation_about
from img2world.core.scene import Scene
from img2world.core.views import Views

MIN_OPACITY = 0.5
"""Gaussians of a lower opacity are not part of the subject."""

OUTLIER_PERCENT = 1.0
"""Percentage of the subject's Gaussians that is ignored at the top and at the bottom."""

SUBJECT_RADIUS = 2.0
"""In a scene, the subject is within this distance of the first camera, in units of INPUT_DISTANCE."""

UPRIGHT_TOLERANCE = np.radians(0.1)
"""A world that leans by a smaller angle is upright."""

MIN_SPREAD = 0.02
"""Second eigenvalue that the cameras' right axes must have for their common normal to be the vertical."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Measures of a scene, in its units and axes."""

    up: tuple[float, float, float]
    ground: float
    """Distance from the origin down to the lowest point of the subject."""
    height: float
    """Height of the subject."""
    metres_per_unit: float
    """0 if the height of the subject in metres is unknown."""

    def as_json(self) -> dict[str, object]:
        """Return the measures as a JSON object."""
        return {**asdict(self), "up": list(self.up)}


def measured(scene: Scene, height_m: float) -> Measures:
    """Measure a scene whose subject is `height_m` metres high; 0 if that is unknown.

    The world is upright. The subject is the object or, in a scene, everything within SUBJECT_RADIUS of the first
    camera.
    """
    up = UP_IN_WORLD
    gaussians = scene.at(scene.start)
    means = gaussians.means.astype(np.float64)
    subject = gaussians.opacities > MIN_OPACITY
    if not scene.is_object:
        eye = scene.cameras.centers_in_world[0].astype(np.float64)
        subject &= np.linalg.norm(means - eye, axis=1) < SUBJECT_RADIUS * INPUT_DISTANCE
    chosen = means[subject] if subject.any() else means
    low, high = np.percentile(np.einsum("nk,k->n", chosen, up), [OUTLIER_PERCENT, 100 - OUTLIER_PERCENT])
    height = float(high - low)
    x, y, z = up.tolist()
    return Measures(
        up=(x, y, z), ground=float(-low), height=height, metres_per_unit=height_m / height if height > 0 else 0.0
    )


def up_direction(cameras: Cameras) -> Float64[np.ndarray, "3"]:
    """Return the unit vector upwards, given that people hold cameras level.

    It is perpendicular to the right axes of all cameras, or the mean of their up axes where the right axes are alike.
    """
    axes = cameras.world_from_cam[:, :3, :3].astype(np.float64)
    up = -axes[:, :, 1].mean(0)
    right = axes[:, :, 0]
    spread, directions = np.linalg.eigh(np.einsum("vi,vj->ij", right, right) / len(right))
    if spread[1] > MIN_SPREAD and spread[0] < spread[1] / 4:
        normal = directions[:, 0]
        up = normal * np.sign(normal @ up)
    return up / np.linalg.norm(up)


def upright(views: Views) -> Views:
    """Rotate the world of views about its origin such that it is upright, as engines expect.

    The input camera has identity rotation, so the world of a photo taken from above leans towards it. Views whose
    world leans by less than UPRIGHT_TOLERANCE are returned unchanged.
    """
    return turned_up(views, up_direction(views.cameras))


def turned_up(views: Views, up: Float64[np.ndarray, "3"]) -> Views:
    """Rotate the world of views about its origin such that a unit vector points up."""
    axis = np.cross(up, UP_IN_WORLD)
    angle = float(np.arctan2(np.linalg.norm(axis), up @ UP_IN_WORLD))
    if angle < UPRIGHT_TOLERANCE:
        return views
    turn = np.eye(4)
    turn[:3, :3] = rotation_about(axis if axis.any() else np.array([0, 0, 1.0]), angle)
    points = (views.points @ turn[:3, :3].T).astype(np.float32)
    return replace(views, cameras=views.cameras.transformed(turn), points=points)


def asset_from_world(scene: Scene, measures: Measures, size: float) -> Float64[np.ndarray, "4 4"]:
    """Return the similarity from the world of an upright scene to the frame of exported files.

    The origin is on the ground, below the middle of an object or the first camera of a scene. The unit is the metre if
    that is known; otherwise an object's longest side has `size` units, and a scene keeps its own (as does an object of
    size 0). The axes remain.
    """
    middle = scene.cameras.centers_in_world[0].astype(np.float64)
    scale = measures.metres_per_unit or 1.0
    if scene.is_object:
        gaussians = scene.at(scene.start)
        opaque = gaussians.opacities > MIN_OPACITY
        means = (gaussians.means[opaque] if opaque.any() else gaussians.means).astype(np.float64)
        low, high = np.percentile(means, [OUTLIER_PERCENT, 100 - OUTLIER_PERCENT], axis=0)
        middle = (low + high) / 2
        if not measures.metres_per_unit and size > 0 and (longest := float((high - low).max())) > 0:
            scale = size / longest
    matrix = np.diag([scale, scale, scale, 1.0])
    # Down is +Y.
    matrix[:3, 3] = -scale * np.array([middle[0], measures.ground, middle[2]])
    return matrix


def transformed_views(views: Views, target_from_source: Float[np.ndarray, "4 4"]) -> Views:
    """Return the views in a world that is rotated, translated and uniformly scaled."""
    scale = np.float32(np.cbrt(np.linalg.det(target_from_source[:3, :3])))
    points = views.points @ target_from_source[:3, :3].T + target_from_source[:3, 3]
    return replace(
        views,
        cameras=views.cameras.transformed(target_from_source),
        points=points.astype(np.float32),
        depth=None if views.depth is None else views.depth * scale,
    )
