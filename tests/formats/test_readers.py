"""What other readers make of a file is compared with ours."""

import numpy as np
import pytest
from known_scene import gaussians_from, known_splats

from img2world.core.errors import ExportError
from img2world.core.ply import write_ply
from img2world.formats import readers
from img2world.formats.files import write_splats
from img2world.formats.ply import columns_from_gaussians
from img2world.formats.readers import check_with_other_reader, read_ours, read_with_all

LOW, HIGH = (-0.9, -0.8, -1.5), (1.3, 1.1, 1.2)
"""Bounds of the known scene with +Y up."""


@pytest.fixture
def gaussians():
    return gaussians_from(known_splats(2))


@pytest.mark.parametrize(
    ("suffix", "reader"),
    [
        (".ply", "gaussforge"), (".compressed.ply", "gaussforge"), (".splat", "gaussforge"), (".spz", "gaussforge"),
        (".sog", "gaussforge"), (".glb", "trimesh"), (".ksplat", "img2world"), (".usdc", "img2world"),
    ],
)  # fmt: skip
def test_the_best_reader_of_a_format_is_named(gaussians, suffix, reader, tmp_path):
    path = tmp_path / f"a{suffix}"
    write_splats(gaussians, path)
    found = check_with_other_reader(path)
    assert found.split()[0] == reader
    assert found.endswith("usd-core 26.11") or len(found.split()) == 2 or suffix == ".usdc"


def test_the_next_reader_is_used_where_the_first_is_missing(gaussians, tmp_path, monkeypatch):
    write_splats(gaussians, tmp_path / "a.ply")
    missing = {"gaussforge", "gsply"}
    find_spec = readers.find_spec
    monkeypatch.setattr(readers, "find_spec", lambda name: None if name in missing else find_spec(name))
    assert check_with_other_reader(tmp_path / "a.ply").startswith("trimesh ")
    missing.add("trimesh")
    assert check_with_other_reader(tmp_path / "a.ply").startswith("img2world ")


@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".splat", ".spz", ".sog", ".glb"])
def test_readers_agree_on_our_files(gaussians, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write_splats(gaussians, path)
    readings = read_with_all(path)
    assert len(readings) >= 2
    for reading in readings:
        assert not reading.error
        assert reading.gaussians == 5
        assert reading.agrees(readings[0])
        assert reading.sh_degree in (None, 0 if suffix == ".splat" else 2)
        np.testing.assert_allclose(reading.low, LOW, atol=2e-3)
        np.testing.assert_allclose(reading.high, HIGH, atol=2e-3)
        assert "5 Gaussians" in reading.line()


@pytest.mark.parametrize("change", ["number", "degree", "axes"])
def test_a_difference_is_an_error(gaussians, change, tmp_path, monkeypatch):
    path = tmp_path / "a.ply"
    write_splats(gaussians, path)
    count, degree, points = readers._gaussforge(path, ".ply")
    other = {"number": (4, degree, points), "degree": (count, 1, points), "axes": (count, degree, points[:, [0, 2, 1]])}
    table = {"gaussforge": ("gaussforge", (".ply",), lambda path, suffix: other[change])}
    monkeypatch.setattr(readers, "READERS", table)
    with pytest.raises(ExportError, match=r"gaussforge .* needs img2world .* 5 Gaussians, degree 2"):
        check_with_other_reader(path)


def test_a_reader_that_crashes_is_one_that_rejects_the_file(gaussians, tmp_path):
    """It runs in another process: ours goes on."""
    path = tmp_path / "a.spz"
    write_splats(gaussians, path)
    path.write_bytes(path.read_bytes()[:-20])
    for reading in read_with_all(path):
        assert reading.error
        assert "rejects it" in reading.line()
        assert not reading.agrees(reading)


def test_broken_gaussians_count(gaussians, tmp_path):
    columns = {name: np.array(column) for name, column in columns_from_gaussians(gaussians).items()}
    columns["opacity"][2] = np.nan
    write_ply(columns, tmp_path / "a.ply")
    assert read_ours(tmp_path / "a.ply").gaussians == 5
