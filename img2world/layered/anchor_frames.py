"""Anchor frames: the inputs of the embedded video diffusion network, from frames warped to the cameras of a path."""

import numpy as np
from jaxtyping import Float32

from img2world.core.cameras import Cameras
from img2world.layered.inpaint import extend_colors
from img2world.layered.layers import CONTINUED, INVENTED, SEEN, rays_in_cam
from img2world.layered.warp import Warped

EMPTY_DEPTH = 10.0
"""Depth that is assumed where a ray hits no surface."""

NOISE_TABLE_SIZE = 1 << 16
"""Entries of the table of normal numbers that the noise is read from."""


def conditioning_maps(
    warped: Warped, camera: Cameras, first: Cameras, *, is_object: bool
) -> Float32[np.ndarray, "12 H W"]:
    """Return the maps that condition the network on one frame.

    Channels: 3 of color, -1 to 1, extended to where no surface is; 3 of 0 or 1 for seen, continued and invented; alpha;
    inverse depth; 3 of position in the space of the camera `first`, relative to the point 1 unit in front of it; 1 for
    an object, 0 for a scene.
    """
    known = warped.alpha >= 0.5
    rgb = 2 * extend_colors(warped.rgb, known) - 1
    origins = [known & (warped.seen == kind) for kind in (SEEN, CONTINUED, INVENTED)]
    depth = np.where(known, warped.depth, np.float32(EMPTY_DEPTH))
    points = unproject_depth(depth, camera)
    cam_from_world = first.cam_from_world[0]
    positions = (points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3] - (0, 0, 1)).clip(-2, 2)
    inverse_depth = np.where(known, 1 / np.maximum(depth, 0.25), 0)
    scalars = [*origins, warped.alpha, inverse_depth]
    flag = np.full(known.shape, float(is_object))
    maps = np.concatenate([rgb, np.stack(scalars, -1), positions, flag[..., None]], -1)
    return np.ascontiguousarray(maps.transpose(2, 0, 1), np.float32)


def unproject_depth(depth: Float32[np.ndarray, "H W"], camera: Cameras) -> Float32[np.ndarray, "H W 3"]:
    """Return the positions of one camera's pixels in the world, at a depth along +Z of the camera."""
    pose = camera.world_from_cam[0]
    points = (rays_in_cam(camera) * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    return points.astype(np.float32)


def camera_features(cameras: Cameras) -> Float32[np.ndarray, "V 13"]:
    """Return each camera's rotation (9) and position (3) relative to the first, and log tan of half the horizontal FOV.

    The rotation is row-major, camera to first camera.
    """
    relative = cameras.cam_from_world[0] @ cameras.world_from_cam  # [V, 4, 4]
    log_tan = np.log(0.5 * cameras.width / cameras.intrinsics[:, 0, 0])
    return np.concatenate([relative[:, :3, :3].reshape(-1, 9), relative[:, :3, 3], log_tan[:, None]], 1).astype(
        np.float32
    )


def anchored_noise(points: Float32[np.ndarray, "H W 3"], cell: float, *, seed: int = 0) -> Float32[np.ndarray, "H W 3"]:
    """Return normal noise that is a function of position: a surface point has the same noise in every view.

    Space is divided into cubes with edges of length `cell`; a hash of a cube's integer coordinates picks its 3 values.
    """
    table = np.random.default_rng(seed).standard_normal(NOISE_TABLE_SIZE).astype(np.float32)
    x, y, z = np.floor(points.astype(np.float64) / cell).astype(np.int64).astype(np.uint64).transpose(2, 0, 1)
    # Odd constants spread the coordinates over all bits; then the bits are mixed (Appleby, MurmurHash3, fmix64).
    key = x * np.uint64(0x9E3779B97F4A7C15) ^ y * np.uint64(0xC2B2AE3D27D4EB4F) ^ z * np.uint64(0x165667B19E3779F9)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        key = (key ^ (key >> np.uint64(33))) * np.uint64(factor)
    key ^= key >> np.uint64(33)
    bits = np.stack([key, key >> np.uint64(16), key >> np.uint64(32)], -1)
    return table[(bits % np.uint64(NOISE_TABLE_SIZE)).astype(np.int64)]


def frame_noise(warped: Warped, camera: Cameras, *, seed: int = 0) -> Float32[np.ndarray, "3 H W"]:
    """Return the noise of the surfaces that one frame shows, in cubes as large as a pixel at a distance of 1 unit."""
    depth = np.where(warped.alpha >= 0.5, warped.depth, np.float32(EMPTY_DEPTH))
    cell = 1 / float(camera.intrinsics[0, 0, 0])
    noise = anchored_noise(unproject_depth(depth, camera), cell, seed=seed)
    return np.ascontiguousarray(noise.transpose(2, 0, 1))
