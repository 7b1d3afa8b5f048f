"""The Gaussians a training starts from: every surface the views show once, or the sparse points."""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from img2world.core.cameras import Cameras
from img2world.core.errors import SplatError
from img2world.core.gaussians import Gaussians
from img2world.core.rotation import quat_from_matrix
from img2world.core.sh import dc_from_rgb
from img2world.core.views import Views

MIN_POINTS = 10
"""Fewer points than this say nothing about a scene."""

MIN_STRIDE = 2
"""Pixels between Gaussians at most this dense; finer detail is left to training."""

MAX_SLOPE = 8.0
"""Steeper than this to the line of sight (tangent, 83°), a depth edge is taken for a jump, not a surface."""

SAME_DEPTH = 0.01
"""Share of the depth up to which two views are taken to see the same surface."""

DISC_OPACITY, POINT_OPACITY = 0.8, 0.1
"""Depth tells where surfaces are; sparse points only hint at them, so they start as haze (Kerbl 2023)."""

SURFACE_OPACITY = 0.95
"""Of discs that no training follows."""

DISC_SIGMA = 0.55
"""Standard deviation of a disc in units of the distance to the next."""

DISC_THICKNESS = 0.1
"""Of a disc's shorter side."""


def initialize(views: Views, max_gaussians: int) -> Gaussians:
    """Gaussians for the views: one for each piece of surface where there is depth, else one for each point.

    Raises SplatError when there is neither depth nor at least ten points.
    """
    if views.depth is not None and (views.depth > 0).any():
        return gaussians_from_depth(views, max_gaussians)
    if len(views.points) < MIN_POINTS:
        raise SplatError(
            f"the views have no depth and {len(views.points)} points, needs depth or at least {MIN_POINTS} points",
            hint="use a video backend that gives depth, or poses.colmap with more overlap between the pictures",
        )
    return gaussians_from_points(views, max_gaussians)


def gaussians_from_points(views: Views, max_gaussians: int) -> Gaussians:
    """One round Gaussian for each point, as large as the mean distance to the next three (Kerbl 2023, section 5)."""
    from scipy.spatial import KDTree

    points, colors = views.points, views.point_colors
    if len(points) > max_gaussians:
        index = np.linspace(0, len(points) - 1, max_gaussians).astype(np.int64)
        points, colors = points[index], colors[index]
    distances, _ = KDTree(points).query(points, k=4)
    sizes = np.sqrt(np.mean(np.square(distances[:, 1:]), axis=1))
    typical = np.median(sizes[sizes > 0]) if (sizes > 0).any() else 1e-3
    # Points found far from all others are mostly wrong; as huge Gaussians they would fog the scene.
    sizes = np.clip(sizes, 0.01 * typical, 5 * typical)
    quats = np.zeros((len(points), 4))
    quats[:, 0] = 1
    return _gaussians(points, quats, np.repeat(sizes[:, None], 3, 1), colors / 255.0, POINT_OPACITY)


def gaussians_from_surface(
    points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"], rgb: Float[np.ndarray, "P 3"], most: int
) -> Gaussians:
    """Flat round discs on a surface given by points, evenly thinned to at most `most`. Normals may have any length.

    Raises SplatError when there are fewer than ten.
    """
    from scipy.spatial import KDTree

    index = np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).astype(np.int64))
    points, normals, rgb = points[index].astype(np.float64), normals[index].astype(np.float64), rgb[index]
    if len(points) < MIN_POINTS:
        raise SplatError(f"the surface has {len(points)} points, needs {MIN_POINTS}", hint="raise splat.steps")
    distances, _ = KDTree(points).query(points, k=4)
    sizes = DISC_SIGMA * np.clip(distances[:, 1:].mean(1), 1e-9, None)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 1e-9, normals / np.maximum(length, 1e-9), [0.0, 0.0, 1.0])
    across = np.cross(normals, np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0, 0]], [[0.0, 1, 0]]))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    frames = np.stack([across, np.cross(normals, across), normals], -1)
    scales = sizes[:, None] * np.array([1.0, 1.0, DISC_THICKNESS])
    return _gaussians(points, quat_from_matrix(frames), scales, rgb, SURFACE_OPACITY)


