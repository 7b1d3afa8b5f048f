"""Grades of cameras that are right, nearly right or wrong by construction."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.views import Views
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.estimate import PoseEstimate
from img2world.poses.grade import THRESHOLDS, Measurements, assign_grade, grade_views, make_report
from img2world.tracking.tracks import Tracks

FRAMES = 8


@pytest.fixture
def cameras(make_cameras):
    return make_cameras(on_sphere(np.radians(5) * np.arange(FRAMES), np.full(FRAMES, 0.2)))


@pytest.fixture
def estimate(cameras) -> PoseEstimate:
    return PoseEstimate(solver="x", cameras=CameraParameters.from_cameras(cameras), placed=np.arange(FRAMES))


PERFECT = Measurements(placed=1.0, error_px=0.1, inliers=1.0, parallax_deg=20.0, num_tracks=500, at_limit=False)


def test_perfect_measurements_are_graded_a():
    assert assign_grade(PERFECT) == ("A", ())


@pytest.mark.parametrize(
    ("change", "grade", "reason"),
    [
        ({"placed": 0.92}, "B", "92% of the frames are placed, A needs 95%"),
        ({"num_tracks": 60}, "B", "60 validation points, A needs 100"),
        ({"error_px": 3.0}, "C", "the median reprojection error is 3.0 px, B needs 2.2 px"),
        ({"inliers": 0.2}, "C", "20% of the validation points fit, B needs 40%"),
        ({"parallax_deg": 2.0}, "C", "the median parallax is 2.0 degrees, B needs 3"),
        ({"parallax_deg": 1.0}, "D", "the median parallax is 1.0 degrees, C needs 1.5"),
        ({"margins": {"opposite direction": 0.3}}, "B", "the opposite direction fits only 30% worse, A needs 50%"),
        ({"caveat": "nobody knows"}, "C", "nobody knows"),
        ({"margins": {"half the focal length": 0.01}}, "C", "half the focal length fits as well (+1.0%), B needs +2%"),
        ({"at_limit": True}, "C", "the focal length or another parameter reached its limit"),
    ],
)
def test_what_is_missing_lowers_the_grade_and_is_named(change, grade, reason):
    assert assign_grade(replace(PERFECT, **change)) == (grade, (reason,))


def test_thresholds_become_more_lenient():
    for strict, lenient in pairwise(THRESHOLDS):
        assert strict.min_placed > lenient.min_placed
        assert strict.max_error_px < lenient.max_error_px


def test_a_report_measures_errors_in_frames_256_pixels_wide(estimate, cameras, observe, cloud):
    tracks = observe(cloud, cameras, noise=1.5)
    report = make_report(estimate, tracks, total=FRAMES, width=256)
    assert report.grade in "AB"
    # The median length of a Gaussian 2-vector is 1.177 standard deviations; the point takes up some of it.
    assert 1.2 < report.heldout_px < 1.5 * 1.177
    assert report.parallax_deg == pytest.approx(35, abs=8)
    assert (report.tracks, report.placed, report.total) == (150, FRAMES, FRAMES)
    double = replace(
        estimate,
        cameras=replace(
            estimate.cameras, focal=2 * estimate.cameras.focal, principal_point=2 * estimate.cameras.principal_point
        ),
    )
    large = Tracks(frame_ids=tracks.frame_ids, xy=2 * tracks.xy, starts=tracks.starts)
    assert make_report(double, large, total=FRAMES, width=512).heldout_px == pytest.approx(report.heldout_px)


def test_wrong_cameras_are_rejected(estimate, make_cameras, observe, cloud):
    elsewhere = make_cameras(on_sphere(np.radians(5) * np.arange(FRAMES)[::-1], np.linspace(-0.6, 0.9, FRAMES)))
    assert make_report(estimate, observe(cloud, elsewhere), total=FRAMES, width=256).grade == "D"
    assert make_report(estimate, Tracks.empty(), total=FRAMES, width=256).grade == "D"


def test_moving_frames_are_counted_as_they_came(cameras, observe):
    points = np.random.default_rng(0).uniform(-0.25, 0.25, (400, 3))
    moving = np.repeat(points[:, None], FRAMES, 1)
    moving[(points[:, 0] > 0.05) & (points[:, 1] > 0.05), :, 1] -= 0.06 * np.linspace(0, 1, FRAMES)
    placed = np.arange(FRAMES) + 2  # The first two of ten frames were not placed.
    estimate = PoseEstimate(solver="x", cameras=CameraParameters.from_cameras(cameras), placed=placed)
    report = make_report(estimate, observe(moving, cameras, noise=0.5), total=10, width=256)
    assert report.frames == report.moving_frames == tuple(range(2, 10))
    assert 0.08 < report.moving_share < 0.3


def test_views_are_graded_by_their_own_cameras(cameras, observe, cloud):
    views = Views(
        rgb=np.zeros((FRAMES, 256, 256, 3), np.uint8),
        cameras=cameras,
        confidence=np.ones(FRAMES, np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="somehow",
    )
    graded = grade_views(views, observe(cloud, cameras), total=FRAMES, placed=np.arange(FRAMES), caveat="unsure")
    assert graded.report is not None
    assert (graded.report.solver, graded.report.grade, graded.report.reasons) == ("somehow", "C", ("unsure",))
