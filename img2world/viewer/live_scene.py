"""What the page of a run draws: points and cameras as Gaussians, beside those of the scene.

Edges of cameras are long thin Gaussians, so that one renderer draws everything, in the right order of depth.
"""

import json
import zlib

import numpy as np
from jaxtyping import Float, Float32

from img2world.core.camera_paths import look_at
from img2world.core.cameras import Cameras
from img2world.core.gaussians import Gaussians
from img2world.core.live import Shown
from img2world.core.rotation import quat_from_matrix
from img2world.core.scene import Scene
from img2world.core.sh import dc_from_rgb
from img2world.core.views import Views
from img2world.formats.splat_file import join
from img2world.viewer.packed_splats import pack
from img2world.viewer.page import camera_json, is_light

DARK = (0.055, 0.063, 0.078)
"""Background of cameras and points."""

CAMERA_RGB, FIRST_RGB = {True: (0.16, 0.35, 0.8), False: (0.46, 0.66, 1.0)}, (1.0, 0.62, 0.2)
"""Colour of cameras on a light and on a dark background, and of the first camera."""

EDGE_PARTS = 4
"""Gaussians in a row that make an edge of even thickness."""

EDGE_WIDTH = 0.012
"""Standard deviation across an edge, relative to the depth of a frustum. It is drawn one pixel wide at least."""

FRUSTUM_DEPTHS = (0.03, 0.12)
"""Smallest and largest depth of a frustum, relative to the size of the whole."""

POINT_SIZE = 0.004
"""Standard deviation of a point, relative to the size of the whole."""

MAX_POINTS = 60_000

OVERVIEW_ANGLES = np.radians(35), np.radians(22)
"""Azimuth and elevation from the first camera to that which sees the whole."""

OVERVIEW_FOV = np.radians(50)

OVERVIEW_DISTANCE = 0.95
"""Distance of that camera, relative to the one from which a ball around everything fits its picture."""

SWAY = {"yaw": [-0.08, 0.08], "pitch": [-0.02, 0.02]}
"""Idle motion to each side, in radians."""


def message(shown: Shown) -> bytes:
    """Return what the page draws.

    The first four bytes are the length of a JSON header, least significant first. The header and the packed Gaussians,
    deflated by zlib, follow. In addition to what the script of a world page is given, the header has `kind` ("cameras"
    or "scene"), `drawn`, the number of Gaussians without those of the cameras, which come last, and `tone`.
    """
    cameras = shown if isinstance(shown, Cameras) else shown.cameras
    is_object = shown.is_object if isinstance(shown, Scene) else isinstance(shown, Views) and shown.alpha is not None
    if isinstance(shown, Scene):
        kind, background, center, size = "scene", shown.background, *bounds(cameras, shown.gaussians.means)
        gaussians = shown.at(0.0) if shown.motion is None else shown.at(float(shown.motion.key_times[0]))
        home, pivot = cameras.select([0]), _pivot(cameras, center)
    else:
        points = shown.points if isinstance(shown, Views) else np.zeros((0, 3), np.float32)
        kind, background, (center, size) = "cameras", (1.0, 1.0, 1.0) if is_object else DARK, bounds(cameras, points)
        gaussians = _points(shown, POINT_SIZE * size) if isinstance(shown, Views) else None
        home, pivot = overview(cameras, center, size), center
    light = is_light(background, is_object=is_object)
    edges = frusta(cameras, frustum_depth(cameras, size), CAMERA_RGB[light])
    drawn = 0 if gaussians is None else len(gaussians)
    header, payload = pack(edges if gaussians is None else join(gaussians, edges))
    world = {
        "kind": kind,
        "tone": "light" if light else "dark",
        "drawn": drawn,
        "background": list(background),
        # An overview fits into the window as an object does.
        "is_object": is_object or kind == "cameras",
        "camera": camera_json(home),
        "supported": _everywhere(home, pivot),
        "sway": SWAY,
        "splats": header,
    }
    text = json.dumps(world, separators=(",", ":")).encode()
    # Fast rather than small: it is seen for a few seconds.
    return len(text).to_bytes(4, "little") + text + zlib.compress(payload, 1)


