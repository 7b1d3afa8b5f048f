"""Placement of assets and cameras for a product photo and orbits around it, determined by the asset's name."""

import zlib

import numpy as np
from jaxtyping import Float, Float32

from evaluation.assets import TexturedMesh, normalize_mesh, scale_and_translate
from img2world.core.camera_paths import dynamic_orbit, look_at, on_sphere, orbit_center, tilt, tilted
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.object_layers import OBJECT_FOV, OBJECT_FRACTION, object_camera

AZIMUTHS_DEG = tuple(range(-45, 46, 15))
"""Azimuths from which a photo may show an asset, 0 being its front. Flat objects are not photographed edge-on."""

MAX_EXTENT = 0.96
"""Largest fraction of the frame that an asset may fill on its orbits."""

ORBIT_AMPLITUDE_DEG = 20.0
"""Amplitude by which the dynamic orbit rises and falls."""


def seed_from_name(name: str) -> int:
    """Return a seed that depends on the name only."""
    return zlib.crc32(name.encode())


def elevation_from_name(name: str) -> float:
    """Return the elevation of the photo in radians, 5 to 25 degrees."""
    return float(np.radians(np.random.default_rng(seed_from_name(name)).uniform(5, 25)))


def place_asset(mesh: TexturedMesh, name: str) -> TexturedMesh:
    """Return the asset in front of the input camera as in a product photo.

    It is centred, fills OBJECT_FRACTION of the frame and has its centre at distance 1, as this project assumes of
    objects. The azimuth is the first of a shuffled list from which the asset stays in the frame on both orbits. The
    world is that of the input camera, so a photo from above tilts the asset towards it.
    """
    elevation = elevation_from_name(name)
    order = np.random.default_rng(seed_from_name(name) + 1).permutation(len(AZIMUTHS_DEG))
    orbits = np.concatenate([static_poses(12, elevation), dynamic_poses(12, elevation)])
    best: tuple[float, TexturedMesh] | None = None
    for i in order:
        placed = fit_to_frame(
            normalize_mesh(mesh, 0.2).transformed(tilt(elevation) @ azimuth_rotation(np.radians(AZIMUTHS_DEG[i])))
        )
        extent = frame_extent(placed, orbits)
        if best is None or extent < best[0]:
            best = extent, placed
        if extent <= MAX_EXTENT:
            break
    assert best is not None
    return best[1]


def azimuth_rotation(azimuth: float) -> Float[np.ndarray, "4 4"]:
    """Return the rotation about the vertical that shows the input camera the view from an azimuth."""
    matrix = np.eye(4)
    matrix[:3, :3] = look_at(orbit_center(azimuth, 0.0), np.zeros(3))[:3, :3].T
    return matrix


def static_poses(num_views: int, elevation: float) -> Float32[np.ndarray, "V 4 4"]:
    """Return a circle at the elevation of the photo, which comes first."""
    azimuths = np.arange(num_views) * (2 * np.pi / num_views)
    return tilted(on_sphere(azimuths, np.full(num_views, elevation)), elevation)


def dynamic_poses(num_views: int, elevation: float) -> Float32[np.ndarray, "V 4 4"]:
    """Return the same circle rising and falling twice by ORBIT_AMPLITUDE_DEG."""
    poses = dynamic_orbit(num_views, amplitude=np.radians(ORBIT_AMPLITUDE_DEG), elevation=elevation)
    return tilted(poses, elevation)


def object_cameras(poses: Float32[np.ndarray, "V 4 4"], size: int) -> Cameras:
    """Return square cameras with the lens that this project assumes for photos of objects."""
    return square_cameras(poses, OBJECT_FOV, size)


def square_cameras(poses: Float32[np.ndarray, "V 4 4"], fov: float, size: int) -> Cameras:
    """Return cameras with square images of `size` pixels and a field of view in radians."""
    intrinsics = np.repeat(intrinsics_from_fov(fov, size, size)[None], len(poses), 0)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=size, height=size)


def fit_to_frame(mesh: TexturedMesh) -> TexturedMesh:
    """Return the mesh moved and scaled so that it is centred and its longer side fills OBJECT_FRACTION of the frame."""
    camera = object_camera(1)
    for _ in range(4):  # each step is exact except for perspective
        low, high, near, far = projected_bounds(mesh, camera, 0)
        scale = OBJECT_FRACTION / float((high - low).max())
        center = np.append((low + high) / 2 - 0.5, 0) / camera.intrinsics[0, 0, 0]
        offset = center * INPUT_DISTANCE + [0, 0, (near + far) / 2 - INPUT_DISTANCE]
        mesh = mesh.transformed(scale_and_translate(scale, -scale * offset))
    return mesh


def projected_bounds(
    mesh: TexturedMesh, cameras: Cameras, index: int
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"], float, float]:
    """Return the corners of the projected bounding box and the smallest and largest depth."""
    cam_from_world = cameras.cam_from_world[index]
    points = mesh.vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    screen = (points @ cameras.intrinsics[index].T)[:, :2] / np.maximum(points[:, 2:], 1e-3)
    return screen.min(0), screen.max(0), float(points[:, 2].min()), float(points[:, 2].max())


def frame_extent(mesh: TexturedMesh, poses: Float32[np.ndarray, "V 4 4"]) -> float:
    """Return the largest distance of the projected mesh from the frame's centre, as a fraction of half the frame."""
    cameras = object_cameras(poses, 1)
    boxes = [projected_bounds(mesh, cameras, i)[:2] for i in range(len(cameras))]
    return float(max(np.abs(2 * np.stack(box) - 1).max() for box in boxes))
