"""Robust fits against SciPy's optimiser and known deviations from a path."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from img2world.core.camera_paths import on_sphere, orbit
from img2world.poses.fit import cauchy_loss, fit_path, levenberg_marquardt, loss_scale
from img2world.poses.path_model import LIMITS, PRIOR_STDS, FreeParameters, path_from_cameras, reverse_path
from img2world.poses.triangulation import reprojection_errors


def curve(x: np.ndarray) -> np.ndarray:
    """Residuals of an exponential and a line, with the minimum near (0.7, -1.2)."""
    t = np.linspace(0, 2, 30)
    return x[0] * np.exp(x[1] * t) + 0.3 * x[0] * t - (0.7 * np.exp(-1.2 * t) + 0.21 * t + 0.02 * np.sin(9 * t))


@pytest.mark.parametrize("bound", [5.0, 1.0])
def test_the_minimum_is_that_of_scipy(bound):
    start, bounds = np.array([0.2, 0.2]), np.full(2, bound)
    expected = least_squares(curve, start, bounds=(-bounds, bounds), xtol=1e-12, ftol=1e-12)
    found = levenberg_marquardt(curve, start, bounds, max_iterations=60)
    assert np.allclose(found, expected.x, atol=1e-3)
    assert abs(found).max() <= bound
    assert np.sum(curve(found) ** 2) == pytest.approx(2 * expected.cost, rel=1e-4)


def test_the_loss_is_scipys_cauchy_loss():
    errors = np.array([0.3, 2.0, 40.0])
    scipy_cost = [least_squares(lambda x, e=e: x * 0 + e, 0.0, loss="cauchy", f_scale=1.5).cost for e in errors]
    assert np.allclose(cauchy_loss(errors, 1.5), 2 * np.array(scipy_cost) / 1.5**2)


def test_the_scale_grows_with_large_frames_only():
    assert loss_scale(128) == loss_scale(256)
    assert loss_scale(512) == 2 * loss_scale(256)


def test_elevation_and_lens_are_found(make_cameras, observe, cloud):
    truth = make_cameras(orbit(16, elevation=0.2), 0.6)
    prior = make_cameras(orbit(16, elevation=0.34), 0.6 * 1.25)
    tracks = observe(cloud, truth, length=6, noise=0.3)
    fit = fit_path(tracks, path_from_cameras(prior, closed=True), FreeParameters())
    assert np.degrees(fit.values[0]) == pytest.approx(np.degrees(-0.14), abs=0.5)
    assert fit.cameras.focal[0, 0] == pytest.approx(truth.intrinsics[0, 0, 0], rel=0.02)
    assert not fit.at_limit


def test_a_good_start_needs_few_iterations(make_cameras, observe, cloud):
    path = path_from_cameras(make_cameras(orbit(12, elevation=0.3)), closed=True)
    tracks = observe(cloud, make_cameras(orbit(12, elevation=0.1)), length=6)
    whole = fit_path(tracks, path, FreeParameters())
    again = fit_path(tracks, path, FreeParameters(), start=whole.values, max_iterations=1)
    assert np.allclose(again.values, whole.values, atol=1e-3)


def test_without_evidence_the_prior_decides(make_cameras, observe):
    """A single point in the axis of rotation says nothing about the elevation."""
    path = path_from_cameras(make_cameras(orbit(12)), closed=True)
    tracks = observe(np.zeros((1, 3)), make_cameras(orbit(12)))
    start = np.array([PRIOR_STDS["elevation"], PRIOR_STDS["focal"]])
    assert np.abs(fit_path(tracks, path, FreeParameters(), start=start).values / start).max() < 0.1


def test_harmonics_are_found_and_the_opposite_direction_reaches_a_limit(make_cameras, observe, cloud):
    phase = np.arange(16) * (2 * np.pi / 16)
    truth = make_cameras(on_sphere(phase, 0.2 + 0.2 * np.sin(phase + 0.4)))
    path = path_from_cameras(make_cameras(orbit(16, elevation=0.2)), closed=True)
    tracks = observe(cloud, truth, length=6, noise=0.3)

    def error(fit):
        return np.median(reprojection_errors(tracks, fit.cameras))

    plain, wavy = fit_path(tracks, path, FreeParameters()), fit_path(tracks, path, FreeParameters(harmonics=1))
    assert error(wavy) < 0.5 < 0.3 * error(plain)
    opposite = fit_path(tracks, reverse_path(path), FreeParameters())
    assert error(opposite) > 5 * error(wavy)
    assert opposite.at_limit
    assert (np.abs(opposite.values) <= [LIMITS["elevation"] + 1e-9, LIMITS["focal"] + 1e-9]).all()
