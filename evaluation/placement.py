"""Where a model stands and from where it is seen, so that one photo and an orbit around it are well defined."""

import zlib

import numpy as np
from jaxtyping import Float, Float32

from evaluation.assets import TexturedMesh, unit_mesh
from img2world.core.camera_paths import dynamic_orbit, look_at, on_sphere, orbit_center, tilt, tilted
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.object_layers import OBJECT_FRACTION, object_camera

AZIMUTHS_DEG = tuple(range(-45, 46, 15))
"""Sides from which a photo may show a model, 0 being its front. Nobody takes a picture of a flag edge-on."""

MOST = 0.96
"""Of the frame, how much of it the model may fill while it turns."""

AMPLITUDE_DEG = 20.0
"""How far the dynamic orbit rises and sinks."""


def seed_of(name: str) -> int:
    """A number that is always the same for one name."""
    return zlib.crc32(name.encode())


def elevation_of(name: str) -> float:
    """How far above the model its photo is taken, in radians: 5 to 25 degrees by its name."""
    return float(np.radians(np.random.default_rng(seed_of(name)).uniform(5, 25)))


def place(mesh: TexturedMesh, name: str) -> TexturedMesh:
    """The model before the input camera as a photo of a product shows it, turned and tilted by its name.

    It is centred in the frame and fills OBJECT_FRACTION of it, its middle being 1 unit away: what this project
    takes an object to be. The side is the first of a shuffled list from which the model stays in the frame
    all around. The world is the input camera's: a photo from above tilts the model towards it.
    """
    elevation = elevation_of(name)
    order = np.random.default_rng(seed_of(name) + 1).permutation(len(AZIMUTHS_DEG))
    orbits = np.concatenate([static_poses(12, elevation), dynamic_poses(12, elevation)])
    best: tuple[float, TexturedMesh] | None = None
    for i in order:
        placed = framed(unit_mesh(mesh, 0.2).moved(tilt(elevation) @ turned(np.radians(AZIMUTHS_DEG[i]))))
        fills = share_of_frame(placed, orbits)
        if best is None or fills < best[0]:
            best = fills, placed
        if fills <= MOST:
            break
    assert best is not None
    return best[1]


def turned(azimuth: float) -> Float[np.ndarray, "4 4"]:
    """A turn about the vertical that shows the camera what it would see from that azimuth."""
    matrix = np.eye(4)
    matrix[:3, :3] = look_at(orbit_center(azimuth, 0.0), np.zeros(3))[:3, :3].T
    return matrix


def static_poses(num_views: int, elevation: float) -> Float32[np.ndarray, "V 4 4"]:
    """A circle about the vertical through the model, at the height of the photo, which it begins with."""
    azimuths = np.arange(num_views) * (2 * np.pi / num_views)
    return tilted(on_sphere(azimuths, np.full(num_views, elevation)), elevation)


def dynamic_poses(num_views: int, elevation: float) -> Float32[np.ndarray, "V 4 4"]:
    """The same circle rising and sinking twice by AMPLITUDE_DEG."""
    poses = dynamic_orbit(num_views, amplitude=np.radians(AMPLITUDE_DEG), elevation=elevation)
    return tilted(poses, elevation)


def object_cameras(poses: Float32[np.ndarray, "V 4 4"], size: int) -> Cameras:
    """Cameras with the lens that this project takes photos of objects to have."""
    intrinsics = np.repeat(object_camera(size).intrinsics, len(poses), 0)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=size, height=size)


def framed(mesh: TexturedMesh) -> TexturedMesh:
    """The mesh moved and scaled so that its outline's box is centred and its longer side fills OBJECT_FRACTION."""
    camera = object_camera(1)
    for _ in range(4):  # each step is exact but for perspective
        low, high, near, far = screen_box(mesh, camera, 0)
        scale = OBJECT_FRACTION / float((high - low).max())
        middle = np.append((low + high) / 2 - 0.5, 0) / camera.intrinsics[0, 0, 0]
        matrix = np.eye(4) * scale
        matrix[:3, 3] = -scale * (middle * INPUT_DISTANCE + [0, 0, (near + far) / 2 - INPUT_DISTANCE])
        matrix[3, 3] = 1
        mesh = mesh.moved(matrix)
    return mesh


def screen_box(
    mesh: TexturedMesh, cameras: Cameras, index: int
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"], float, float]:
    """The box in the picture that the vertices lie in, and their least and most depth."""
    cam_from_world = cameras.cam_from_world[index]
    points = mesh.vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    screen = (points @ cameras.intrinsics[index].T)[:, :2] / np.maximum(points[:, 2:], 1e-3)
    return screen.min(0), screen.max(0), float(points[:, 2].min()), float(points[:, 2].max())


def share_of_frame(mesh: TexturedMesh, poses: Float32[np.ndarray, "V 4 4"]) -> float:
    """How much of the frame, from its middle to its border, the mesh fills at most."""
    cameras = object_cameras(poses, 1)
    boxes = [screen_box(mesh, cameras, i)[:2] for i in range(len(cameras))]
    return float(max(np.abs(2 * np.stack(box) - 1).max() for box in boxes))
