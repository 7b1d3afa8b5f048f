"""An independently moving part is distinguished from noise and from lost points."""

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.rigidity import find_moving_frames, find_moving_tracks
from img2world.tracking.tracks import Tracks

FRAMES, POINTS = 8, 400


@pytest.fixture
def cameras(make_cameras):
    return make_cameras(on_sphere(np.radians(5) * np.arange(FRAMES), np.full(FRAMES, 0.2)), 0.8)


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.25, 0.25, (POINTS, 3))


def find(tracks: Tracks, cameras) -> np.ndarray:
    return find_moving_tracks(tracks, CameraParameters.from_cameras(cameras), 256)


def test_a_part_that_moves_is_found(cameras, points, observe):
    part = (points[:, 0] > 0.05) & (points[:, 1] > 0.05)
    moving = np.repeat(points[:, None], FRAMES, 1)
    moving[part, :, 1] -= 0.06 * np.linspace(0, 1, FRAMES)
    tracks = observe(moving, cameras, noise=0.5)
    found = find(tracks, cameras)
    # Points at the rim of the part have others beside them.
    assert found[part].mean() > 0.6
    assert found[~part].mean() < 0.05
    assert find_moving_frames(tracks, found, FRAMES) == tuple(range(FRAMES))


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_noise_and_lost_points_do_not_move(cameras, points, observe, noise):
    tracks = observe(points, cameras, noise=noise)
    xy = tracks.xy.reshape(POINTS, FRAMES, 2).copy()
    xy[np.random.default_rng(1).permutation(POINTS)[:60], FRAMES // 2 :] += 12
    tracks = Tracks(frame_ids=tracks.frame_ids, xy=xy.reshape(-1, 2), starts=tracks.starts)
    found = find(tracks, cameras)
    assert found.mean() < 0.02
    assert find_moving_frames(tracks, found, FRAMES) == ()


def test_only_frames_that_see_the_part_are_named(cameras, points, observe):
    early = observe(points[:40], cameras.select(slice(0, 3)))
    whole = observe(points[40:], cameras)
    tracks = Tracks(
        frame_ids=np.concatenate([early.frame_ids, whole.frame_ids]),
        xy=np.concatenate([early.xy, whole.xy]),
        starts=np.concatenate([early.starts, whole.starts + len(early.frame_ids)]),
    )
    assert find_moving_frames(tracks, np.arange(POINTS) < 40, FRAMES) == (0, 1, 2)


def test_no_points(cameras):
    assert find(Tracks.empty(), cameras).shape == (0,)
