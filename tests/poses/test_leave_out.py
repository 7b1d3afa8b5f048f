"""Cameras found without a part of a scene explain it where it stands still, and not where it moves by itself."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.leave_out import MOVING_RATIO, Support, examine_support
from img2world.poses.second_opinion import MAX_LENS_GAIN

FRAMES = 9


@pytest.fixture
def sideways(make_cameras):
    """Cameras that move sideways past what they look at."""
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = np.linspace(-0.4, 0.4, FRAMES)
    return make_cameras(poses, 1.0)


@pytest.fixture
def room():
    """Points on walls at several depths."""
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(-1.2, 1.2, 500), rng.uniform(-1.2, 1.2, 500), rng.uniform(2.0, 4.0, 500)], 1)


def test_all_parts_of_a_rigid_room_are_explained_by_the_others(room, sideways, observe):
    support = examine_support(observe(room, sideways, noise=0.5), CameraParameters.from_cameras(sideways), 256, 256)
    parts = support.parts
    assert support.lens_gain < 0.1
    assert len(parts) >= 4
    assert parts[0].ratio < 2.0
    assert not any(part.is_doubtful for part in parts)


def test_a_part_that_moves_by_itself_is_not(room, sideways, observe):
    walker = (np.abs(room[:, 0]) < 0.5) & (np.abs(room[:, 1]) < 0.6)
    moving = np.repeat(room[:, None], FRAMES, 1)
    moving[walker, :, 1] += 0.15 * np.sin(np.linspace(0, 6, FRAMES))
    tracks = observe(moving, sideways, noise=0.5)
    parts = examine_support(tracks, CameraParameters.from_cameras(sideways), 256, 256).parts
    assert parts[0].ratio > MOVING_RATIO
    assert walker[parts[0].tracks].mean() > 0.6
    assert parts[0].is_doubtful


def test_few_tracks_are_not_divided(room, sideways, observe):
    tracks = observe(room[:20], sideways)
    assert examine_support(tracks, CameraParameters.from_cameras(sideways), 256, 256) == Support(parts=[])


def test_a_lens_that_zooms_is_told(room, sideways, observe):
    zoom = 1 + 0.1 * np.sin(np.linspace(0, 6, FRAMES))
    intrinsics = sideways.intrinsics.copy()
    intrinsics[:, [0, 1], [0, 1]] *= zoom[:, None]
    tracks = observe(room, replace(sideways, intrinsics=intrinsics), noise=0.3)
    assert examine_support(tracks, CameraParameters.from_cameras(sideways), 256, 256).lens_gain > MAX_LENS_GAIN


def test_the_scale_of_the_world_does_not_matter(room, sideways, observe):
    tracks, cameras = observe(room, sideways, noise=0.5), CameraParameters.from_cameras(sideways)
    poses = cameras.cam_from_world.copy()
    poses[:, :, 3] *= 50
    worst = [
        examine_support(tracks, each, 256, 256).parts[0].ratio
        for each in (cameras, replace(cameras, cam_from_world=poses))
    ]
    assert worst[0] == pytest.approx(worst[1], rel=0.1)