def bounds(cameras: Cameras, points: Float32[np.ndarray, "P 3"]) -> tuple[Float[np.ndarray, "3"], float]:
    """Return the centre and the radius of what is worth seeing: the cameras, and what most of the points show.

    Without points it is what lies ahead of the cameras.
    """
    eyes = cameras.centers_in_world.astype(np.float64)
    if len(points):
        points = points[:: max(1, len(points) // MAX_POINTS)].astype(np.float64)
        center = np.median(points, axis=0)
        # Points far from all others are sky, or wrong.
        radius = float(np.percentile(np.linalg.norm(points - center, axis=1), 80))
    else:
        center, radius = _ahead(cameras), 0.0
    middle = 0.5 * (center + eyes.mean(0))
    return middle, max(radius, float(np.linalg.norm(eyes - middle, axis=1).max()), 1e-3)


def overview(cameras: Cameras, center: Float[np.ndarray, "3"], size: float) -> Cameras:
    """Return a camera that sees everything within `size` of the centre, from beside, behind and above the first."""
    away = cameras.centers_in_world[0].astype(np.float64) - center
    azimuth = np.arctan2(away[0], -away[2]) + OVERVIEW_ANGLES[0]
    elevation = OVERVIEW_ANGLES[1]
    way = np.array([np.cos(elevation) * np.sin(azimuth), -np.sin(elevation), -np.cos(elevation) * np.cos(azimuth)])
    pose = look_at(center + OVERVIEW_DISTANCE * size / np.sin(OVERVIEW_FOV / 2) * way, center)
    side = 1000
    focal = 0.5 * side / np.tan(OVERVIEW_FOV / 2)
    return Cameras(
        world_from_cam=pose[None].astype(np.float32),
        intrinsics=np.array([[[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1]]], np.float32),
        width=side,
        height=side,
    )


def frustum_depth(cameras: Cameras, size: float) -> float:
    """Return the depth of frusta that neither hide each other nor get lost."""
    from scipy.spatial import KDTree

    eyes = cameras.centers_in_world
    near = KDTree(eyes).query(eyes, k=2)[0][:, 1] if len(eyes) > 1 else np.array([np.inf])
    smallest, largest = FRUSTUM_DEPTHS
    return float(np.clip(0.7 * np.median(near), smallest * size, largest * size))


def frusta(cameras: Cameras, depth: float, rgb: tuple[float, float, float]) -> Gaussians:
    """Return the cameras as pyramids of eight edges and a mark on the upper side, the first in another colour."""
    (fx, fy), (cx, cy) = (cameras.intrinsics[:, [0, 1], place].T.astype(np.float64) for place in ([0, 1], [2, 2]))
    left, right = -cx / fx, (cameras.width - cx) / fx
    top, bottom = -cy / fy, (cameras.height - cy) / fy
    # A picture is as long on its longer side as the frustum is deep, whatever the lens.
    scale = depth / np.maximum(right - left, bottom - top)
    one = np.ones_like(left)
    corners = np.stack([left, top, one, right, top, one, right, bottom, one, left, bottom, one], -1).reshape(-1, 4, 3)
    corners *= scale[:, None, None]
    eye = np.zeros((len(cameras), 1, 3))
    peak = corners[:, :2].mean(1, keepdims=True) + np.array([0, -0.2 * depth, 0])
    nodes = np.concatenate([eye, corners, peak], 1)  # [V, 6, 3]
    poses = cameras.world_from_cam.astype(np.float64)
    nodes = nodes @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
    pairs = np.array([(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1), (1, 5), (5, 2)])
    colors = np.tile(np.array(rgb), (len(cameras), 1))
    colors[0] = FIRST_RGB
    starts, ends = (nodes[:, pairs[:, side]].reshape(-1, 3) for side in (0, 1))
    return _edges(starts, ends, np.repeat(colors, len(pairs), 0), EDGE_WIDTH * depth)


def _edges(
    starts: Float[np.ndarray, "E 3"], ends: Float[np.ndarray, "E 3"], rgb: Float[np.ndarray, "E 3"], width: float
) -> Gaussians:
    """Return lines as rows of Gaussians that overlap."""
    way = ends - starts
    length = np.maximum(np.linalg.norm(way, axis=1), 1e-9)
    along = way / length[:, None]
    helper = np.where(np.abs(along[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    across = np.cross(along, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    rotation = np.stack([along, across, np.cross(along, across)], -1)
    places = (np.arange(EDGE_PARTS) + 0.5) / EDGE_PARTS
    means = starts[:, None] + places[:, None] * way[:, None]
    sigma = 0.45 * length / EDGE_PARTS
    scales = np.stack([sigma, np.full_like(sigma, width), np.full_like(sigma, width)], -1)
    each = len(starts) * EDGE_PARTS
    return Gaussians(
        means=means.reshape(-1, 3).astype(np.float32),
        quats=np.repeat(quat_from_matrix(rotation), EDGE_PARTS, 0).astype(np.float32),
        log_scales=np.log(np.repeat(scales, EDGE_PARTS, 0)).astype(np.float32),
        logit_opacities=np.full(each, 3.0, np.float32),
        sh=dc_from_rgb(np.repeat(rgb, EDGE_PARTS, 0))[:, None].astype(np.float32),
    )


def _points(views: Views, sigma: float) -> Gaussians:
    """Return the sparse points as small balls."""
    index = slice(None, None, max(1, len(views.points) // MAX_POINTS))
    points, rgb = views.points[index], views.point_colors[index]
    quats = np.zeros((len(points), 4), np.float32)
    quats[:, 0] = 1
    return Gaussians(
        means=points,
        quats=quats,
        log_scales=np.full((len(points), 3), np.log(sigma), np.float32),
        logit_opacities=np.full(len(points), 4.0, np.float32),
        sh=dc_from_rgb(rgb / 255.0)[:, None].astype(np.float32),
    )


def _ahead(cameras: Cameras) -> Float[np.ndarray, "3"]:
    """Return the point nearest to all optical axes, or one unit ahead of cameras that do not look at one place."""
    eyes, forward = (cameras.world_from_cam[:, :3, axis].astype(np.float64) for axis in (3, 2))
    across = np.eye(3) - forward[:, :, None] * forward[:, None]
    matrix, values = across.sum(0), (across @ eyes[..., None]).sum(0)[:, 0]
    if np.linalg.eigvalsh(matrix)[0] > 1e-3 * len(eyes):
        point = np.linalg.solve(matrix, values)
        if ((point - eyes) * forward).sum() > 0:
            return point
    return eyes.mean(0) + forward.mean(0)


def _pivot(cameras: Cameras, center: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return what the first camera orbits: the point on its axis that is as far away as the centre of the scene."""
    eye, forward = (cameras.world_from_cam[0, :3, axis].astype(np.float64) for axis in (3, 2))
    return eye + forward * max(float((center - eye) @ forward), 0.1 * float(np.linalg.norm(center - eye)), 1e-3)


def _everywhere(camera: Cameras, pivot: Float[np.ndarray, "3"]) -> dict[str, object]:
    """Return the region of a world in the making, which has no limits; the camera shows all of its picture."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0].tolist()
    outline = [-cx / fx, -cy / fy, (camera.width - cx) / fx, (camera.height - cy) / fy]
    around = [-np.pi, np.pi]
    limits = dict.fromkeys(("azimuth", "elevation", "turn_yaw", "turn_pitch"), around)
    return {"pivot": pivot.tolist(), **limits, "distance": [1e-3, 1e3], "outline": outline}