def gaussians_from_depth(views: Views, max_gaussians: int) -> Gaussians:
    """Flat discs on the surfaces seen, at the finest even pixel stride that keeps the count.

    Views are taken in a spread-out order; a pixel that earlier views have made a disc for is skipped.
    """
    assert views.depth is not None  # Only called where there is depth.
    order = spread_out(views.cameras)
    known = _usable(views, int(order[0]))
    stride = max(MIN_STRIDE, int(np.sqrt(known.sum() / max_gaussians)))
    while (discs := _discs(views, order, stride, max_gaussians)) is None:
        stride += 1
    if len(discs["means"]) == 0:
        raise SplatError(
            "the depth of the views shows no surface that is not an edge",
            hint="use a better depth model, or poses.colmap",
        )
    return _gaussians(discs["means"], discs["quats"], discs["scales"], discs["rgb"], DISC_OPACITY)


def spread_out(cameras: Cameras) -> Int[np.ndarray, "V"]:
    """An order of the cameras in which each is as far as can be from those before it, the first one first.

    Far means apart or looking elsewhere, so that few views already show most of the scene.
    """
    centers = cameras.centers_in_world.astype(np.float64)
    size = np.linalg.norm(centers - centers.mean(0), axis=1).max()
    features = np.concatenate([centers / max(size, 1e-9), cameras.world_from_cam[:, :3, 2]], axis=1)  # [V, 6]
    order = [0]
    nearest = np.linalg.norm(features - features[0], axis=1)
    while len(order) < len(cameras):
        nearest[order[-1]] = -1
        order.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(features - features[order[-1]], axis=1))
    return np.array(order)


def _usable(views: Views, i: int) -> Bool[np.ndarray, "H W"]:
    """Pixels of one view with a depth, on the object if there is one."""
    assert views.depth is not None  # Only called where there is depth.
    usable = views.depth[i] > 0
    return usable if views.alpha is None else usable & (views.alpha[i] >= 128)


