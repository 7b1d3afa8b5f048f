"""Orbits that were told wrongly, found again in frames that bend and flicker."""

import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import PoseError, RejectedError
from img2world.core.frames import Frames
from img2world.core.views import Views
from img2world.poses.auto import AutoPoses
from img2world.poses.orbit import OrbitPoses
from img2world.video.synthetic import SyntheticVideo

SIZE, COUNT = 160, 20


def circle(elevation_deg: float, fov_deg: float, *, turned: bool = False) -> Cameras:
    poses = orbit(COUNT, elevation=np.radians(elevation_deg))
    return Cameras(
        world_from_cam=np.roll(poses[::-1], 1, 0).copy() if turned else poses,
        intrinsics=np.repeat(intrinsics_from_fov(np.radians(fov_deg), SIZE, SIZE)[None], COUNT, 0),
        width=SIZE,
        height=SIZE,
    )


@pytest.fixture(scope="module")
def frames() -> Frames:
    made = SyntheticVideo().generate(None, circle(12, 40), seed=1)
    flicker = 1 + 0.1 * np.random.default_rng(0).normal(size=(COUNT, 1, 1, 1))
    rgb = np.where(made.alpha[..., None] > 0, np.clip(made.rgb * flicker, 0, 255), 255).astype(np.uint8)
    return Frames(rgb=rgb, times=made.times)


def worst_turn_deg(views: Views) -> float:
    """Largest error of the turn from the first view to another."""
    truth = circle(12, 40).world_from_cam[:, :3, :3].astype(np.float64)
    found = views.cameras.world_from_cam[:, :3, :3].astype(np.float64)
    steps = [np.einsum("ji,vjk->vik", turns[0], turns) for turns in (found, truth)]
    cosine = (np.einsum("vij,vij->v", *steps) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max())


@pytest.fixture(scope="module")
def views(frames) -> Views:
    return OrbitPoses().estimate(frames, circle(20, 32))


def test_a_told_orbit_is_put_right(views):
    assert worst_turn_deg(views) < 1.5
    assert views.cameras.intrinsics[0, 0, 0] == pytest.approx(circle(12, 40).intrinsics[0, 0, 0], rel=0.05)
    assert views.report.grade in "AB"
    assert views.report.placed == COUNT
    assert views.report.margins["opposite direction"] > 0.3
    assert len(views.points) > 100
    assert np.linalg.norm(views.points, axis=1).max() < 0.6
    assert views.alpha is not None


def test_the_report_is_kept_with_the_views(views, tmp_path):
    views.save(tmp_path)
    assert Views.load(tmp_path).report == views.report


def test_the_wrong_direction_is_noticed(frames):
    views = OrbitPoses().estimate(frames, circle(20, 32, turned=True))
    assert worst_turn_deg(views) < 1.5
    assert "reversed" in views.solver


def test_an_untold_orbit_is_found(frames):
    views = AutoPoses().estimate(frames, None, seed=2)
    assert worst_turn_deg(views) < 2.5
    assert views.report.grade in "AB"


def test_two_runs_give_the_same_bits(frames, views):
    again = OrbitPoses().estimate(frames, circle(20, 32))
    assert np.array_equal(again.cameras.world_from_cam, views.cameras.world_from_cam)
    assert np.array_equal(again.points, views.points)


def test_refusals():
    grey = Frames(rgb=np.full((6, 64, 64, 3), 128, np.uint8), times=np.arange(6.0))
    with pytest.raises(PoseError, match="points could be followed"):
        OrbitPoses().estimate(grey, circle(0, 40).select(slice(0, 6)).resized(64, 64))
    with pytest.raises(PoseError, match="no object before a plain background"):
        OrbitPoses().estimate(grey, None)
    with pytest.raises(RejectedError, match="no cameras could be found for 6 frames"):
        AutoPoses().estimate(grey, None)
