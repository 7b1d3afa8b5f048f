import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from img2world.core.errors import FormatError
from img2world.formats.inspection import inspect_file
from img2world.formats.sequence import frame_rate, frame_times, write_sequence
from img2world.formats.splat_file import SplatFile
from tests.moving import moving_scene


@pytest.fixture(scope="module")
def file() -> SplatFile:
    scene = moving_scene(10)
    return SplatFile(gaussians=scene.gaussians, broken=0, details={}, motion=scene.motion)


def test_each_frame_shows_its_time(file, tmp_path):
    written = list(write_sequence(file, tmp_path / "out", ".ply", fps=10.0))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["count"], manifest["fps"], manifest["seconds"], manifest["gaussians"]) == (21, 10, 2, 40)
    assert manifest["times"] == [i / 10 for i in range(21)]
    assert manifest["frames"] == [path.name for _, path in written]
    for i in (0, 7, 20):
        points = trimesh.load(tmp_path / "out" / manifest["frames"][i]).vertices
        np.testing.assert_array_equal(np.float32(points), file.at(i / 10).means)


def test_frames_are_the_keys_unless_told(file):
    np.testing.assert_array_equal(frame_times(file.motion), file.motion.key_times)
    assert frame_rate(file.motion.key_times) == 2.0
    late = replace(file.motion, key_times=np.array([1.0, 1.1, 1.5, 2.0, 3.05]))
    assert frame_rate(late.key_times) is None
    np.testing.assert_allclose(frame_times(late, 2.0), [1, 1.5, 2, 2.5, 3])
    with pytest.raises(FormatError, match="frames are more"):
        frame_times(late, 1e5)


def test_what_is_no_sequence_is_refused(file, tmp_path):
    with pytest.raises(FormatError, match="not written as a sequence"):
        list(write_sequence(file, tmp_path / "out", ".i2w"))
    with pytest.raises(FormatError, match="nothing moves"):
        list(write_sequence(file.still(0.5), tmp_path / "out", ".ply"))


def test_inspection_tells_of_frames_and_of_missing_ones(file, tmp_path):
    list(write_sequence(file, tmp_path, ".spz"))
    found = inspect_file(tmp_path)
    assert (found.details["frames"], found.details["fps"], found.details["seconds"]) == (5, 2.0, 2.0)
    assert found.gaussians == 40
    (tmp_path / "frame_0003.spz").unlink()
    assert "1 frames are missing, the first is frame_0003.spz" in inspect_file(tmp_path).warnings
