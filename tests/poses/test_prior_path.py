"""A prior path fitted to rendered frames in either direction, and the choices on the way."""

import numpy as np
import pytest

from img2world.core.errors import PoseError
from img2world.poses.path_model import path_from_cameras
from img2world.poses.prior_path import HELD_OUT_FRACTION, MIN_TRACKS, fit_prior_path, split_tracks
from img2world.tracking.flow import prepare_gray_frames
from img2world.tracking.object_masks import object_masks


@pytest.fixture(scope="module")
def gray_frames(turntable):
    return prepare_gray_frames(turntable.rgb, object_masks(turntable))


def test_another_run_gives_the_same_bits(gray_frames, inexact, refined):
    path = path_from_cameras(inexact, closed=True)
    again = fit_prior_path(gray_frames, path, np.random.default_rng(0))
    assert np.array_equal(again.estimate.cameras.to_cameras(128, 128).world_from_cam, refined.cameras.world_from_cam)
    assert again.estimate.solver == refined.solver
    assert again.estimate.placed.tolist() == list(range(15))
    assert 0.15 < len(again.held_out) / len(again.fitted) < 0.6


def test_the_opposite_direction_is_noticed(gray_frames, make_circle, circle, pose_errors):
    path = path_from_cameras(make_circle(20, 32, reverse=True), closed=True)
    found = fit_prior_path(gray_frames, path, np.random.default_rng(0), max_harmonics=0).estimate
    assert found.solver == "orbit (2 parameters), reversed"
    assert pose_errors(found.cameras.to_cameras(128, 128), circle)[0] < 2
    assert found.margins["opposite direction"] > 0.3
    assert not found.caveat


def test_an_exact_path_keeps_its_name_and_gets_the_caveat(gray_frames, circle):
    path = path_from_cameras(circle, closed=True)
    found = fit_prior_path(
        gray_frames, path, np.random.default_rng(0), max_harmonics=0, name="as requested", caveat="no proof"
    ).estimate
    assert (found.solver, found.caveat) == ("as requested", "no proof")
    assert np.allclose(found.cameras.to_cameras(128, 128).world_from_cam, circle.world_from_cam, atol=1e-6)


def test_tracks_are_split_and_limited(circle, observe):
    points = np.random.default_rng(0).normal(size=(400, 3)) * 0.1
    tracks = observe(points, circle, length=5)
    fitted, held_out = split_tracks(tracks, np.random.default_rng(1))
    assert len(fitted) + len(held_out) == 400
    assert len(held_out) == pytest.approx(400 * HELD_OUT_FRACTION, abs=40)
    few = split_tracks(tracks, np.random.default_rng(1), 50)
    assert [len(part) for part in few] == [50, 50]
    # No position is in both.
    assert not {*map(tuple, few[0].xy.tolist())} & {*map(tuple, few[1].xy.tolist())}


def test_too_few_tracks_are_refused(circle, observe):
    tracks = observe(np.zeros((MIN_TRACKS - 1, 3)), circle)
    with pytest.raises(PoseError, match="only 29 points could be followed through the frames, needs 30"):
        split_tracks(tracks, np.random.default_rng(0))
