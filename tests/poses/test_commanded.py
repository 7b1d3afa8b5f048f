"""Known cameras, and points from depth, against a scene of known planes."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.poses.commanded import CommandedPoses


def cameras_on_circle(num_views: int = 6, width: int = 30, height: int = 20) -> Cameras:
    return Cameras(
        world_from_cam=orbit(num_views),
        intrinsics=np.repeat(intrinsics_from_fov(1.0, width, height)[None], num_views, 0),
        width=width,
        height=height,
    )


@pytest.fixture
def frames() -> Frames:
    """Each camera sees a plane through the origin that faces it; the colour encodes the view and the column."""
    cameras = cameras_on_circle()
    rgb = np.zeros((6, 20, 30, 3), np.uint8)
    rgb[..., 0] = np.arange(6)[:, None, None]
    rgb[..., 1] = np.arange(30)
    depth = np.ones((6, 20, 30), np.float32)
    depth[:, :5] = 0
    return Frames(rgb=rgb, cameras=cameras, depth=depth, times=np.arange(6.0))


def test_views_are_the_frames(frames):
    views = CommandedPoses().estimate(frames, None)
    assert views.cameras is frames.cameras
    assert np.array_equal(views.rgb, frames.rgb)
    assert np.array_equal(views.depth, frames.depth)
    assert (views.confidence == 1).all()
    assert views.solver == "commanded"


def test_points_lie_on_the_planes_with_their_colours(frames):
    views = CommandedPoses(max_points=300).estimate(frames, None)
    assert len(views.points) == 300
    for point, (view, column, _) in zip(views.points, views.point_colors, strict=True):
        pose = frames.cameras.world_from_cam[view].astype(np.float64)
        assert abs(pose[:3, 2] @ point) < 1e-5  # Through the origin, across the line of sight.
        # 15 columns are tan(half the field of view) at distance 1.
        assert pose[:3, 0] @ point == pytest.approx((column - 14.5) / 15 * np.tan(0.5), abs=1e-5)
    again = CommandedPoses(max_points=300).estimate(frames, None)
    assert np.array_equal(views.points, again.points)


def test_all_points_are_taken_when_there_are_few(frames):
    assert len(CommandedPoses(max_points=10**6).estimate(frames, None).points) == 6 * 15 * 30


def test_frames_without_depth_give_random_points_in_sight(frames):
    views = CommandedPoses(max_points=500).estimate(replace(frames, depth=None), None, seed=3)
    cameras = frames.cameras
    homogeneous = np.concatenate([views.points, np.ones((500, 1))], 1)
    in_cam = np.einsum("vij,pj->vpi", cameras.cam_from_world, homogeneous)[..., :3]
    pixels = np.einsum("vij,vpj->vpi", cameras.intrinsics, in_cam)
    pixels = pixels[..., :2] / pixels[..., 2:]
    seen = (in_cam[..., 2] > 0) & (pixels > 0).all(-1) & (pixels < [cameras.width, cameras.height]).all(-1)
    assert seen.any(0).all()
    # They are about as far away as what the cameras turn about, and not all at one distance.
    assert 0.8 < np.median(in_cam[..., 2][seen]) < 1.25
    again = CommandedPoses(max_points=500).estimate(replace(frames, depth=None), None, seed=3)
    assert np.array_equal(views.points, again.points)


def test_requested_cameras_are_scaled_to_the_frames(frames):
    views = CommandedPoses().estimate(replace(frames, cameras=None), cameras_on_circle(6, 60, 40))
    assert views.cameras.width == 30
    assert np.allclose(views.cameras.intrinsics, frames.cameras.intrinsics)
    assert np.array_equal(views.cameras.world_from_cam, frames.cameras.world_from_cam)


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        (None, "no cameras and no camera path was requested"),
        (cameras_on_circle(5), "there are 6 frames for 5 requested cameras"),
        (cameras_on_circle(6, 30, 30), "the frames are 30x20 and the requested cameras 30x30"),
    ],
)
def test_refused_when_the_cameras_are_not_known(frames, requested, message):
    with pytest.raises(PoseError, match=message) as caught:
        CommandedPoses().estimate(replace(frames, cameras=None), requested)
    assert "--set poses.name=auto" in caught.value.hint
