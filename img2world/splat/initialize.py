"""The Gaussians that a training starts from: discs on the surfaces that the views show, or the sparse points."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from img2world.core.cameras import Cameras
from img2world.core.errors import SplatError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress
from img2world.core.rotation import quat_from_matrix
from img2world.core.sh import dc_from_rgb
from img2world.core.views import Views
from img2world.formats.splat_file import join
from img2world.splat.views import farthest_first, halve

MIN_POINTS = 10
"""Fewer points say nothing about a scene."""

MIN_STRIDE = 2
"""Smallest distance of neighbouring discs in pixels; finer detail is left to training."""

MAX_SLOPE = 8.0
"""Tangent of the largest angle (83°) between normal and line of sight; steeper depth is an edge, not a surface."""

SAME_DEPTH = 0.01
"""Largest relative difference in depth at which two views see the same surface."""

DISC_OPACITY, POINT_OPACITY = 0.8, 0.1
"""Depth locates surfaces; sparse points only hint at them, so they start as haze (Kerbl 2023)."""

SURFACE_OPACITY = 0.95
"""Opacity of discs that are not trained afterwards."""

DISC_SIGMA = 0.55
"""Standard deviation of a disc as a fraction of the distance to the next."""

DISC_THICKNESS = 0.1
"""Standard deviation along the normal as a fraction of that along the shorter side."""


STEREO_SIZE = 400
"""Pixels. Views are halved until no side is longer, before stereo looks for depth."""

STEREO_FRACTION = 0.5
"""Fraction of the Gaussians that start on surfaces found by stereo; the rest is for detail."""


def initialize(views: Views, max_gaussians: int, surfaces: Views | None = None) -> Gaussians:
    """Return Gaussians for the views: discs on their surfaces if there is depth, else one for each point.

    Beside the points, discs are put on `surfaces`: smaller views of the same, with depth. Raises SplatError when there
    is neither depth nor at least ten points.
    """
    if views.depth is not None and (views.depth > 0).any():
        return gaussians_from_depth(views, max_gaussians)
    if len(views.points) < MIN_POINTS:
        raise SplatError(
            f"the views have no depth and {len(views.points)} points, needs depth or at least {MIN_POINTS} points",
            hint="use a video backend that gives depth, or poses.colmap with more overlap between the pictures",
        )
    from_points = gaussians_from_points(views, max_gaussians)
    discs = None if surfaces is None else _discs_on_surfaces(surfaces, int(STEREO_FRACTION * max_gaussians))
    return from_points if discs is None else join(from_points, discs)


def with_stereo_depth(views: Views, progress: Progress) -> Views | None:
    """Return the views in a small size with depth by stereo, 0 where unknown; None if they have too few points."""
    from img2world.depth.plane_sweep import sweep_depth

    if len(views.points) < MIN_POINTS:
        return None
    while max(views.cameras.width, views.cameras.height) > STEREO_SIZE:
        views = halve(views)
    depth = sweep_depth(views, progress)
    return replace(views, depth=depth if views.mask is None else np.where(views.mask > 0, depth, np.float32(0)))


def gaussians_from_points(views: Views, max_gaussians: int) -> Gaussians:
    """Return a round Gaussian for each point, with the mean distance to its three neighbours as scale (Kerbl 2023)."""
    from scipy.spatial import KDTree

    points, colors = views.points, views.point_colors
    if len(points) > max_gaussians:
        index = np.linspace(0, len(points) - 1, max_gaussians).astype(np.int64)
        points, colors = points[index], colors[index]
    distances, _ = KDTree(points).query(points, k=4)
    sizes = np.sqrt(np.mean(np.square(distances[:, 1:]), axis=1))
    median = np.median(sizes[sizes > 0]) if (sizes > 0).any() else 1e-3
    # Points far from all others are mostly wrong; as huge Gaussians they would fog the scene.
    sizes = np.clip(sizes, 0.01 * median, 5 * median)
    quats = np.zeros((len(points), 4))
    quats[:, 0] = 1
    return _gaussians(points, quats, np.repeat(sizes[:, None], 3, 1), colors / 255.0, POINT_OPACITY)


def gaussians_from_surface(
    points: Float[np.ndarray, "P 3"],
    normals: Float[np.ndarray, "P 3"],
    rgb: Float[np.ndarray, "P 3"],
    max_gaussians: int,
) -> Gaussians:
    """Return flat round discs on a surface given by points, evenly thinned to at most `max_gaussians`.

    Normals may have any length. Raises SplatError when there are fewer than ten points.
    """
    from scipy.spatial import KDTree

    index = np.unique(np.linspace(0, len(points) - 1, min(max_gaussians, len(points))).astype(np.int64))
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
    """Return flat discs on the surfaces that the views see, at the finest pixel stride that keeps to `max_gaussians`.

    Views are visited farthest first; pixels where earlier views have already placed a disc are skipped. Raises
    SplatError when the depth has no smooth surface.
    """
    if (discs := _discs_on_surfaces(views, max_gaussians)) is None:
        raise SplatError(
            "the depth of the views shows no surface that is not an edge",
            hint="use a better depth model, or poses.colmap",
        )
    return discs


def _discs_on_surfaces(views: Views, max_gaussians: int) -> Gaussians | None:
    """Return the discs of `gaussians_from_depth`, or None if there are none."""
    order = farthest_first(views.cameras)
    known = _has_surface(views, int(order[0]))
    stride = max(MIN_STRIDE, int(np.sqrt(known.sum() / max_gaussians)))
    while (discs := _discs(views, order, stride, max_gaussians)) is None:
        stride += 1
    if len(discs["means"]) == 0:
        return None
    return _gaussians(discs["means"], discs["quats"], discs["scales"], discs["rgb"], DISC_OPACITY)


def _has_surface(views: Views, i: int) -> Bool[np.ndarray, "H W"]:
    """Mark the pixels of one view that have a depth and, in views of an object, lie on it."""
    assert views.depth is not None  # Only called where there is depth.
    usable = views.depth[i] > 0
    return usable if views.alpha is None else usable & (views.alpha[i] >= 128)


def _discs(
    views: Views, order: Int[np.ndarray, "V"], stride: int, max_gaussians: int
) -> dict[str, Float[np.ndarray, "N *S"]] | None:
    """Return the discs of all views at one stride, or None if there are too many."""
    parts: list[dict[str, Float[np.ndarray, "N *S"]]] = []
    means = np.zeros((0, 3))
    for i in order:
        part = _discs_in_view(views, int(i), stride, means)
        parts.append(part)
        means = np.concatenate([means, part["means"]])
        if len(means) > max_gaussians:
            return None
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _discs_in_view(
    views: Views, i: int, stride: int, known_means: Float[np.ndarray, "M 3"]
) -> dict[str, Float[np.ndarray, "N *S"]]:
    """Return a disc for every `stride`-th pixel of one view that no disc covers yet."""
    assert views.depth is not None  # Only called where there is depth.
    depth = views.depth[i].astype(np.float64)
    normals, smooth = _estimate_normals(views, i)
    at = slice(stride // 2, None, stride)
    wanted = (_has_surface(views, i) & smooth)[at, at]
    wanted &= ~_covered_cells(views.cameras.select([i]), depth[at, at], stride, known_means)
    rows, columns = (index * stride + stride // 2 for index in np.nonzero(wanted))
    camera = views.cameras.world_from_cam[i].astype(np.float64)
    focal = views.cameras.intrinsics[i][[0, 1], [0, 1]].astype(np.float64)
    in_cam = _unproject(views.cameras, i, rows, columns, depth[rows, columns])  # [N, 3]
    frames, slants = _disc_axes(normals[rows, columns], in_cam)
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


def _covered_cells(
    camera: Cameras, depth: Float[np.ndarray, "h w"], stride: int, means: Float[np.ndarray, "M 3"]
) -> Bool[np.ndarray, "h w"]:
    """Mark the cells of `stride` × `stride` pixels that hold a disc at their depth."""
    covered = np.zeros(depth.shape, bool)
    cam_from_world = camera.cam_from_world[0].astype(np.float64)
    in_cam = means @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    in_cam = in_cam[in_cam[:, 2] > 0]
    on_screen = in_cam @ camera.intrinsics[0].astype(np.float64).T
    cells = np.floor(on_screen[:, :2] / on_screen[:, 2:] / stride)
    inside = ((cells >= 0) & (cells < [depth.shape[1], depth.shape[0]])).all(1)
    columns, rows = cells[inside].astype(np.int64).T
    z = in_cam[inside, 2]
    same = np.abs(z - depth[rows, columns]) < SAME_DEPTH * z
    covered[rows[same], columns[same]] = True
    return covered


def _estimate_normals(views: Views, i: int) -> tuple[Float[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Return camera-space normals towards the camera, and where the depth is smooth enough to have one."""
    assert views.depth is not None  # Only called where there is depth.
    depth = views.depth[i].astype(np.float64)
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width]
    points = _unproject(views.cameras, i, rows.ravel(), columns.ravel(), depth.ravel()).reshape(height, width, 3)
    known = np.pad(_has_surface(views, i), 1)
    smooth = known[1:-1, 1:-1] & known[:-2, 1:-1] & known[2:, 1:-1] & known[1:-1, :-2] & known[1:-1, 2:]
    along_x, along_y = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normals = np.cross(along_y, along_x)
    length = np.linalg.norm(normals, axis=-1)
    smooth &= length > 0
    normals[~smooth] = [0, 0, -1]
    normals /= np.where(smooth, length, 1)[..., None]
    view_cosine = -(normals * points).sum(-1) / np.maximum(np.linalg.norm(points, axis=-1), 1e-12)
    return normals, smooth & (view_cosine > 1 / np.hypot(1, MAX_SLOPE))


