"""`img2world doctor` on videos and runs, with its exit codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image as PillowImage

from img2world.core.errors import ImageError, PoseError, RejectedError, RunFolderError
from img2world.export.mp4 import write_mp4
from img2world.pipeline import run
from img2world.poses import auto
from img2world.runs.examination import examine_path
from img2world.runs.recipe import load_recipe
from img2world.runs.source import find_source


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


def test_a_run_stops_with_exit_code_3(call, frozen, tmp_path):
    code, _, stderr = call("run", frozen, "--out", tmp_path / "run")
    assert code == 3
    assert "the doctor rejects the video: frozen" in stderr
    assert "hint: " in stderr
    assert "--anyway" in stderr
    code, stdout, _ = call("doctor", tmp_path / "run")
    assert code == 3
    assert "frozen" in stdout
    code, _, stderr = call("view", tmp_path / "run", "--no-browser")
    assert code == 1
    assert "the run was refused" in stderr
    assert str(tmp_path / "run" / "report.html") in stderr


def pan(photo: np.ndarray, count: int) -> np.ndarray:
    """Return the frames of a camera that only rotates, from which no depth can be found."""
    return np.stack([photo[40:240, 8 * i : 8 * i + 240] for i in range(count)])


@pytest.mark.parametrize("kind", ["rotation only", "too short", "cut"])
def test_video_without_depth_is_refused(call, tmp_path, kind):
    first, second = skimage.data.astronaut(), skimage.data.coffee()
    clips = {
        "rotation only": lambda: pan(first, 14),
        "too short": lambda: pan(first, 2),
        "cut": lambda: np.concatenate([pan(first, 8), pan(second, 8)]),
    }
    write_mp4(clips[kind](), tmp_path / "clip.mp4", 12.0)
    code, _, stderr = call("run", tmp_path / "clip.mp4", "--out", tmp_path / "run")
    assert code == 3
    assert f"the doctor rejects the video: {kind}" in stderr
    # Nothing is invented: no cameras, no scene, no file.
    assert not any((tmp_path / "run" / name).exists() for name in ("views", "scene", "exports"))
    assert json.loads((tmp_path / "run" / "doctor.json").read_text())[0]["kind"] == kind


def test_run_is_examined_by_its_reports(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    found = examine_path(run)
    assert found.cameras == {"solver": "commanded"}
    grade = json.loads((run / "report.json").read_text())["quality"]["grade"]
    assert any(line.startswith(f"world:   quality {grade}: ") for line in found.summary())
    table = json.loads((run / "views" / "transforms.json").read_text())
    (run / "views" / "transforms.json").write_text(
        json.dumps({**table, "pose_report": {"solver": "orbit", "grade": "D", "reasons": ["few points"]}})
    )
    found = examine_path(run)
    assert found.rejected
    assert [line.strip() for line in found.summary()][:2] == ["cameras: grade D, by orbit", "few points"]
    moving = {"solver": "orbit", "grade": "A", "reasons": [], "moving_share": 0.2, "moving_frames": [3, 4]}
    (run / "views" / "transforms.json").write_text(json.dumps({**table, "pose_report": moving}))
    found = examine_path(run)
    assert [finding.line() for finding in found.findings if finding.kind == "moving subject"] == [
        "moving subject at frame 3-4: 20% of the points move together, but not with the rest of the scene (90% sure)"
    ]
    assert not found.rejected


def test_missing_video_is_refused(tmp_path):
    with pytest.raises(ImageError, match="cannot be read"):
        examine_path(tmp_path / "none.mp4")


@pytest.mark.parametrize("name", ["doctor.json", "views/transforms.json"])
@pytest.mark.parametrize("text", ["{", "[1]", '[{"kind": "cut"}]', "3"])
def test_broken_files_of_a_run_are_refused(tmp_path, name, text):
    (tmp_path / "views").mkdir()
    (tmp_path / "run.json").write_text('{"stages": {}}')
    (tmp_path / name).write_text(text)
    with pytest.raises(RunFolderError, match="is broken"):
        examine_path(tmp_path)


def test_a_run_without_cameras_is_not_called_usable(tmp_path, monkeypatch):
    def fail():
        raise PoseError("placed none of 14 frames", hint="h")

    monkeypatch.setattr(auto._Search, "solvers", lambda self: iter([("colmap", fail)]))
    write_mp4(pan(skimage.data.astronaut(), 14), tmp_path / "clip.mp4", 12.0)
    with pytest.raises(RejectedError, match="no cameras could be found") as error:
        run(find_source(tmp_path / "clip.mp4"), load_recipe("video"), tmp_path / "run", anyway=True)
    # The doctor found nothing else to say about it.
    assert "doctor" not in error.value.hint
    (tmp_path / "run" / "doctor.json").write_text("[]")
    found = examine_path(tmp_path / "run")
    assert found.rejected
    assert list(found.summary()) == [
        "no problems in the video",
        "poses failed: no cameras could be found for 14 frames; colmap: placed none of 14 frames",
        "rejected",
    ]


def test_a_run_whose_scene_failed_is_not_finished(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    manifest["stages"]["splat"] = {"state": "failed", "error": "the training diverged", "files": {}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(manifest))
    found = examine_path(tmp_path / "run")
    assert not found.rejected
    assert list(found.summary())[-2:] == ["splat failed: the training diverged", "not finished"]


def test_a_photo_is_examined(tmp_path, picture):
    from PIL import Image as PillowImage

    seen = examine_path(picture)
    assert seen.subject.startswith(("scene (", "object ("))
    assert "usable" in list(seen.summary())
    PillowImage.new("RGB", (800, 600), (20, 20, 20)).save(tmp_path / "dark.png")
    assert "blank" in [finding.kind for finding in examine_path(tmp_path / "dark.png").findings]
