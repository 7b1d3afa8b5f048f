"""The random object against geometry that is computed in another way."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import VideoError
from img2world.video.synthetic import OBJECT_RADIUS, SyntheticVideo, object_surface


def small_circle(num_views: int = 4, size: int = 48) -> Cameras:
    intrinsics = intrinsics_from_fov(np.deg2rad(45.0), size, size)
    return Cameras(
        world_from_cam=orbit(num_views, elevation=0.3),
        intrinsics=np.repeat(intrinsics[None], num_views, 0),
        width=size,
        height=size,
    )


def nearest_hit(origin: np.ndarray, directions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest of the triangles [F, 3, 3] in units of each direction, or infinity.

    Möller and Trumbore, "Fast, minimum storage ray/triangle intersection", 1997.
    """
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    to_origin = origin - corners[:, 0]
    across = np.cross(to_origin, edge1)
    found = []
    for direction in directions:
        normal = np.cross(direction, edge2)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1 / (edge1 * normal).sum(-1)
            u, v, t = (to_origin * normal).sum(-1) * scale, across @ direction * scale, (edge2 * across).sum(-1) * scale
            found.append(np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf).min())
    return np.array(found)


def test_depth_and_alpha_agree_with_rays():
    cameras = small_circle(3)
    frames = SyntheticVideo(num_parts=3).generate(None, cameras, seed=5)
    assert frames.cameras is cameras
    surface = object_surface(np.random.default_rng(5), 3)
    corners = surface.vertices[surface.faces].astype(np.float64)
    row, column = np.mgrid[4:48:7, 4:48:7].reshape(2, -1)
    for i in range(len(cameras)):
        pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], -1)
        in_cam = pixels @ np.linalg.inv(cameras.intrinsics[i].astype(np.float64)).T  # z = 1
        directions = in_cam @ cameras.world_from_cam[i, :3, :3].T
        nearest = nearest_hit(cameras.centers_in_world[i].astype(np.float64), directions, corners)
        depth = frames.depth[i, row, column]
        hit = np.isfinite(nearest)
        agree = hit == (depth > 0)
        assert agree.mean() > 0.94  # Rays through a silhouette may fall on either side of it.
        both = hit & (depth > 0)
        assert both.sum() > 3
        assert np.abs(depth[both] - nearest[both]).max() < 1e-3
        alpha = frames.alpha[i, row, column]
        assert (alpha[both] >= 128).mean() > 0.95
        assert (alpha[~hit & agree] == 255).sum() == 0


def test_object_is_on_white_and_inside_the_picture():
    frames = SyntheticVideo(size=64, num_frames=5).generate(None, None, seed=1)
    assert (frames.rgb[frames.alpha == 0] == 255).all()
    border = np.concatenate([frames.alpha[:, [0, -1]].ravel(), frames.alpha[:, :, [0, -1]].ravel()])
    assert (border == 0).all()
    assert 0.1 < (frames.alpha == 255).mean() < 0.6
    assert frames.depth[frames.depth > 0].min() > 1 - OBJECT_RADIUS - 1e-3
    assert frames.depth.max() < 1 + OBJECT_RADIUS + 1e-3


def test_a_point_has_the_same_colour_from_two_views():
    cameras = small_circle(24, 128)
    frames = SyntheticVideo(num_parts=3).generate(None, cameras.select([0, 1]), seed=2)
    row, column = np.nonzero((frames.depth[0] > 0) & (frames.alpha[0] == 255))
    z = frames.depth[0, row, column]
    in_cam = (
        np.stack([column + 0.5, row + 0.5, np.ones(len(row))], -1) @ np.linalg.inv(cameras.intrinsics[0]).T * z[:, None]
    )
    in_world = in_cam @ cameras.world_from_cam[0, :3, :3].T + cameras.world_from_cam[0, :3, 3]
    in_other = in_world @ cameras.cam_from_world[1, :3, :3].T + cameras.cam_from_world[1, :3, 3]
    pixel = (in_other @ cameras.intrinsics[1].T)[:, :2] / in_other[:, 2:]
    j, i = np.clip(pixel.astype(int), 0, 127).T
    visible = np.abs(frames.depth[1, i, j] - in_other[:, 2]) < 0.005
    assert visible.mean() > 0.6
    difference = np.abs(frames.rgb[0, row, column].astype(int) - frames.rgb[1, i, j])[visible]
    assert np.median(difference) <= 6  # Half a pixel off at most, on a texture some pixels wide.


def test_room_fills_the_picture_and_is_textured_everywhere():
    frames = SyntheticVideo(kind="room", num_frames=4, size=48).generate(None, None)
    assert frames.alpha is None
    assert (frames.depth > 0).all()
    blocks = frames.rgb.reshape(4, 4, 12, 4, 12, 3).astype(float)
    assert blocks.std((2, 4)).max(-1).min() > 1.5


def test_seed_decides_everything():
    video = SyntheticVideo(size=32, num_frames=2)
    a, b, c = (video.generate(None, None, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(a.rgb, b.rgb)
    assert np.array_equal(a.depth, b.depth)
    assert not np.array_equal(a.rgb, c.rgb)


def test_progress_counts_views():
    steps = []
    video = SyntheticVideo(size=16, num_frames=3)
    video.generate(None, None, progress=lambda done, total, **quality: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("change", [{"num_parts": 0}, {"supersample": 0}, {"num_frames": 0}])
def test_options_out_of_range(change):
    with pytest.raises(VideoError, match="numbers above 0"):
        replace(SyntheticVideo(), **change).generate(None, None)
