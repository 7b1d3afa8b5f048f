"""Refusals, and the commands that they name."""

import json
import warnings

import pytest

from img2world.core.pose_report import PoseReport
from img2world.doctor.findings import VideoFinding
from img2world.runs.folder import RunFolder
from img2world.runs.recipe import load_recipe
from img2world.runs.refusals import check_cameras, rejected_video

STILL = VideoFinding(
    kind="still camera", severity="reject", frames=(), sure=0.9, found="it stands", advice="move the camera"
)


@pytest.fixture
def folder(tmp_path):
    with RunFolder.open(tmp_path / "run") as folder:
        folder.manifest["source"] = {"kind": "video", "path": "/clips/a dancer.mp4", "sha256": ""}
        yield folder


def test_what_a_still_camera_shows_can_be_seen_in_motion_all_the_same(folder):
    hint = rejected_video(folder, load_recipe("video"), [STILL]).hint
    assert hint.splitlines()[-1].endswith("img2world run '/clips/a dancer.mp4' --recipe moving --anyway")
    # The run itself is one of that recipe already.
    assert "--recipe moving" not in rejected_video(folder, load_recipe("moving"), [STILL]).hint


def test_a_video_in_which_something_moves_names_the_recipe_for_it(folder):
    report = PoseReport(
        solver="colmap", grade="A", reasons=(), frames=(0, 1, 2), total=3, tracks=200, heldout_px=0.4, inlier_share=0.9,
        parallax_deg=9.0, focal_at_limit=False, moving_share=0.2, moving_frames=(1, 2), moving_masked=True,
    )  # fmt: skip
    (folder.path / "views").mkdir()
    (folder.path / "views" / "transforms.json").write_text(json.dumps({"pose_report": report.as_json()}))
    with pytest.warns(UserWarning, match=r"in motion: img2world run '/clips/a dancer.mp4' --recipe moving$"):
        check_cameras(folder, load_recipe("video"), anyway=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_cameras(folder, load_recipe("moving"), anyway=False)
