"""How well Gaussians follow what moves: drift of what they begin on, and optical flow from a camera."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64

from evaluation.moving_scenes import MovingScene
from img2world.core.cameras import Cameras
from img2world.core.gaussians import Gaussians
from img2world.render import rasterize
from img2world.render.splats import camera_tensors, splats_from_gaussians
from img2world.render.triangles import rasterize_triangles

MAX_TRACKED = 2000
"""Vertices whose way is followed."""

MIN_ALPHA = 0.05
"""Opacity below which nothing is seen that could move."""

GaussiansAt = Callable[[float], Gaussians]
"""The Gaussians at a time; the same rows at all times where they move."""


def drift(scene: MovingScene, gaussians_at: GaussiansAt, times: Float[np.ndarray, "T"]) -> float:
    """Return how far Gaussians leave the moving vertices next to them at first, relative to the way of these.

    Vertices that are not there all the time do not count.
    """
    from scipy.spatial import KDTree

    moving = np.flatnonzero(scene.moving & np.all([scene.is_there(time) for time in times.tolist()], 0))
    chosen = moving[:: max(1, len(moving) // MAX_TRACKED)]
    start = scene.vertices_at(float(times[0]))[chosen]
    means = gaussians_at(float(times[0])).means
    nearest = KDTree(means).query(start)[1]
    offsets = start - means[nearest]
    errors, ways = [], []
    for time in times[1:].tolist():
        there = scene.vertices_at(time)[chosen]
        errors.append(np.linalg.norm(gaussians_at(time).means[nearest] + offsets - there, axis=1))
        ways.append(np.linalg.norm(there - start, axis=1))
    return float(np.median(errors) / np.median(ways))


@dataclass(frozen=True, kw_only=True)
class FlowError:
    """End-point errors of flow from one time to another, in pixels."""

    error: float
    """Mean distance of where what is seen appears to go from where it goes."""
    of_none: float
    """The same if nothing moved: the mean length of the true flow."""


def flow_error(
    scene: MovingScene,
    gaussians_at: GaussiansAt | None,
    camera: Cameras,
    times: tuple[float, float],
    where: Bool[np.ndarray, "H W"],
) -> FlowError | None:
    """Return the error of the flow between two times in one camera, at some of the pixels; None where none shows it.

    Each of these pixels starts on the true surface at the first time; the Gaussians seen there say how it moves on.
    Without Gaussians the error is infinite.
    """
    points, moved = surface_points(scene, camera, times)
    shown = where & np.isfinite(points[..., 0])
    if not shown.any():
        return None
    points, moved = points[shown], moved[shown]
    start, true = camera.project(0, points)[1], camera.project(0, moved)[1]
    error = float("inf")
    if gaussians_at is not None:
        ways = seen_ways(gaussians_at(times[0]), gaussians_at(times[1]).means, camera)[shown]
        error = float(np.linalg.norm(camera.project(0, points + ways)[1] - true, axis=1).mean())
    return FlowError(error=error, of_none=float(np.linalg.norm(start - true, axis=1).mean()))


def surface_points(
    scene: MovingScene, camera: Cameras, times: tuple[float, float]
) -> tuple[Float64[np.ndarray, "H W 3"], Float64[np.ndarray, "H W 3"]]:
    """Return the point that each pixel shows at the first time, and where it is at the second; NaN where none is."""
    before, after = (scene.vertices_at(time) for time in times)
    faces = scene.at(times[0]).faces
    cam_from_world = camera.cam_from_world[0]
    in_cam = np.ascontiguousarray(before @ cam_from_world[:3, :3].T + cam_from_world[:3, 3])
    hits = rasterize_triangles(in_cam, faces, np.ones(len(in_cam), np.float32), camera)
    weights = np.concatenate([1 - hits.barycentric.sum(-1, keepdims=True), hits.barycentric], -1).astype(np.float64)
    weights[hits.face < 0] = np.nan
    corners = faces[hits.face]  # [H, W, 3]
    first, second = (np.einsum("hwk,hwkd->hwd", weights, each[corners]) for each in (before, after))
    return first, second


def seen_ways(
    gaussians: Gaussians, means_after: Float[np.ndarray, "N 3"], camera: Cameras
) -> Float64[np.ndarray, "H W 3"]:
    """Return how what each pixel shows moves in the world: the mean of the Gaussians' ways, as their colours blend."""
    splats = splats_from_gaussians(gaussians)
    ways = torch.tensor(means_after - gaussians.means)
    with torch.no_grad():
        blended = rasterize(splats, camera_tensors(camera), background=(0.0, 0.0, 0.0), backend="native", colors=ways)
    alpha = blended.alpha.numpy().astype(np.float64)[..., None]
    return np.where(alpha < MIN_ALPHA, 0, blended.rgb.numpy() / np.maximum(alpha, MIN_ALPHA))
