"""Paths with few free numbers: what they take from told cameras they give back, and fits find what was changed."""

import numpy as np
import pytest

from img2world.core.camera_paths import dynamic_orbit, on_sphere, orbit, spiral
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.rotation import rotation_about
from img2world.poses.fit import fit_path
from img2world.poses.path_model import Freedom, is_closed, path_from_cameras, reversed_path, rig_on_path
from img2world.poses.triangulation import errors, project, rig_of, track_errors, triangulate, widest_angles
from img2world.tracking.tracks import Tracks


def cameras(poses: np.ndarray, fov: float = 0.7) -> Cameras:
    return Cameras(
        world_from_cam=poses.astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(fov, 256, 256)[None], len(poses), 0),
        width=256,
        height=256,
    )


def leaning(poses: np.ndarray) -> np.ndarray:
    """The same in a world that was turned."""
    turn = np.eye(4)
    turn[:3, :3] = rotation_about(np.array([1.0, 0.2, 0.0]), 0.3)
    return turn @ poses


def tracks_of(told: Cameras, *, noise: float = 0.0, points: int = 150) -> Tracks:
    """Points about the origin, each seen by six cameras in a row."""
    random = np.random.default_rng(5)
    world = random.normal(size=(points, 3)) * 0.15
    first = random.integers(0, len(told), points)
    frame = ((first[:, None] + np.arange(6)) % len(told)).reshape(-1)
    empty = Tracks(frame=frame, place=np.zeros((len(frame), 2)), starts=6 * np.arange(points))
    place = project(world, rig_of(told), empty) + noise * random.normal(size=(len(frame), 2))
    return Tracks(frame=frame, place=place, starts=empty.starts)


@pytest.mark.parametrize(
    "poses",
    [
        orbit(12, elevation=0.3),
        leaning(orbit(12, elevation=0.3)),
        dynamic_orbit(12, amplitude=0.2),
        spiral(9, half_azimuth=0.3, half_elevation=0.1),
    ],
)
def test_a_path_with_nothing_free_is_what_was_told(poses):
    told = cameras(poses)
    rig = rig_on_path(path_from_cameras(told, closed=True), Freedom(names=()), np.zeros(0))
    again = rig.cameras(256, 256)
    assert np.allclose(again.world_from_cam, told.world_from_cam, atol=1e-6)
    assert np.allclose(again.intrinsics, told.intrinsics)


def test_closed_paths_are_told_from_open_ones():
    assert is_closed(cameras(orbit(21)))
    assert not is_closed(cameras(on_sphere(np.linspace(0, 1.4, 21), np.zeros(21))))


def test_points_are_where_the_lines_of_sight_meet():
    told = cameras(orbit(12, elevation=0.2))
    tracks = tracks_of(told)
    assert errors(tracks, rig_of(told)).max() < 1e-3
    assert np.linalg.norm(triangulate(tracks, rig_of(told)), axis=1).max() < 1
    assert np.degrees(np.median(widest_angles(tracks, rig_of(told)))) > 30
    assert np.allclose(track_errors(tracks, rig_of(told)), 0, atol=1e-3)


def test_height_and_lens_are_found():
    truth = cameras(orbit(16, elevation=0.2), fov=0.6)
    told = cameras(orbit(16, elevation=0.34), fov=0.6 * 1.25)
    fit = fit_path(tracks_of(truth, noise=0.3), path_from_cameras(told, closed=True), Freedom())
    assert np.degrees(fit.numbers[0]) == pytest.approx(np.degrees(-0.14), abs=0.5)
    assert fit.rig.focal[0, 0] == pytest.approx(truth.intrinsics[0, 0, 0], rel=0.02)
    assert not fit.at_limit


def test_waves_are_found_and_the_opposite_way_runs_to_the_end():
    phase = np.arange(16) * (2 * np.pi / 16)
    truth = cameras(on_sphere(phase, 0.2 + 0.2 * np.sin(phase + 0.4)))
    path = path_from_cameras(cameras(orbit(16, elevation=0.2)), closed=True)
    tracks = tracks_of(truth, noise=0.3)
    plain, waved = fit_path(tracks, path, Freedom()), fit_path(tracks, path, Freedom(waves=1))
    assert waved.cost < 0.2 * plain.cost
    opposite = fit_path(tracks, reversed_path(path), Freedom(waves=1))
    assert opposite.cost > 3 * waved.cost
