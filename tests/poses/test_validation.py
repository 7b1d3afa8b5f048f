"""Validation of known cameras by corners of photos and flow of videos, with one camera spoilt."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.views import Views
from img2world.poses.validation import validate_views
from img2world.tracking.tracks import Tracks


@pytest.fixture(scope="module")
def views(room, arc) -> Views:
    """Six views with their true cameras; only the middle of the pictures counts, which limits the work."""
    mask = np.zeros(room.rgb[:6].shape[:3], np.uint8)
    mask[:, 40:105, 50:145] = 255
    return Views(
        mask=mask,
        rgb=room.rgb[:6],
        cameras=arc.select(slice(0, 6)),
        confidence=np.ones(6, np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="colmap",
    )


def turned_away(views: Views, i: int) -> Views:
    """The views with one camera turned by 20 degrees, as if it had been mistaken for another."""
    poses = views.cameras.world_from_cam.copy()
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    poses[i, :3, :3] = poses[i, :3, :3] @ turn
    return replace(views, cameras=replace(views.cameras, world_from_cam=poses.astype(np.float32)))


def test_true_cameras_of_a_video_are_confirmed(views):
    placed = np.array([0, 1, 2, 3, 5, 6])
    graded = validate_views(views, Tracks.empty(), ordered=True, total=6, placed=placed)
    assert graded.report is not None
    assert len(graded) == 6
    assert graded.report.frames == tuple(placed)
    assert graded.report.heldout_px < 0.5
    assert graded.report.tracks > 50
    assert graded.report.grade in "AB"


def test_a_misplaced_photo_is_dropped_and_named(views):
    four = turned_away(views.select(np.arange(4)), 3)
    graded = validate_views(four, Tracks.empty(), ordered=False, total=5, placed=np.array([0, 1, 2, 4]))
    assert graded.report is not None
    assert len(graded) == 3
    assert graded.report.frames == (0, 1, 2)
    assert graded.report.reasons[-1] == "no validation points confirm COLMAP's cameras of frame 4"
    assert graded.report.heldout_px < 0.5


def test_pictures_to_be_ignored_validate_nothing(views, observe, cloud):
    """Then COLMAP's own points are used, and the grade is B at best."""
    own = observe(0.5 * cloud, views.cameras)
    ignored = replace(views, mask=np.zeros_like(views.mask))
    for ordered in (True, False):
        graded = validate_views(ignored, own, ordered=ordered, total=6, placed=np.arange(6))
        assert graded.report is not None
        assert (graded.report.grade, graded.report.tracks) == ("B", 150)
        assert graded.report.reasons == ("no independent points confirm the cameras",)
