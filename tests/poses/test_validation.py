"""Validation of known cameras by corners of photos and flow of videos, with one camera spoilt."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.views import Views
from img2world.poses import validation
from img2world.poses.validation import select_overlapping, validate_views
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


def test_a_video_frame_that_only_far_points_fit_is_dropped(views, monkeypatch):
    """A third of a step too far on its way, which what is near contradicts."""
    poses = views.cameras.world_from_cam.copy()
    poses[3, :3, 3] += 0.3 * (poses[4, :3, 3] - poses[3, :3, 3])
    moved = replace(views, cameras=replace(views.cameras, world_from_cam=poses))
    graded = validate_views(moved, Tracks.empty(), ordered=True, total=6, placed=np.arange(6))
    assert graded.report is not None
    assert graded.report.frames == (0, 1, 2, 4, 5)
    monkeypatch.setattr(validation, "MIN_SHARE", 0.0)
    assert len(validate_views(moved, Tracks.empty(), ordered=True, total=6, placed=np.arange(6))) == 6


def test_a_misplaced_photo_is_dropped_and_named(views):
    four = turned_away(views.select(np.arange(4)), 3)
    graded = validate_views(four, Tracks.empty(), ordered=False, total=5, placed=np.array([0, 1, 2, 4]))
    assert graded.report is not None
    assert len(graded) == 3
    assert graded.report.frames == (0, 1, 2)
    assert graded.report.reasons[-1] == "too few validation points confirm COLMAP's cameras of frame 4"
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


def test_of_many_photos_each_is_compared_with_those_that_share_the_most_points():
    """Views on a line that share the more points the nearer they are."""
    seen_by = [np.arange(start, start + length) for length in (2, 3, 5) for start in range(20 - length + 1)]
    lengths = np.array([len(views) for views in seen_by])
    tracks = Tracks(
        frame_ids=np.concatenate(seen_by), xy=np.zeros((lengths.sum(), 2)), starts=np.cumsum(lengths) - lengths
    )
    pairs = select_overlapping(tracks, 20, np.arange(20), 4)
    assert len(pairs) == len(set(pairs))
    assert {(i, i + step) for i in range(2, 16) for step in (1, 2)} <= set(pairs)
    assert max(j - i for i, j in pairs) <= 4
    # Nobody is compared with what it shares nothing with, however few are left.
    assert select_overlapping(tracks, 20, np.array([0]), 15) == [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_photos_that_their_nearest_do_not_confirm_are_compared_with_more(views, observe, cloud, monkeypatch):
    """The first comparison is made to find nothing of one view; the second compares it with more."""
    asked = []

    def track(rgb, masks, pairs, **options):
        asked.append((len(rgb), pairs))
        found = observe(0.5 * cloud, views.cameras)
        return found if len(asked) > 1 else found.in_frames(np.arange(5), 6)

    monkeypatch.setattr(validation, "MAX_ALL_PAIRS", 3)
    monkeypatch.setattr(validation, "track_by_features", track)
    own = observe(0.5 * cloud, views.cameras)
    graded = validate_views(views, own, ordered=False, total=6, placed=np.arange(6))
    assert len(graded) == 6
    assert [count for count, _ in asked] == [6, 6]
    assert asked[1][1] == [(i, 5) for i in range(5)]
