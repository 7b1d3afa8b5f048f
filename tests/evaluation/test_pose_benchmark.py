"""Clips with known cameras, the prior path given to solvers, posed photos, and the tables."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from evaluation import pose_benchmark
from evaluation.assets import AssetError
from evaluation.pose_benchmark import PATHS, ClipId, PoseOptions, PoseRow, evaluate_poses
from evaluation.pose_metrics import PoseScore
from evaluation.pose_tables import confusion_lines, json_from_row, mean_lines, read_rows
from img2world.core.errors import PoseError, RecipeError, RunFolderError
from img2world.core.progress import silent
from img2world.core.views import Views
from img2world.poses.commanded import CommandedPoses
from img2world.video.synthetic import SyntheticVideo

OPTIONS = PoseOptions(paths=("circle",), degradations=("clean",), solvers=("commanded",), count=1, seeds=2, size=64)
SCORE = PoseScore(
    placed=3, total=4, rra5=50.0, rra15=60.0, rta5=40.0, rta15=80.0, auc30=70.0, median_rotation_deg=2.0,
    median_direction_deg=3.0, focal_error=-0.1,
)  # fmt: skip
ROW = PoseRow(
    clip=ClipId(sample="a", seed=0, path="circle", degradation="hard"), solver="auto", score=SCORE, grade="B",
    outcome="orbit", reasons=("few tracks",), figures={"px": 0.5}, seconds=2.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[PoseRow]:
    return list(evaluate_poses(OPTIONS))


def test_prior_path_has_the_declared_errors(rows):
    assert [row.clip.seed for row in rows] == [0, 1]
    assert [round(row.score.focal_error, 3) for row in rows] == [0.25, -0.2]
    errors = [row.score.median_rotation_deg for row in rows]
    assert errors[0] != errors[1]
    assert all(1 < error < 14 for error in errors)


def test_solver_improves_on_the_prior_path():
    prior, solved = evaluate_poses(replace(OPTIONS, solvers=("commanded", "orbit"), seeds=1, size=128))
    assert prior.clip == solved.clip
    assert solved.score.auc30 > max(90, prior.score.auc30)
    assert solved.grade in "AB"
    assert solved.figures["px"] < 2
    assert solved.seconds > 0


def test_each_degradation_starts_from_clean_frames(monkeypatch):
    """Frames are not degraded twice when several degradations are measured."""
    seen = {}

    @dataclass(frozen=True)
    class Recorder(CommandedPoses):
        def estimate(self, frames, trajectory, *, seed=0, progress=silent):
            seen.setdefault(len(seen), frames.rgb)
            raise PoseError("recorded", hint="")

    monkeypatch.setitem(pose_benchmark.SOLVERS, "commanded", Recorder())
    both = replace(OPTIONS, degradations=("mild", "hard"), seeds=1)
    assert [row.outcome for row in evaluate_poses(both)] == ["recorded"] * 2
    list(evaluate_poses(replace(both, degradations=("hard",))))
    np.testing.assert_array_equal(seen[1], seen[2])
    assert (seen[0] != seen[1]).any()


def test_refusal_counts_as_wrong():
    (row,) = evaluate_poses(replace(OPTIONS, solvers=("colmap",), seeds=1))
    assert row.score.total == PATHS["circle"].num_views
    if row.score.placed == 0:
        assert row.score.auc30 == 0
        assert row.outcome


def test_tables_hold_means_and_counts():
    better = replace(ROW, score=replace(SCORE, auc30=90.0, placed=4, focal_error=0.3), seconds=4.0)
    lines = list(mean_lines([ROW, better]))
    assert lines[-1] == "| circle | hard | auto | 2 | 50.0 | 60.0 | 40.0 | 80.0 | 80.0 | 70.0 | 20.0% | 88% | 3.0 |"
    table = list(confusion_lines([ROW, better, replace(ROW, grade="")]))
    assert "| B | 1 | 1 |" in table
    assert "| refused | 0 | 1 |" in table
    assert "| A | 0 | 0 |" in table


def test_kept_rows_are_not_measured_again(rows, tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_rows(path) == []
    path.write_text("".join(json.dumps(json_from_row(row)) + "\n" for row in [*rows, ROW]))
    assert read_rows(path) == [*rows, ROW]
    assert list(evaluate_poses(OPTIONS, known={row.key for row in rows})) == []
    path.write_text('{"case": "a"}\n')
    with pytest.raises(RunFolderError, match="rows cannot be read"):
        read_rows(path)


def test_unknown_names_raise_with_near_misses():
    with pytest.raises(RecipeError, match="no path cricle") as error:
        PoseOptions(paths=("cricle",))
    assert "circle" in error.value.hint


def test_posed_photos_are_given_without_order_and_cameras(tmp_path, monkeypatch):
    spec = replace(PATHS["room"], num_views=4)
    truth = pose_benchmark._make_true_cameras(spec, 64, seed=0)
    room = SyntheticVideo(kind="room", supersample=1).generate(None, truth, seed=0)
    views = Views(
        rgb=room.rgb,
        cameras=truth,
        confidence=np.ones(len(truth), np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="given",
    )
    folder = tmp_path / "scenes" / "room"
    folder.mkdir(parents=True)
    views.save(folder)

    @dataclass(frozen=True)
    class Solver(CommandedPoses):
        """Knows the true cameras of all photos but the last."""

        def estimate(self, frames, trajectory, *, seed=0, progress=silent):
            assert trajectory is frames.cameras is None
            assert not frames.ordered
            return views.select(np.arange(3))

    monkeypatch.setitem(pose_benchmark.SOLVERS, "colmap", Solver())
    options = PoseOptions(solvers=("colmap", "commanded"), scenes=tmp_path / "scenes")
    rows = list(evaluate_poses(options))
    clip = ClipId(sample="scenes-room", seed=0, path="photos", degradation="as is")
    assert [row.key for row in rows] == [(clip, "colmap"), (clip, "commanded")]
    assert (rows[0].score.placed, rows[0].score.auc30) == (3, pytest.approx(50))  # Three of six pairs.
    assert rows[1].score.placed == 0  # There is no prior path to follow.
    assert not list(evaluate_poses(options, known={row.key for row in rows}))
    with pytest.raises(AssetError, match="no posed photos"):
        list(evaluate_poses(replace(options, scenes=folder / "images")))
