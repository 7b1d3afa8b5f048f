import json
from dataclasses import replace

import pytest
from PIL import Image as PillowImage

from evaluation.orbit_benchmark import OrbitOptions, OrbitRow, evaluate_orbits
from evaluation.orbit_tables import mean_lines, mean_rows, mean_table, sample_table
from img2world.core.errors import Img2WorldError, RecipeError, RunFolderError

FAST = "synthetic:supersample=1,num_parts=2"
"""A backend that follows any path at once; what it shows does not matter here."""


@pytest.fixture(scope="module")
def options(asset_folder):
    return OrbitOptions(
        backends=(FAST,), baselines=("copy",), assets=asset_folder, count=1, rooms=1, size=64, flip=False
    )


@pytest.fixture(scope="module")
def evaluated(options, tmp_path_factory):
    out = tmp_path_factory.mktemp("orbit")
    return out, list(evaluate_orbits(options, out))


def test_every_sample_path_and_method_has_a_row_and_a_sheet(evaluated):
    out, rows = evaluated
    assert [(row.sample, row.path, row.method) for row in rows] == [
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


def test_only_new_rows_are_measured(evaluated, options, monkeypatch):
    out, rows = evaluated
    monkeypatch.setattr("evaluation.samples.make_object_sample", None)
    monkeypatch.setattr("evaluation.samples.make_room_sample", None)
    assert list(evaluate_orbits(options, out)) == rows
    monkeypatch.undo()
    more = list(evaluate_orbits(replace(options, baselines=("copy", "billboard"), rooms=0), out))
    assert [row.method for row in more if row not in rows] == ["billboard", "billboard"]


def test_failing_backend_gives_rows_with_the_error(asset_folder, tmp_path):
    # The file backend has no file to read.
    options = OrbitOptions(backends=("file",), baselines=(), assets=asset_folder, count=1, rooms=0, size=64, flip=False)
    rows = list(evaluate_orbits(options, tmp_path))
    assert len(rows) == 2
    assert all(row.error and not row.metrics for row in rows)
    assert [mean.failed for mean in mean_rows(rows)] == [1, 1]


def test_bad_options_and_broken_rows_raise(asset_folder, tmp_path):
    with pytest.raises(RecipeError, match="baseline cpoy"):
        OrbitOptions(baselines=("cpoy",))
    with pytest.raises(RecipeError, match="rung"):
        OrbitOptions(ladder=("true dept",))
    with pytest.raises(Img2WorldError, match="size is 20"):
        OrbitOptions(size=20)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "ball.json").write_text("[{")
    options = OrbitOptions(baselines=("copy",), assets=asset_folder, count=1, rooms=0, size=64, flip=False)
    with pytest.raises(RunFolderError, match="rows cannot be read"):
        list(evaluate_orbits(options, tmp_path))


def test_tables_hold_the_means(evaluated):
    _, rows = evaluated
    means = {(mean.path, mean.method): mean for mean in mean_rows(rows)}
    assert means["arc", "copy"].metrics["psnr"] == pytest.approx(rows[4].metrics["psnr"])
    first = OrbitRow(sample="a", path="static", method="m", task="m", kind="object", metrics={"psnr": 1.0})
    two = [first, replace(first, sample="b", metrics={"psnr": 3.0})]
    assert mean_rows(two)[0].metrics == {"psnr": 2.0}
    assert list(mean_lines(two))[2].startswith("| static | m | 2 | 2.00 |")
    assert mean_table(rows).row_count == 6
    assert sample_table(rows[:4]).row_count == 4


def test_ladder_gives_rows_of_its_own(asset_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation.ladder.VIDEO_VIEWS", 12)
    options = OrbitOptions(
        backends=(FAST,),
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
    rows = list(evaluate_orbits(options, tmp_path))
    assert [row.method for row in rows if row.path == "ladder"] == [f"photo ({FAST}), splat"]
    kept = json.loads((tmp_path / "rows" / "ball.json").read_text())
    assert len(kept) == 3
