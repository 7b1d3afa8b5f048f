"""`img2world eval poses`: clips with known cameras, what is told of them, and the tables."""

import json
from dataclasses import replace

import numpy as np
import pytest

from evaluation.assets import AssetError
from evaluation.pose_metrics import PoseScore
from evaluation.pose_tables import as_json, confusion_lines, mean_lines, read_rows
from evaluation.pose_benchmark import WAYS, PoseRow, evaluate_poses, pose_options
from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import RecipeError
from img2world.core.views import Views
from img2world.video.synthetic import SyntheticVideo


@pytest.fixture(scope="module")
def rows() -> list[PoseRow]:
    options = pose_options(ways=["circle"], doses=["clean"], solvers=["commanded", "orbit"], count=1, seeds=2, size=128)
    return list(evaluate_poses(options))


def test_the_told_path_is_wrong_by_what_it_is_said_to_be(rows):
    told = [row for row in rows if row.solver == "commanded"]
    assert [round(row.score.focal_error, 3) for row in told] == [0.25, -0.2]
    assert len({row.score.median_rotation_deg for row in told}) == 2
    assert all(1 < row.score.median_rotation_deg < 14 for row in told)


def test_a_solver_is_nearer_than_what_was_told(rows):
    for told, found in zip(rows[::2], rows[1::2], strict=True):
        assert (told.case, told.seed, told.dose) == (found.case, found.seed, found.dose)
        assert found.score.auc30 > max(90, told.score.auc30)
        assert found.grade in "AB"
        assert found.figures["px"] < 2
        assert found.seconds > 0
    assert as_json(rows[1])["auc30"] == rows[1].score.auc30


def test_a_refusal_counts_as_wrong():
    options = pose_options(ways=["circle"], doses=["clean"], solvers=["colmap"], count=1, seeds=1, size=64)
    (row,) = evaluate_poses(replace(options))
    assert row.score.total == WAYS["circle"].num_views
    if row.score.placed == 0:
        assert row.score.auc30 == 0
        assert row.used


def test_tables():
    score = PoseScore(
        placed=3, total=4, rra5=50.0, rra15=60.0, rta5=40.0, rta15=80.0, auc30=70.0, median_rotation_deg=2.0,
        median_direction_deg=3.0, focal_error=-0.1,
    )  # fmt: skip
    row = PoseRow(
        case="a", seed=0, way="circle", dose="hard", solver="auto", score=score, grade="B", used="orbit",
        reasons=(), figures={}, seconds=2.0,
    )  # fmt: skip
    better = replace(row, seed=1, score=replace(score, auc30=90.0, placed=4, focal_error=0.3), seconds=4.0)
    lines = list(mean_lines([row, better]))
    assert lines[-1] == "| circle | hard | auto | 2 | 50.0 | 60.0 | 40.0 | 80.0 | 80.0 | 70.0 | 20.0% | 88% | 3.0 |"
    table = list(confusion_lines([row, better, replace(row, grade="")]))
    assert "| B | 1 | 1 |" in table
    assert "| refused | 0 | 1 |" in table
    assert "| A | 0 | 0 |" in table


def test_rows_are_kept_and_not_made_again(rows, tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_rows(path) == []
    path.write_text("".join(json.dumps(as_json(row)) + "\n" for row in rows))
    assert read_rows(path) == rows
    options = pose_options(ways=["circle"], doses=["clean"], solvers=["commanded", "orbit"], count=1, seeds=2, size=128)
    assert list(evaluate_poses(options, known={row.key for row in rows})) == []


def test_unknown_words():
    with pytest.raises(RecipeError, match="there is no cricle") as error:
        pose_options(ways=["cricle"], doses=None, solvers=None)
    assert "circle" in error.value.hint


def test_seeds_give_other_clips(rows):
    assert rows[0].score.median_rotation_deg != rows[2].score.median_rotation_deg
    assert np.unique([row.seed for row in rows]).tolist() == [0, 1]


def test_posed_photos_are_evaluated_without_their_order_and_cameras(tmp_path):
    poses = on_sphere(np.radians(np.linspace(-25, 25, 8)), np.radians(np.linspace(3, 9, 8)))
    intrinsics = np.repeat(intrinsics_from_fov(np.radians(55), 256, 256)[None], 8, 0)
    truth = Cameras(world_from_cam=poses, intrinsics=intrinsics, width=256, height=256)
    room = SyntheticVideo(kind="room").generate(None, truth, seed=0)
    views = Views(
        rgb=room.rgb,
        cameras=truth,
        confidence=np.ones(len(truth), np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="given",
    )
    (tmp_path / "scenes" / "room").mkdir(parents=True)
    views.save(tmp_path / "scenes" / "room")
    options = pose_options(ways=None, doses=None, solvers=["colmap", "commanded"], scenes=tmp_path / "scenes")
    rows = list(evaluate_poses(options))
    assert [(row.case, row.way, row.solver) for row in rows] == [
        ("scenes-room", "photos", "colmap"),
        ("scenes-room", "photos", "commanded"),
    ]
    assert rows[0].score.auc30 > 80
    assert rows[1].score.placed == 0  # nobody told it a path
    assert not list(evaluate_poses(options, known={row.key for row in rows}))
    with pytest.raises(AssetError, match="no posed photos"):
        list(
            evaluate_poses(
                pose_options(ways=None, doses=None, solvers=None, scenes=tmp_path / "scenes" / "room" / "images")
            )
        )
