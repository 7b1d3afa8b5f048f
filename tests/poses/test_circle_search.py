"""Circles found in rendered frames without a path."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.errors import PoseError
from img2world.poses import circle_search
from img2world.poses.circle_search import search_circle
from img2world.runs.recipe import load_recipe
from img2world.tracking.flow import prepare_gray_frames
from img2world.tracking.object_masks import object_masks
from img2world.video.synthetic import SyntheticVideo


def search(frames):
    gray_frames = prepare_gray_frames(frames.rgb, object_masks(frames), frames.mask)
    return search_circle(frames, gray_frames, np.random.default_rng(2), max_harmonics=0)


def test_a_closed_circle_is_found(turntable, circle, pose_errors):
    found = search(turntable).estimate
    assert found.solver.startswith(("circle", "orbit"))
    assert pose_errors(found.cameras.to_cameras(128, 128), circle)[0] < 3
    assert not found.caveat


def test_an_arc_is_found(make_cameras, pose_errors, monkeypatch):
    monkeypatch.setattr(circle_search, "ARCS_DEG", (60.0, 120.0))
    truth = make_cameras(on_sphere(np.radians(np.linspace(0, 100, 10)), np.full(10, 0.2)), 0.6, 96, 96)
    found = search(SyntheticVideo().generate(None, truth, seed=1)).estimate
    assert pose_errors(found.cameras.to_cameras(96, 96), truth)[0] < 12
    centers = found.cameras.centers
    ends = np.degrees(np.arctan2(centers[[0, -1], 0], -centers[[0, -1], 2]))
    assert abs(ends[1] - ends[0]) == pytest.approx(100, abs=10)


def test_a_scene_has_no_circle(room, turntable):
    with pytest.raises(PoseError, match="no object in front of a plain background") as error:
        search(room)
    # The hint can be pasted.
    assert type(load_recipe("video", [error.value.hint.split()[-1]]).poses).__name__ == "AutoPoses"
    with pytest.raises(PoseError, match="only 0 points could be followed"):
        search(replace(turntable, mask=np.zeros(turntable.rgb.shape[:3], np.uint8)))
