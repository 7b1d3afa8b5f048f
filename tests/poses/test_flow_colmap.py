"""COLMAP on followed points: a rendered room, and tracks that are right by construction."""

import numpy as np
import pytest

from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.poses import flow_colmap
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.flow_colmap import FlowColmapPoses, adjust_bundle, map_tracks, track_video
from img2world.tracking.flow import prepare_gray_frames


def test_cameras_of_a_room(room, arc, pose_errors):
    views = FlowColmapPoses().estimate(room, None)
    assert views.report is not None
    assert views.solver == "flow-colmap (incremental)"
    assert views.report.placed == len(arc)
    rotation_deg, direction_deg = pose_errors(views.cameras, arc)
    assert rotation_deg < 3
    assert direction_deg < 8
    assert views.report.grade in "AB"
    assert views.report.tracks > 50
    assert not views.report.moving_frames


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_perfect_tracks_give_perfect_cameras(room, arc, observe, cloud, pose_errors, mapper):
    focal = float(arc.intrinsics[0, 0, 0])
    model = map_tracks(room, observe(cloud, arc), mapper=mapper, focal=focal, seed=0, time_limit=60.0)
    assert model.placed.tolist() == list(range(len(arc)))
    assert max(pose_errors(model.camera_parameters.to_cameras(192, 144), arc)) < 0.1
    assert model.intrinsics[0, 0, 0] == pytest.approx(focal, rel=0.01)


def test_bundle_adjustment_goes_from_prior_cameras_to_the_tracks(room, arc, observe, cloud, pose_errors):
    poses = arc.world_from_cam.astype(np.float64)
    poses[:, :3, 3] += np.random.default_rng(1).normal(0, 0.01, (len(arc), 3))
    prior = Cameras(world_from_cam=poses.astype(np.float32), intrinsics=arc.intrinsics, width=192, height=144)
    model = adjust_bundle(room, observe(cloud, arc), CameraParameters.from_cameras(prior), seed=0, time_limit=60.0)
    adjusted = model.camera_parameters
    assert max(pose_errors(adjusted.to_cameras(192, 144), arc)) < 0.5 < max(pose_errors(prior, arc))
    # It stays in the world of the prior.
    assert np.linalg.norm(adjusted.centers - arc.centers_in_world, axis=1).max() < 0.03


def test_options_reach_colmap(room, arc, observe, cloud, monkeypatch):
    tracks, asked = observe(cloud, arc), {}

    def run_child(module, options, **settings):
        asked.update(options, **settings)
        raise PoseError("stopped", hint="")

    monkeypatch.setattr(flow_colmap, "track_video", lambda *_, **__: (tracks, tracks))
    monkeypatch.setattr(flow_colmap, "run_child", run_child)
    with pytest.raises(PoseError, match="stopped"):
        FlowColmapPoses(mapper="global", focal=200.0, time_limit=7.0).estimate(room, None)
    assert (asked["mapper"], asked["focal"], asked["time_limit"]) == ("global", 200.0, 7.0)
    with pytest.raises(PoseError, match="8 frames cannot be followed"):
        FlowColmapPoses(min_views=9).estimate(room, None)


def test_held_out_tracks_are_of_flow_alone(room, monkeypatch):
    monkeypatch.setattr(flow_colmap, "select_video_pairs", lambda _: [(0, 2), (2, 4), (0, 4)])
    five = Frames(rgb=room.rgb[:5], times=room.times[:5])
    fitted, held_out = track_video(five, prepare_gray_frames(five.rgb, None), None, seed=3)
    assert 0.15 < len(held_out) / len(fitted) < 0.4
    # Flow links neighbours; features link frames that are farther apart.
    steps = [np.diff(tracks.frame_ids)[np.diff(tracks.track_ids) == 0] for tracks in (fitted, held_out)]
    assert (steps[1] == 1).all()
    assert (steps[0] > 1).any()


def test_what_cannot_be_followed(room):
    with pytest.raises(PoseError, match="photos cannot be followed"):
        FlowColmapPoses().estimate(Frames(rgb=room.rgb, times=room.times, ordered=False), None)
    with pytest.raises(PoseError, match="2 frames cannot be followed"):
        FlowColmapPoses().estimate(Frames(rgb=room.rgb[:2], times=room.times[:2]), None)