def _unproject(
    cameras: Cameras,
    i: int,
    rows: Int[np.ndarray, "N"],
    columns: Int[np.ndarray, "N"],
    depth: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N 3"]:
    """Return the camera-space points of pixels at a depth."""
    (focal_x, _, center_x), (_, focal_y, center_y), _ = cameras.intrinsics[i].astype(np.float64)
    x, y = (columns + 0.5 - center_x) / focal_x, (rows + 0.5 - center_y) / focal_y
    return np.stack([x, y, np.ones_like(x)], -1) * depth[:, None]


def _disc_axes(
    normals: Float[np.ndarray, "N 3"], in_cam: Float[np.ndarray, "N 3"]
) -> tuple[Float[np.ndarray, "N 3 3"], Float[np.ndarray, "N"]]:
    """Return the axes of discs (columns: along the slope, across it, normal) and the foreshortening of the slope."""
    rays = in_cam / np.linalg.norm(in_cam, axis=1, keepdims=True)
    cosine = (rays * normals).sum(1, keepdims=True)
    slope = rays - cosine * normals
    # A surface seen head-on has no slope; any direction in it will do.
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
    """Return Gaussians of one opacity whose colours are the same from all sides."""
    return Gaussians(
        means=np.ascontiguousarray(means, np.float32),
        quats=np.ascontiguousarray(quats, np.float32),
        log_scales=np.log(scales).astype(np.float32),
        logit_opacities=np.full(len(means), np.log(opacity / (1 - opacity)), np.float32),
        sh=dc_from_rgb(rgb)[:, None].astype(np.float32),
    )


def median_scene_depth(cameras: Cameras, means: Float32[np.ndarray, "N 3"]) -> float:
    """Return the median distance of the Gaussians from the cameras that see them, or from all cameras if none does."""
    cam_from_world = cameras.cam_from_world
    in_cam = np.einsum("vij,nj->vni", cam_from_world[:, :3, :3], means) + cam_from_world[:, None, :3, 3]
    on_screen = np.einsum("vij,vnj->vni", cameras.intrinsics, in_cam)
    pixels = on_screen[..., :2] / np.where(in_cam[..., 2:] > 0, in_cam[..., 2:], np.inf)
    seen = (in_cam[..., 2] > 0) & ((pixels > 0) & (pixels < [cameras.width, cameras.height])).all(-1)
    return float(np.median(in_cam[..., 2][seen])) if seen.any() else float(np.median(np.linalg.norm(in_cam, axis=-1)))
