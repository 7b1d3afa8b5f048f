import json
from dataclasses import replace

import numpy as np
import pytest

from img2world.core.errors import ExportError
from img2world.export import EXPORTERS
from img2world.export.moving import BrushExport, I2wExport, PlySequenceExport, SpzSequenceExport
from img2world.export.splats import PlyExport, SpzExport, UsdExport
from img2world.formats import i2w
from img2world.formats.files import read_splats
from tests.moving import moving_scene


@pytest.fixture(scope="module")
def scene():
    placed = np.diag([2.0, 2.0, 2.0, 1.0])
    placed[:3, 3] = 0.5, -1, 3
    return replace(moving_scene(10), asset_from_world=placed)


def placed_means(scene, time: float) -> np.ndarray:
    return 2 * scene.at(time).means + [0.5, -1, 3]


@pytest.mark.parametrize(("exact", "tolerance"), [(True, 2e-6), (False, 2 / 255)])
def test_an_i2w_is_placed_as_all_exports(scene, tmp_path, exact, tolerance):
    facts = I2wExport(exact=exact).write(scene, None, tmp_path / "scene.i2w")
    assert (facts["gaussians"], facts["bones"], facts["keys"]) == (40, 3, 5)
    file = read_splats(tmp_path / "scene.i2w")
    for time in (0.0, 0.9, 2.0):
        np.testing.assert_allclose(file.at(time).means, placed_means(scene, time), atol=tolerance)


def test_an_i2w_with_another_motion_is_detected(scene, tmp_path, monkeypatch):
    read = i2w.read

    def other(path):
        file = read(path)
        return replace(file, motion=replace(file.motion, key_times=file.motion.key_times + 0.01))

    monkeypatch.setattr(i2w, "read", other)
    with pytest.raises(ExportError, match="another motion"):
        I2wExport().write(scene, None, tmp_path / "scene.i2w")


@pytest.mark.parametrize("exporter", [PlySequenceExport(fps=4.0), SpzSequenceExport(fps=4.0)])
def test_sequences_are_checked_frame_by_frame(scene, tmp_path, exporter):
    facts = exporter.write(scene, None, tmp_path / exporter.filename)
    assert (facts["frames"], facts["gaussians"]) == (9, 40)
    assert str(facts["reader"]).startswith("gaussforge")
    manifest = json.loads((tmp_path / exporter.filename / "manifest.json").read_text())
    found = read_splats(tmp_path / exporter.filename / manifest["frames"][3]).gaussians
    np.testing.assert_allclose(found.means, placed_means(scene, manifest["times"][3]), atol=2e-6)


def test_brush_and_usd_hold_the_motion(scene, tmp_path):
    facts = BrushExport().write(scene, None, tmp_path / "scene.brush.zip")
    assert 0 < facts["position_error"] < 1e-4
    facts = UsdExport(fps=12.0).write(scene, None, tmp_path / "scene.usdz")
    assert facts["samples"] == 25


def test_other_formats_show_the_first_key_and_say_so_once(scene, tmp_path):
    late = replace(scene, motion=replace(scene.motion, key_times=scene.motion.key_times + 5))
    warned = []
    for exporter in (PlyExport(), SpzExport()):
        with pytest.warns(UserWarning, match=r"first key \(5 s\)") as caught:
            exporter.write(late, None, tmp_path / exporter.filename)
        warned += [(str(each.message), each.filename, each.lineno) for each in caught]
    # From the same line with the same text: outside of tests, Python shows only the first.
    assert len(set(warned)) == 1
    np.testing.assert_allclose(read_splats(tmp_path / "scene.ply").gaussians.means, placed_means(late, 5.0), atol=2e-6)


@pytest.mark.parametrize("exporter", [I2wExport(), PlySequenceExport(), BrushExport()])
def test_a_scene_that_stands_still_is_refused(scene, tmp_path, exporter):
    with pytest.raises(ExportError, match="stands still"):
        exporter.write(replace(scene, motion=None), None, tmp_path / exporter.filename)


def test_every_exporter_of_this_module_is_registered():
    registered = {entry.partition(":")[2] for entry in EXPORTERS.values() if ".moving:" in entry}
    assert registered == {"I2wExport", "PlySequenceExport", "SpzSequenceExport", "BrushExport"}
