"""`img2world doctor` on videos and runs, with its exit codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import ImageError
from img2world.examination import examine_path
from img2world.export.mp4 import write_mp4


@pytest.fixture
def frozen(tmp_path) -> Path:
    small = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    picture = np.asarray(PillowImage.fromarray(small).resize((128, 128)))
    write_mp4(np.repeat(picture[None], 10, 0), tmp_path / "frozen.mp4", 12.0)
    return tmp_path / "frozen.mp4"


def test_a_frozen_video_is_rejected_with_exit_code_3(command, frozen):
    done = command("doctor", frozen)
    assert done.returncode == 3
    assert "reject   frozen" in done.stdout
    assert done.stdout.endswith("rejected\n")
    lines = [json.loads(line) for line in command("doctor", frozen, "--json").stdout.splitlines()]
    assert lines[0]["kind"] == "frozen"
    assert lines[0]["advice"]
    assert lines[-1]["rejected"]


def test_a_run_stops_with_exit_code_3(command, frozen, tmp_path):
    done = command("run", frozen, "--out", tmp_path / "run")
    assert done.returncode == 3
    assert "the doctor rejects the video: frozen" in done.stderr
    assert "hint: " in done.stderr
    assert "--anyway" in done.stderr
    again = command("doctor", tmp_path / "run")
    assert again.returncode == 3
    assert "frozen" in again.stdout


def test_a_run_is_told_by_its_reports(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    found = examine_path(run)
    assert found.cameras == {"solver": "commanded"}
    table = json.loads((run / "views" / "transforms.json").read_text())
    (run / "views" / "transforms.json").write_text(
        json.dumps({**table, "pose_report": {"solver": "orbit", "grade": "D", "reasons": ["few points"]}})
    )
    found = examine_path(run)
    assert found.rejected
    assert [line.strip() for line in found.summary()][:2] == ["cameras: grade D, by orbit", "few points"]


def test_what_is_no_video(tmp_path):
    with pytest.raises(ImageError, match="cannot be read"):
        examine_path(tmp_path / "none.mp4")
