"""Which solvers are tried, in which order, and which result is kept."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.errors import PoseError, RejectedError
from img2world.core.frames import Frames
from img2world.core.pose_report import PoseReport
from img2world.core.views import Views
from img2world.poses import auto
from img2world.poses.auto import AutoPoses

GRAY = Frames(rgb=np.full((4, 64, 64, 3), 128, np.uint8), times=np.arange(4.0))


def test_frames_with_cameras_keep_them(room, arc):
    views = AutoPoses().estimate(replace(room, cameras=arc), None)
    assert views.cameras is arc
    assert views.solver == "commanded"


def test_a_requested_path_is_refined(room, arc, make_cameras, pose_errors):
    """The truth has another lens, and waves in its elevation."""
    views = AutoPoses().estimate(room, replace(arc, intrinsics=arc.intrinsics * np.float32([[1.2], [1.2], [1]])))
    assert views.solver.startswith("orbit")
    assert views.report.grade in "AB"
    assert pose_errors(views.cameras, arc)[0] < 2
    assert views.cameras.intrinsics[0, 0, 0] == pytest.approx(arc.intrinsics[0, 0, 0], rel=0.05)


def test_videos_and_photos_without_texture_are_rejected_by_the_solvers_that_suit_them():
    with pytest.raises(RejectedError) as caught:
        AutoPoses().estimate(GRAY, None)
    assert str(caught.value) == (
        "no cameras could be found for 4 frames; colmap: COLMAP placed none of 4 frames; "
        "flow-colmap: COLMAP (incremental) placed none of 4 frames by optical flow"
    )
    with pytest.raises(RejectedError) as caught:
        AutoPoses().estimate(replace(GRAY, ordered=False), None)
    assert str(caught.value) == "no cameras could be found for 4 photos; colmap: COLMAP placed none of 4 photos"


def test_options_reach_the_solvers():
    photos = replace(GRAY, ordered=False)
    with pytest.raises(RejectedError, match="there are 4 photos, COLMAP needs at least 5"):
        AutoPoses(min_views=5).estimate(photos, None)
    with pytest.raises(RejectedError, match="longer than 1e-09 seconds"):
        AutoPoses(time_limit=1e-9).estimate(photos, None)


def test_an_unconfirmed_path_is_all_that_is_left(make_circle):
    views = AutoPoses().estimate(GRAY, make_circle(0, 40).select(slice(0, 4)))
    assert views.report is not None
    assert (views.report.solver, views.report.grade) == ("commanded", "D")
    assert np.allclose(views.confidence, 0.1)
    assert views.report.reasons[-2:] == (
        "orbit: only 0 points could be followed through the frames, needs 30",
        "flow-colmap: COLMAP (incremental) placed none of 4 frames by optical flow",
    )


def solver(room, arc, name: str, grade: str, *, error_px: float = 1.0):
    """A solver that returns views with the given grade."""
    views = AutoPoses().estimate(replace(room, cameras=arc), None)
    report = PoseReport(
        solver=name, grade=grade, reasons=("own",), frames=tuple(range(len(arc))), total=len(arc), tracks=100,
        heldout_px=error_px, inlier_share=1.0, parallax_deg=9.0, focal_at_limit=False,
    )  # fmt: skip
    return name, lambda: replace(views, report=report)


def failing():
    raise PoseError("nothing", hint="none")


@pytest.mark.parametrize(
    ("grades", "chosen", "reasons"),
    [
        ({"first": ("B", 1.0), "second": ("A", 1.0)}, "first", ("own",)),  # B is good enough to stop
        ({"first": ("C", 1.0), "second": ("A", 1.0)}, "second", ("own", "tried first: C", "broken: nothing")),
        ({"first": ("C", 2.0), "second": ("C", 1.0)}, "second", ("own", "tried first: C", "broken: nothing")),
        ({"first": ("C", 1.0), "second": ("D", 0.1)}, "first", ("own", "tried second: D", "broken: nothing")),
    ],
)
def test_the_first_good_result_or_else_the_best_is_kept(room, arc, monkeypatch, grades, chosen, reasons):
    made = [solver(room, arc, name, grade, error_px=error) for name, (grade, error) in grades.items()]
    monkeypatch.setattr(auto._Search, "solvers", lambda self: iter([made[0], ("broken", failing), made[1]]))
    monkeypatch.setattr(auto, "with_second_opinion", lambda views, **_: views)
    views: Views = AutoPoses().estimate(room, None)
    assert views.report is not None
    assert (views.report.solver, views.report.reasons) == (chosen, reasons)


def test_of_equal_grades_the_solver_nearer_to_the_requested_path_wins(room, arc, monkeypatch):
    made = [solver(room, arc, "near", "C", error_px=2.0), solver(room, arc, "far", "C", error_px=1.0)]
    monkeypatch.setattr(auto._Search, "solvers", lambda self: iter(made))
    assert AutoPoses().estimate(room, arc).report.solver == "near"
