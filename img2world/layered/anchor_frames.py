"""Anchor frames: what the embedded video diffusion network is told of frames that are warped from what is known."""

import numpy as np
from jaxtyping import Bool, Float32

from img2world.core.cameras import Cameras
from img2world.layered.inpaint import nearest_known
from img2world.layered.layers import CONTINUED, INVENTED, SEEN, rays_in_cam
from img2world.layered.warp import Warped

FAR = 10.0
"""Depth of the noise where nothing is."""

TABLE = 1 << 16
"""Numbers that the noise is taken from."""


def frame_maps(warped: Warped, camera: Cameras, first: Cameras, *, is_object: bool) -> Float32[np.ndarray, "12 H W"]:
    """All that is known of one frame.

    Colour of -1 to 1 continued to where nothing is; whether it is seen, continued or invented; cover; inverse depth;
    place in the space of the first frame's camera, moved so that 0 is 1 unit before it; 1 for an object.
    """
    known = warped.alpha >= 0.5
    rgb = 2 * continued_rgb(warped.rgb, known) - 1
    kinds = [known & (warped.seen == kind) for kind in (SEEN, CONTINUED, INVENTED)]
    depth = np.where(known, warped.depth, np.float32(FAR))
    points = points_in_world(depth, camera)
    cam_from_world = first.cam_from_world[0]
    places = (points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3] - (0, 0, 1)).clip(-2, 2)
    inverse_depth = np.where(known, 1 / np.maximum(depth, 0.25), 0)
    scalars = [*kinds, warped.alpha, inverse_depth]
    flag = np.full(known.shape, float(is_object))
    maps = np.concatenate([rgb, np.stack(scalars, -1), places, flag[..., None]], -1)
    return np.ascontiguousarray(maps.transpose(2, 0, 1), np.float32)


def continued_rgb(rgb: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W 3"]:
    """Colours where they are known, those of the nearest such pixel elsewhere; gray where nothing is known."""
    if not known.any():
        return np.full_like(rgb, 0.5)
    _, rows, columns = nearest_known(known)
    return rgb[rows, columns]


def points_in_world(depth: Float32[np.ndarray, "H W"], camera: Cameras) -> Float32[np.ndarray, "H W 3"]:
    """Where the pixels of one camera lie."""
    pose = camera.world_from_cam[0]
    points = (rays_in_cam(camera) * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    return points.astype(np.float32)


def camera_numbers(cameras: Cameras) -> Float32[np.ndarray, "V 13"]:
    """Rotation and place relative to the first camera, and the logarithm of tan(half the horizontal field of view)."""
    relative = cameras.cam_from_world[0] @ cameras.world_from_cam  # [V, 4, 4]
    lens = np.log(0.5 * cameras.width / cameras.intrinsics[:, 0, 0])
    numbers = [relative[:, :3, :3].reshape(-1, 9), relative[:, :3, 3], lens[:, None]]
    return np.concatenate(numbers, 1).astype(np.float32)


def anchored_noise(points: Float32[np.ndarray, "H W 3"], cell: float, *, seed: int = 0) -> Float32[np.ndarray, "H W 3"]:
    """Normal noise that belongs to places in the world: the same from wherever a place is seen.

    Space is divided into cubes with sides of `cell`; each has its own three numbers.
    """
    table = np.random.default_rng(seed).standard_normal(TABLE).astype(np.float32)
    x, y, z = np.floor(points.astype(np.float64) / cell).astype(np.int64).astype(np.uint64).transpose(2, 0, 1)
    # Odd constants spread the cubes' numbers over all bits; then the bits are mixed (Appleby, MurmurHash3, fmix64).
    place = x * np.uint64(0x9E3779B97F4A7C15) ^ y * np.uint64(0xC2B2AE3D27D4EB4F) ^ z * np.uint64(0x165667B19E3779F9)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        place = (place ^ (place >> np.uint64(33))) * np.uint64(factor)
    place ^= place >> np.uint64(33)
    bits = np.stack([place, place >> np.uint64(16), place >> np.uint64(32)], -1)
    return table[(bits % np.uint64(TABLE)).astype(np.int64)]


def frame_noise(warped: Warped, camera: Cameras, *, seed: int = 0) -> Float32[np.ndarray, "3 H W"]:
    """The noise that one frame sees; its cubes are as large as a pixel 1 unit away."""
    depth = np.where(warped.alpha >= 0.5, warped.depth, np.float32(FAR))
    cell = 1 / float(camera.intrinsics[0, 0, 0])
    noise = anchored_noise(points_in_world(depth, camera), cell, seed=seed)
    return np.ascontiguousarray(noise.transpose(2, 0, 1))
