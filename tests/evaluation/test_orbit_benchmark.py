import json
from dataclasses import replace

import pytest
from PIL import Image as PillowImage

from evaluation.orbit_benchmark import OrbitOptions, Row, evaluate
from evaluation.orbit_tables import case_table, markdown, mean_rows, mean_table
from img2world.core.errors import Img2WorldError, RecipeError, RunFolderError

FAST = "synthetic:supersample=1,num_parts=2"
"""It follows any path at once; what it shows plays no part here."""


@pytest.fixture(scope="module")
def options(asset_folder):
    return OrbitOptions(models=(FAST,), baselines=("copy",), assets=asset_folder, count=1, rooms=1, size=64, flip=False)


@pytest.fixture(scope="module")
def evaluated(options, tmp_path_factory):
    out = tmp_path_factory.mktemp("eval")
    return out, list(evaluate(options, out))


def test_every_case_path_and_model_has_a_row_and_a_sheet(evaluated):
    out, rows = evaluated
    assert [(row.case, row.path, row.model) for row in rows] == [
        ("ball", "static", "copy"),
        ("ball", "static", FAST),
        ("ball", "dynamic", "copy"),
        ("ball", "dynamic", FAST),
        ("room-000", "arc", "copy"),
        ("room-000", "arc", FAST),
    ]
    assert not any(row.error for row in rows)
    assert all({"psnr", "ssim", "flicker"} <= set(row.metrics) for row in rows)
    sheets = sorted(path.name for path in (out / "sheets").iterdir())
    assert len(sheets) == 6
    assert PillowImage.open(out / "sheets" / "ball.static.copy.png").size == (7 * 64, 2 * 64)


def test_what_is_there_is_not_made_again_and_what_is_new_is(evaluated, options, monkeypatch):
    out, rows = evaluated
    monkeypatch.setattr("evaluation.samples.object_case", None)
    monkeypatch.setattr("evaluation.samples.room_case", None)
    assert list(evaluate(options, out)) == rows
    monkeypatch.undo()
    more = list(evaluate(replace(options, baselines=("copy", "billboard"), rooms=0), out))
    assert [row.model for row in more if row not in rows] == ["billboard", "billboard"]


def test_a_model_that_fails_makes_a_row_that_says_why(asset_folder, tmp_path):
    # The file backend has no file to read.
    options = OrbitOptions(models=("file",), baselines=(), assets=asset_folder, count=1, rooms=0, size=64, flip=False)
    rows = list(evaluate(options, tmp_path))
    assert len(rows) == 2
    assert all(row.error and not row.metrics for row in rows)
    assert [mean.failed for mean in mean_rows(rows)] == [1, 1]


def test_bad_options_and_broken_results_are_said_in_one_line(asset_folder, tmp_path):
    with pytest.raises(RecipeError, match="baseline cpoy"):
        OrbitOptions(baselines=("cpoy",))
    with pytest.raises(RecipeError, match="rung"):
        OrbitOptions(ladder=("true dept",))
    with pytest.raises(Img2WorldError, match="size is 20"):
        OrbitOptions(size=20)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "ball.json").write_text("[{")
    options = OrbitOptions(baselines=("copy",), assets=asset_folder, count=1, rooms=0, size=64, flip=False)
    with pytest.raises(RunFolderError, match="kept results"):
        list(evaluate(options, tmp_path))


def test_tables_hold_the_means(evaluated):
    _, rows = evaluated
    means = {(mean.path, mean.model): mean for mean in mean_rows(rows)}
    assert means["arc", "copy"].metrics["psnr"] == pytest.approx(rows[4].metrics["psnr"])
    two = [Row(case=c, path="static", model="m", task="m", kind="object", metrics={"psnr": p}) for c, p in ("a1", "b3")
           for p in [float(p)]]  # fmt: skip
    assert mean_rows(two)[0].metrics == {"psnr": 2.0}
    assert markdown(two)[2].startswith("| static | m | 2 | 2.00 |")
    assert mean_table(rows).row_count == 6
    assert case_table(rows[:4]).row_count == 4


def test_the_ladder_is_a_path_of_its_own(asset_folder, tmp_path):
    options = OrbitOptions(
        models=(FAST,),
        baselines=(),
        assets=asset_folder,
        count=1,
        rooms=0,
        size=64,
        flip=False,
        ladder=("photo",),
        mesh=False,
        changes=("splat.steps=20", "splat.max_gaussians=500"),
    )
    rows = list(evaluate(options, tmp_path))
    assert [row.model for row in rows if row.path == "ladder"] == [f"photo ({FAST}), splat"]
    kept = json.loads((tmp_path / "rows" / "ball.json").read_text())
    assert len(kept) == 3
