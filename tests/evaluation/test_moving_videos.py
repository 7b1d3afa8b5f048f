"""Videos of a moving scene are what `img2world run` takes for several cameras at the same times."""

import json
import sys

import numpy as np
import pytest

from evaluation.moving_videos import main
from img2world.core.cameras import load_cameras
from img2world.runs.source import find_source
from img2world.video.file import FileVideo


def test_videos_are_those_of_cameras_at_the_same_times(tmp_path, monkeypatch):
    words = ["--cameras", 3, "--frames", 4, "--size", 48, "--fps", 8, "--told"]
    monkeypatch.setattr(sys, "argv", ["moving_videos", str(tmp_path / "set"), *map(str, words)])
    main()
    assert find_source(tmp_path / "set").default_recipe == "moving"
    frames = FileVideo(path=tmp_path / "set").generate(None, None)
    assert frames.viewpoints is not None
    assert frames.viewpoints.tolist() == [0, 1, 2] * 4
    np.testing.assert_allclose(np.unique(frames.times), [0, 0.125, 0.25, 0.375])
    assert np.abs(frames.rgb[0].astype(int) - frames.rgb[-3]).max() > 60
    names = [frame["file_path"] for frame in json.loads((tmp_path / "set" / "transforms.json").read_text())["frames"]]
    assert names == ["cam_00.mp4", "cam_01.mp4", "cam_02.mp4"]
    told = load_cameras(tmp_path / "set" / "transforms.json")
    assert frames.cameras is not None
    gaps = np.diff(frames.cameras.centers_in_world[:3], axis=0) - np.diff(told.centers_in_world, axis=0)
    assert np.abs(gaps).max() < 1e-5


def test_scenes_that_are_not_there_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["moving_videos", str(tmp_path), "--scene", "hinged bux"])
    with pytest.raises(SystemExit):
        main()
    assert "no scene 'hinged bux', only hinged box, " in capsys.readouterr().err
