"""COLMAP on followed points: a rendered room, and tracks that are right by construction."""

import numpy as np
import pytest

from evaluation.pose_metrics import score_poses
from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.poses.flow_colmap import FlowColmapPoses, map_by_flow, rig_of_found
from img2world.poses.triangulation import rig_of
from img2world.tracking.tracks import Tracks
from img2world.video.synthetic import SyntheticVideo

COUNT, WIDTH, HEIGHT = 10, 192, 144


def arc() -> Cameras:
    return Cameras(
        world_from_cam=on_sphere(np.radians(4.5) * np.arange(COUNT), np.full(COUNT, 0.15)),
        intrinsics=np.repeat(intrinsics_from_fov(np.radians(60), WIDTH, HEIGHT)[None], COUNT, 0),
        width=WIDTH,
        height=HEIGHT,
    )


@pytest.fixture(scope="module")
def frames() -> Frames:
    made = SyntheticVideo(kind="room").generate(None, arc(), seed=4)
    return Frames(rgb=made.rgb, times=made.times)


def perfect_tracks(truth: Cameras) -> Tracks:
    """200 points in front of all cameras, seen by all."""
    points = np.random.default_rng(0).uniform(-0.35, 0.35, (200, 3))
    rig = rig_of(truth)
    in_cam = np.einsum("vij,pj->vpi", rig.rotations, points) + rig.cam_from_world[:, None, :, 3]
    place = in_cam[..., :2] / in_cam[..., 2:] * rig.focal[:, None] + rig.middle[:, None]
    return Tracks(
        frame=np.tile(np.arange(COUNT), 200),
        place=place.transpose(1, 0, 2).reshape(-1, 2),
        starts=np.arange(200) * COUNT,
    )


def test_cameras_of_a_room(frames):
    views = FlowColmapPoses().estimate(frames, None)
    assert views.report is not None
    score = score_poses(views.cameras, arc(), np.array(views.report.frames))
    assert score.auc30 > 85
    assert views.report.grade in "AB"
    assert views.report.tracks > 50
    assert not views.report.moving_frames


def test_bundle_adjustment_goes_from_the_told_cameras_to_the_tracks(frames):
    truth = arc()
    random = np.random.default_rng(1)
    poses = truth.world_from_cam.astype(np.float64)
    poses[:, :3, 3] += random.normal(0, 0.01, (COUNT, 3))
    told = Cameras(world_from_cam=poses.astype(np.float32), intrinsics=truth.intrinsics, width=WIDTH, height=HEIGHT)
    found = map_by_flow(
        frames, perfect_tracks(truth), mapper="adjust", focal=None, seed=0, time_limit=60.0, told=rig_of(told)
    )
    before, after = (
        score_poses(cameras, truth, np.arange(COUNT)) for cameras in (told, rig_of_found(found).cameras(WIDTH, HEIGHT))
    )
    assert after.median_direction_deg < 0.3 < before.median_direction_deg
    assert after.median_rotation_deg < 0.3


def test_what_cannot_be_followed(frames):
    with pytest.raises(PoseError, match="photos cannot be followed"):
        FlowColmapPoses().estimate(Frames(rgb=frames.rgb, times=frames.times, ordered=False), None)
    with pytest.raises(PoseError, match="2 frames cannot be followed"):
        FlowColmapPoses().estimate(Frames(rgb=frames.rgb[:2], times=frames.times[:2]), None)
    grey = Frames(rgb=np.full((5, 64, 64, 3), 128, np.uint8), times=np.arange(5.0))
    with pytest.raises(PoseError):
        FlowColmapPoses().estimate(grey, None)
