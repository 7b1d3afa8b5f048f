"""Where up is, how high the subject is, and how many metres a unit has."""

from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.camera_paths import UP_IN_WORLD
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.gaussians import Gaussians
from img2world.core.rotation import rotation_about
from img2world.core.scene import Scene
from img2world.core.views import Views

SOLID = 0.5
"""Opacity from which a Gaussian is part of the subject."""

OUTLIERS = 1.0
"""Percent of the Gaussians at either end that do not count."""

SURROUNDINGS = 2.0
"""Input distances from the first camera: of a scene, what is farther away is not the subject."""

LEVEL = np.radians(0.1)
"""Angle up to which a world is upright."""

LEVEL_SPREAD = 0.02
"""How much the cameras' right sides must point different ways for their common normal to be the vertical."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """A scene's own measures, in its units and axes."""

    up: tuple[float, float, float]
    ground: float
    """How far below the origin the subject ends, along up."""
    height: float
    """Of the subject."""
    metres_per_unit: float
    """0 where nobody has said how high the subject is."""

    def as_json(self) -> dict[str, object]:
        """As JSON holds it."""
        return {**asdict(self), "up": list(self.up)}


def measured(scene: Scene, height_m: float) -> Measures:
    """Measure a scene whose subject is `height_m` metres high, or 0 where that is not known.

    The subject is the object, or of a scene all within two input distances of the first camera.
    """
    up = up_direction(scene.cameras)
    gaussians = scene.at(0.0)
    means = gaussians.means.astype(np.float64)
    subject = gaussians.opacities > SOLID
    if not scene.is_object:
        eye = scene.cameras.centers_in_world[0].astype(np.float64)
        subject &= np.linalg.norm(means - eye, axis=1) < SURROUNDINGS * INPUT_DISTANCE
    chosen = means[subject] if subject.any() else means
    low, high = np.percentile(np.einsum("nk,k->n", chosen, up), [OUTLIERS, 100 - OUTLIERS])
    height = float(high - low)
    x, y, z = up.tolist()
    return Measures(
        up=(x, y, z), ground=float(-low), height=height, metres_per_unit=height_m / height if height > 0 else 0.0
    )


def up_direction(cameras: Cameras) -> Float64[np.ndarray, "3"]:
    """The vertical, as people hold cameras: what is square to all their right sides, or else the mean of their ups."""
    axes = cameras.world_from_cam[:, :3, :3].astype(np.float64)
    above = -axes[:, :, 1].mean(0)
    right = axes[:, :, 0]
    spread, directions = np.linalg.eigh(np.einsum("vi,vj->ij", right, right) / len(right))
    if spread[1] > LEVEL_SPREAD and spread[0] < spread[1] / 4:
        normal = directions[:, 0]
        above = normal * np.sign(normal @ above)
    return above / np.linalg.norm(above)


def upright(views: Views) -> Views:
    """The views in a world that stands upright, so that their worlds do in engines; the origin stays where it is.

    A photo from above would lean towards its camera, which else has no rotation. What leans by less than LEVEL stays.
    """
    up = up_direction(views.cameras)
    axis = np.cross(up, UP_IN_WORLD)
    angle = float(np.arctan2(np.linalg.norm(axis), up @ UP_IN_WORLD))
    if angle < LEVEL:
        return views
    turn = np.eye(4)
    turn[:3, :3] = rotation_about(axis if axis.any() else np.array([0, 0, 1.0]), angle)
    points = (views.points @ turn[:3, :3].T).astype(np.float32)
    return replace(views, cameras=views.cameras.transformed(turn), points=points)


def gaussians_in_metres(gaussians: Gaussians, metres_per_unit: float) -> Gaussians:
    """The same Gaussians in metres; as they are where the scale is not known (0)."""
    if metres_per_unit <= 0:
        return gaussians
    return gaussians.transformed(_scaling(metres_per_unit))


def views_in_metres(views: Views, metres_per_unit: float) -> Views:
    """The same views in metres; as they are where the scale is not known (0)."""
    if metres_per_unit <= 0:
        return views
    scale = np.float32(metres_per_unit)
    return replace(
        views,
        cameras=views.cameras.transformed(_scaling(metres_per_unit)),
        points=views.points * scale,
        depth=None if views.depth is None else views.depth * scale,
    )


def _scaling(scale: float) -> Float32[np.ndarray, "4 4"]:
    """The transform that makes a world larger."""
    return np.diag([scale, scale, scale, 1.0]).astype(np.float32)
