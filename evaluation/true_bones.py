"""Bones that move as a scene truly does: the ceiling of what bones can reconstruct.

Points of the surface are clustered by where they are at all times, and each cluster is a bone that moves rigidly as
its points do (Kabsch 1976, "A solution for the best rotation to relate two sets of vectors").
"""

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int
from torch import Tensor

from evaluation.moving_scenes import MovingScene
from img2world.core.rotation import quat_from_matrix
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.render.skinning import BONES_OF_EACH
from img2world.splat.bones import MIN_LOGIT, Bones
from img2world.splat.dynamic import DynamicSplat
from img2world.splat.initialize import gaussians_from_surface

NUM_BONES = 200
"""So many that even what bends follows them."""

NUM_POINTS = 8000

ROUNDS = 3
"""Bones are fitted so often, each time to the points that they carry best."""

CANDIDATES = 12
"""Bones near a point of which it follows those that take it where it goes."""

MIN_REACH = 1e-3
"""Error of a bone relative to the size of the scene up to which it is as good as any."""

MIN_STIFFNESS = 1e-6
"""Relative to the extent of a bone's points: where these leave a rotation open, there is none."""


class TrueBones(Bones):
    """Bones of clusters of points, which neither train nor let Gaussians follow others than these points do."""

    def __init__(self, ways: Float64[np.ndarray, "P T 3"], rest: int, num_bones: int = NUM_BONES) -> None:
        """Fit bones to the positions of points at all times, at rest at the time of an index."""
        from scipy.cluster.vq import kmeans2
        from scipy.spatial import KDTree

        num_points, num_times, _ = ways.shape
        # The distance of two points is the root mean square over all times: what touches at one time may part later.
        features = ways.reshape(num_points, -1) / np.sqrt(num_times)
        # The points are in no order, so the first are a fair sample.
        _, owner = kmeans2(features, features[:num_bones], minit="matrix", iter=10)
        for _ in range(ROUNDS):
            places, turns = rigid_motions(ways, owner, rest)
            centers = KDTree(places.reshape(len(places), -1) / np.sqrt(num_times))
            nearest = np.reshape(centers.query(features, min(CANDIDATES, len(places)))[1], (num_points, -1))
            errors = np.stack([_errors(ways, rest, places, turns, bones) for bones in nearest.T], 1)  # [P, C]
            best = errors.argsort(1, kind="stable")[:, :BONES_OF_EACH]
            errors, nearest = np.take_along_axis(errors, best, 1), np.take_along_axis(nearest, best, 1)
            owner = nearest[:, 0]
        super().__init__(places[:, rest], num_times)
        shifts = places - places[:, rest : rest + 1]
        self.quats = [torch.tensor(quat_from_matrix(turns[:, t]), dtype=torch.float32) for t in range(num_times)]
        self.shifts = [torch.tensor(shifts[:, t], dtype=torch.float32) for t in range(num_times)]
        reach = max(float(np.median(errors)), MIN_REACH * float(np.ptp(ways[:, rest])))
        self._points, self._nearest, self._logits = KDTree(ways[:, rest]), nearest, -(errors**2) / (2 * reach**2)

    def weights_for(self, means: Float32[np.ndarray, "N 3"]) -> dict[str, Tensor]:
        """Return rows by which Gaussians follow the bones of the nearest point at rest."""
        nearest = np.asarray(self._points.query(means)[1])
        logits = torch.tensor(self._logits[nearest], dtype=torch.float32)
        indices = torch.from_numpy(self._nearest[nearest].astype(np.int32))
        missing = (0, BONES_OF_EACH - indices.shape[1])
        pad = torch.nn.functional.pad
        return {"bone_indices": pad(indices, missing), "bone_logits": pad(logits, missing, value=MIN_LOGIT)}


def rigid_motions(
    ways: Float64[np.ndarray, "P T 3"], owner: Int[np.ndarray, "P"], rest: int
) -> tuple[Float64[np.ndarray, "B T 3"], Float64[np.ndarray, "B T 3 3"]]:
    """Return where the middle of each cluster is, and the rotations from one time to all that fit its points best."""
    names, owner = np.unique(owner, return_inverse=True)
    count, sizes = len(names), np.bincount(owner)
    sums = np.stack([np.bincount(owner, each, count) for each in ways.reshape(len(ways), -1).T], 1)
    places = (sums / sizes[:, None]).reshape(count, *ways.shape[1:])
    offsets = ways - places[owner]
    covariances = np.zeros((count, ways.shape[1], 3, 3))
    np.add.at(covariances, owner, np.einsum("pti,pj->ptij", offsets, offsets[:, rest]))
    extents = np.einsum("bii->b", covariances[:, rest])
    covariances += (MIN_STIFFNESS * extents + 1e-12)[:, None, None, None] * np.eye(3)
    left, _, right = np.linalg.svd(covariances)
    left[..., :, 2] *= np.linalg.det(left @ right)[..., None]
    return places, left @ right


def _errors(
    ways: Float64[np.ndarray, "P T 3"],
    rest: int,
    places: Float64[np.ndarray, "B T 3"],
    turns: Float64[np.ndarray, "B T 3 3"],
    bones: Int[np.ndarray, "P"],
) -> Float64[np.ndarray, "P"]:
    """Return the root mean squared distance of points from where one bone each would take them."""
    offsets = ways[:, rest] - places[bones, rest]
    moved = np.einsum("ptij,pj->pti", turns[bones], offsets) + places[bones]
    return np.sqrt(np.square(moved - ways).sum(-1).mean(1))


def train_on_true_bones(scene: MovingScene, views: Views, options: DynamicSplat) -> Scene:
    """Train Gaussians that start on the surface and move as the scene truly does, with as many steps as `options`."""
    assert views.times is not None
    rng = np.random.default_rng(0)
    faces, weights = _samples(scene, rng)
    times = np.unique(views.times).tolist()
    ways = np.stack([_points(scene, time, faces, weights) for time in times], 1)
    # Surfaces that touch at rest would share Gaussians: best is the time at which things are most apart.
    rest = int(ways.var(0).sum(-1).argmax())
    corners = scene.vertices_at(times[rest])[scene.mesh.faces[faces]].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    gray = np.full(normals.shape, 0.5)
    start = Scene(
        gaussians=gaussians_from_surface(ways[:, rest], normals, gray, options.max_gaussians // 2),
        cameras=views.cameras,
        background=(1.0, 1.0, 1.0),
        is_object=True,
    )
    return options.optimize(views, known=(start, TrueBones(ways, rest)))


def _samples(scene: MovingScene, rng: np.random.Generator) -> tuple[Int[np.ndarray, "P"], Float64[np.ndarray, "P 3"]]:
    """Return the faces of random points that lie evenly on the surface, and their weights of the corners."""
    corners = scene.vertices_at(0.0)[scene.mesh.faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    faces = rng.choice(len(areas), NUM_POINTS, p=areas / areas.sum())
    return faces, rng.dirichlet(np.ones(3), NUM_POINTS)


def _points(
    scene: MovingScene, time: float, faces: Int[np.ndarray, "P"], weights: Float64[np.ndarray, "P 3"]
) -> Float[np.ndarray, "P 3"]:
    """Return where points of the surface are at a time."""
    return np.einsum("pk,pkd->pd", weights, scene.vertices_at(time)[scene.mesh.faces[faces]].astype(np.float64))
