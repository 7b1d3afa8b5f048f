"""Cameras in even steps around an object, found by its outlines."""

import numpy as np
import pytest

from evaluation.moving_scenes import make_scene, render_scene
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import silent
from img2world.poses import ring
from img2world.poses.ring import Ring, ring_views


def frames_of(truth: Ring, count: int, times: tuple[float, ...]) -> Frames:
    cameras, index = truth.cameras(count, 64, 64), np.tile(np.arange(count), len(times))
    seen = render_scene(make_scene("hinged box", 0), cameras.select(index), np.repeat(times, count))
    return Frames(
        rgb=seen.views.rgb, alpha=seen.views.alpha, times=seen.times, ordered=False, viewpoints=index, is_timed=True
    )


@pytest.mark.slow
def test_elevation_lens_and_direction_follow_from_the_outlines(monkeypatch):
    # Fewer starts, so that it takes seconds; the truth is none of them.
    monkeypatch.setattr(ring, "ELEVATIONS_DEG", (0.0, 30.0))
    monkeypatch.setattr(ring, "FOVS_DEG", (34.0,))
    truth = Ring(elevation_deg=12.0, fov_deg=38.0, direction=-1)
    views = ring_views(frames_of(truth, 6, (0.0, 0.6)), 6, silent)
    assert views.report is not None
    assert (views.report.grade, len(views)) == ("C", 6)
    assert "even steps" in views.report.reasons[0]
    expected = truth.cameras(6, 64, 64)
    turn = np.einsum("vji,vjk->vik", expected.world_from_cam[:, :3, :3], views.cameras.world_from_cam[:, :3, :3])
    angles = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert angles.max() < 6
    assert views.cameras.intrinsics[0, 0, 0] == pytest.approx(expected.intrinsics[0, 0, 0], rel=0.2)
    assert len(views.points) > 100


def test_too_few_viewpoints_and_missing_ones_are_no_circle():
    frames = frames_of(Ring(elevation_deg=0.0, fov_deg=34.0, direction=1), 4, (0.0,))
    with pytest.raises(PoseError, match="3 viewpoints are no circle"):
        ring_views(frames.select(np.arange(3)), 3, silent)
    with pytest.raises(PoseError, match="4 viewpoints are no circle"):
        ring_views(frames.select(np.arange(3)), 4, silent)