def _discs(
    views: Views, order: Int[np.ndarray, "V"], stride: int, max_gaussians: int
) -> dict[str, Float[np.ndarray, "N *S"]] | None:
    """Discs for all views at one stride, or nothing if there would be too many."""
    parts: list[dict[str, Float[np.ndarray, "N *S"]]] = []
    means = np.zeros((0, 3))
    for i in order:
        part = _discs_of_view(views, int(i), stride, means)
        parts.append(part)
        means = np.concatenate([means, part["means"]])
        if len(means) > max_gaussians:
            return None
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _discs_of_view(
    views: Views, i: int, stride: int, known_means: Float[np.ndarray, "M 3"]
) -> dict[str, Float[np.ndarray, "N *S"]]:
    """Discs for those pixels of one view, every `stride`-th, that no known disc stands for."""
    assert views.depth is not None  # Only called where there is depth.
    depth = views.depth[i].astype(np.float64)
    normals, smooth = _normals(views, i)
    at = slice(stride // 2, None, stride)
    wanted = (_usable(views, i) & smooth)[at, at]
    wanted &= ~_explained(views.cameras.select([i]), depth[at, at], stride, known_means)
    rows, columns = (index * stride + stride // 2 for index in np.nonzero(wanted))
    camera = views.cameras.world_from_cam[i].astype(np.float64)
    focal = views.cameras.intrinsics[i][[0, 1], [0, 1]].astype(np.float64)
    in_cam = _in_cam(views.cameras, i, rows, columns, depth[rows, columns])  # [N, 3]
    frames, slants = _frames(normals[rows, columns], in_cam)
    spacing = stride * depth[rows, columns] / focal.mean()
    scales = (
        DISC_SIGMA
        * spacing[:, None]
        * np.stack([slants, np.ones_like(slants), np.full_like(slants, DISC_THICKNESS)], -1)
    )
    return {
        "means": in_cam @ camera[:3, :3].T + camera[:3, 3],
        "quats": quat_from_matrix(camera[:3, :3] @ frames),
        "scales": scales,
        "rgb": views.rgb[i][rows, columns] / 255.0,
    }


def _explained(
    camera: Cameras, depth: Float[np.ndarray, "h w"], stride: int, means: Float[np.ndarray, "M 3"]
) -> Bool[np.ndarray, "h w"]:
    """Cells of `stride` pixels in which a known disc lies at the cell's depth."""
    explained = np.zeros(depth.shape, bool)
    cam_from_world = camera.cam_from_world[0].astype(np.float64)
    in_cam = means @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    in_cam = in_cam[in_cam[:, 2] > 0]
    on_screen = in_cam @ camera.intrinsics[0].astype(np.float64).T
    cells = np.floor(on_screen[:, :2] / on_screen[:, 2:] / stride)
    inside = ((cells >= 0) & (cells < [depth.shape[1], depth.shape[0]])).all(1)
    columns, rows = cells[inside].astype(np.int64).T
    z = in_cam[inside, 2]
    same = np.abs(z - depth[rows, columns]) < SAME_DEPTH * z
    explained[rows[same], columns[same]] = True
    return explained


def _normals(views: Views, i: int) -> tuple[Float[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Camera-space normals towards the camera, and where the surface is smooth enough to have one."""
    assert views.depth is not None  # Only called where there is depth.
    depth = views.depth[i].astype(np.float64)
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width]
    points = _in_cam(views.cameras, i, rows.ravel(), columns.ravel(), depth.ravel()).reshape(height, width, 3)
    known = np.pad(_usable(views, i), 1)
    smooth = known[1:-1, 1:-1] & known[:-2, 1:-1] & known[2:, 1:-1] & known[1:-1, :-2] & known[1:-1, 2:]
    along_x, along_y = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normals = np.cross(along_y, along_x)
    length = np.linalg.norm(normals, axis=-1)
    smooth &= length > 0
    normals[~smooth] = [0, 0, -1]
    normals /= np.where(smooth, length, 1)[..., None]
    view_cosine = -(normals * points).sum(-1) / np.maximum(np.linalg.norm(points, axis=-1), 1e-12)
    return normals, smooth & (view_cosine > 1 / np.hypot(1, MAX_SLOPE))


def _in_cam(
    cameras: Cameras,
    i: int,
    rows: Int[np.ndarray, "N"],
    columns: Int[np.ndarray, "N"],
    depth: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N 3"]:
    """Camera-space points of pixels."""
    (focal_x, _, center_x), (_, focal_y, center_y), _ = cameras.intrinsics[i].astype(np.float64)
    x, y = (columns + 0.5 - center_x) / focal_x, (rows + 0.5 - center_y) / focal_y
    return np.stack([x, y, np.ones_like(x)], -1) * depth[:, None]


def _frames(
    normals: Float[np.ndarray, "N 3"], in_cam: Float[np.ndarray, "N 3"]
) -> tuple[Float[np.ndarray, "N 3 3"], Float[np.ndarray, "N"]]:
    """Axes of discs (columns: down the slope, across it, normal), and how much longer the slope is than it looks."""
    rays = in_cam / np.linalg.norm(in_cam, axis=1, keepdims=True)
    cosine = (rays * normals).sum(1, keepdims=True)
    slope = rays - cosine * normals
    # A surface seen head-on slopes nowhere: any direction in it will do.
    flat = np.linalg.norm(slope, axis=1) < 1e-4
    slope[flat] = np.cross(normals[flat], np.where(np.abs(normals[flat, :1]) < 0.9, [[1.0, 0, 0]], [[0.0, 1, 0]]))
    slope /= np.linalg.norm(slope, axis=1, keepdims=True)
    across = np.cross(normals, slope)
    return np.stack([slope, across, normals], -1), 1 / np.clip(np.abs(cosine[:, 0]), 0.25, 1)


def _gaussians(
    means: Float[np.ndarray, "N 3"],
    quats: Float[np.ndarray, "N 4"],
    scales: Float[np.ndarray, "N 3"],
    rgb: Float[np.ndarray, "N 3"],
    opacity: float,
) -> Gaussians:
    """Gaussians of one colour in all directions and one opacity."""
    return Gaussians(
        means=np.ascontiguousarray(means, np.float32),
        quats=np.ascontiguousarray(quats, np.float32),
        log_scales=np.log(scales).astype(np.float32),
        logit_opacities=np.full(len(means), np.log(opacity / (1 - opacity)), np.float32),
        sh=dc_from_rgb(rgb)[:, None].astype(np.float32),
    )


def depth_of_scene(cameras: Cameras, means: Float32[np.ndarray, "N 3"]) -> float:
    """Median distance of the Gaussians from the cameras that have them in view, or from all if none has."""
    cam_from_world = cameras.cam_from_world
    in_cam = np.einsum("vij,nj->vni", cam_from_world[:, :3, :3], means) + cam_from_world[:, None, :3, 3]
    on_screen = np.einsum("vij,vnj->vni", cameras.intrinsics, in_cam)
    pixels = on_screen[..., :2] / np.where(in_cam[..., 2:] > 0, in_cam[..., 2:], np.inf)
    seen = (in_cam[..., 2] > 0) & ((pixels > 0) & (pixels < [cameras.width, cameras.height])).all(-1)
    return float(np.median(in_cam[..., 2][seen])) if seen.any() else float(np.median(np.linalg.norm(in_cam, axis=-1)))
