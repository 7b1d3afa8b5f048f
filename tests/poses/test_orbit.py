"""Orbits requested inexactly, found again in frames that flicker."""

import numpy as np
import pytest

from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.views import Views
from img2world.poses import orbit
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.estimate import PoseEstimate
from img2world.poses.orbit import OrbitPoses, mask_background, view_confidence
from img2world.tracking.flow import prepare_gray_frames
from img2world.tracking.object_masks import object_masks
from img2world.tracking.tracks import Tracks


def test_an_inexact_orbit_is_refined(refined, circle, pose_errors):
    assert pose_errors(refined.cameras, circle)[0] < 2
    assert refined.cameras.intrinsics[0, 0, 0] == pytest.approx(circle.intrinsics[0, 0, 0], rel=0.07)
    assert refined.report.grade in "AB"
    assert refined.report.placed == len(circle)
    assert refined.report.margins["opposite direction"] > 0.3
    assert len(refined.points) > 100
    assert np.linalg.norm(refined.points, axis=1).max() < 0.6


def test_views_are_cut_out(refined, turntable):
    """White where the object is not, and its own colours inside."""
    assert refined.alpha is not None
    inside = refined.alpha == 255
    assert 0.05 < inside.mean() < 0.5
    assert np.array_equal(refined.rgb[inside], turntable.rgb[inside])
    assert (refined.rgb[refined.alpha == 0] == 255).all()
    given = Frames(rgb=turntable.rgb, alpha=refined.alpha, times=turntable.times)
    rgb, alpha = mask_background(given, object_masks(given))
    assert rgb is given.rgb
    assert alpha is given.alpha


def test_the_report_is_kept_with_the_views(refined, tmp_path):
    refined.save(tmp_path)
    assert Views.load(tmp_path).report == refined.report


def test_confidence_is_the_fraction_of_observations_on_tracks_that_fit(circle, observe, cloud):
    tracks = observe(cloud, circle)
    xy = tracks.xy.reshape(len(cloud), len(circle), 2).copy()
    xy[:30] += np.random.default_rng(0).normal(0, 20, (30, len(circle), 2))
    tracks = Tracks(frame_ids=tracks.frame_ids, xy=xy.reshape(-1, 2), starts=tracks.starts)
    cameras = CameraParameters.from_cameras(circle)
    estimate = PoseEstimate(solver="orbit", cameras=cameras, placed=np.arange(len(circle)))
    assert np.allclose(view_confidence(tracks, estimate, 128), 120 / (150 + 50))


@pytest.mark.parametrize("prior", [True, False])
def test_the_number_of_harmonics_is_an_option(circle, turntable, monkeypatch, prior):
    def solve(*_, max_harmonics):
        raise PoseError(f"at most {max_harmonics} harmonics", hint="")

    monkeypatch.setattr(orbit, "fit_prior_path" if prior else "search_circle", solve)
    gray_frames = prepare_gray_frames(turntable.rgb, None)
    with pytest.raises(PoseError, match="at most 1 harmonics"):
        OrbitPoses(max_harmonics=1).find_path(turntable, gray_frames, circle if prior else None)


def test_refusals(make_circle, turntable):
    grey = Frames(rgb=np.full((6, 64, 64, 3), 128, np.uint8), times=np.arange(6.0))
    with pytest.raises(PoseError, match="only 0 points could be followed"):
        OrbitPoses().estimate(grey, make_circle(0, 40).select(slice(0, 6)))
    with pytest.raises(PoseError, match="no object in front of a plain background"):
        OrbitPoses().estimate(grey, None)
    photos = Frames(rgb=turntable.rgb, times=turntable.times, ordered=False)
    with pytest.raises(PoseError, match="15 photos are not a camera path"):
        OrbitPoses().estimate(photos, make_circle(0, 40))
