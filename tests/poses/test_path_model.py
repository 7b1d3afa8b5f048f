"""Parametric paths: unchanged without free parameters, and each parameter does what its name says."""

import numpy as np
import pytest

from img2world.core.camera_paths import dynamic_orbit, on_sphere, orbit, spiral
from img2world.core.rotation import rotation_about
from img2world.poses.path_model import (
    LIMITS,
    PRIOR_STDS,
    FreeParameters,
    cameras_on_path,
    is_closed_path,
    look_at_origin,
    path_from_cameras,
    reverse_path,
)


def leaning(poses: np.ndarray) -> np.ndarray:
    """The same poses in a rotated world."""
    turn = np.eye(4)
    turn[:3, :3] = rotation_about(np.array([1.0, 0.2, 0.0]), 0.3)
    return turn @ poses


def moved(make_cameras, poses: np.ndarray, names: tuple[str, ...], values: list[float], *, closed: bool = True):
    """Cameras of a path at values of its free parameters."""
    path = path_from_cameras(make_cameras(poses), closed=closed)
    return cameras_on_path(path, FreeParameters(names=names), np.array(values)).to_cameras(256, 256)


@pytest.mark.parametrize(
    "poses",
    [
        orbit(12, elevation=0.3),
        leaning(orbit(12, elevation=0.3)),
        dynamic_orbit(12, amplitude=0.2),
        spiral(9, half_azimuth=0.3, half_elevation=0.1),
    ],
)
def test_without_free_parameters_the_path_is_the_prior(make_cameras, poses):
    prior = make_cameras(poses)
    again = moved(make_cameras, poses, (), [])
    assert np.allclose(again.world_from_cam, prior.world_from_cam, atol=1e-6)
    assert np.allclose(again.intrinsics, prior.intrinsics)


@pytest.mark.parametrize("turn", [lambda poses: poses, leaning])
def test_elevation_raises_the_path_along_its_own_axis(make_cameras, turn):
    found = moved(make_cameras, turn(orbit(12, elevation=0.3)), ("elevation",), [0.2])
    assert np.allclose(found.world_from_cam, turn(orbit(12, elevation=0.5)), atol=1e-5)


def test_lens_and_arc_are_scaled_and_the_principal_point_is_shifted(make_cameras):
    poses = on_sphere(np.linspace(0, 1.0, 9), np.full(9, 0.1))
    names = ("elevation", "focal", "principal_point", "arc")
    found = moved(make_cameras, poses, names, [0.0, np.log(1.2), 0.1, -0.05, np.log(0.9)], closed=False)
    expected = make_cameras(on_sphere(np.linspace(0, 0.9, 9), np.full(9, 0.1)))
    assert np.allclose(found.world_from_cam, expected.world_from_cam, atol=1e-6)
    assert np.allclose(found.intrinsics[:, 0, 0], 1.2 * expected.intrinsics[:, 0, 0])
    assert np.allclose(found.intrinsics[:, :2, 2], [128 + 25.6, 128 - 12.8])


@pytest.mark.parametrize(("closed", "period"), [(True, 12), (False, 22)])
def test_harmonics_are_waves_along_the_path(make_cameras, closed, period):
    """A closed path has whole waves; an open one of twelve views half a wave of eleven steps."""
    path = path_from_cameras(make_cameras(orbit(12)), closed=closed)
    free = FreeParameters(names=(), harmonics=2, modulated=("elevation", "radius"))
    values = np.zeros(8)
    values[[2, 5]] = 0.1, 0.05  # First sine of the elevation, second cosine of the radius.
    centers = cameras_on_path(path, free, values).centers
    phase = 2 * np.pi * np.arange(12) / period
    radii = np.linalg.norm(centers, axis=1)
    assert np.allclose(np.arcsin(-centers[:, 1] / radii), 0.1 * np.sin(phase), atol=1e-6)
    assert np.allclose(np.log(radii), 0.05 * np.cos(2 * phase), atol=1e-6)


def test_each_value_has_a_label_a_deviation_and_a_limit():
    free = FreeParameters(names=("elevation", "principal_point"), harmonics=1, modulated=("azimuth", "radius"))
    names = ["elevation", "principal_point", "principal_point", *["azimuth harmonic", "radius harmonic"] * 2]
    assert [name for name, _ in free.labels] == names
    assert len(set(free.labels)) == 7
    assert free.prior_stds.tolist() == [PRIOR_STDS[name] for name in names]
    assert free.limits.tolist() == [LIMITS[name] for name in names]
    assert (free.prior_stds < free.limits).all()


def test_the_reverse_path_is_the_mirror_image(make_cameras):
    path = path_from_cameras(make_cameras(orbit(12, elevation=0.3)), closed=True)
    centers = cameras_on_path(path, FreeParameters(names=()), np.zeros(0)).centers
    mirrored = cameras_on_path(reverse_path(path), FreeParameters(names=()), np.zeros(0))
    assert np.allclose(mirrored.centers, centers * [-1, 1, 1], atol=1e-6)
    assert np.allclose(np.linalg.det(mirrored.rotations), 1)


def test_cameras_look_at_the_origin_even_from_above():
    azimuths, elevations = np.array([0.0, 1.0, -2.0]), np.array([0.0, np.pi / 2, 0.6])
    rotations = look_at_origin(azimuths, elevations)
    assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3))
    expected = on_sphere(azimuths[[0, 2]], elevations[[0, 2]])[:, :3, :3].transpose(0, 2, 1)
    assert np.allclose(rotations[[0, 2]], expected, atol=1e-6)
    assert np.allclose(rotations[1, 2], [0, 1, 0])  # From straight above the optical axis points down.


def test_closed_paths_are_recognised(make_cameras):
    assert is_closed_path(make_cameras(orbit(21)))
    assert not is_closed_path(make_cameras(on_sphere(np.linspace(0, 1.4, 21), np.zeros(21))))
    assert not is_closed_path(make_cameras(orbit(4)))
