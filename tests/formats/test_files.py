import os
import subprocess
import sys

import numpy as np
import pytest
from known_scene import gaussians_from, known_splats

from img2world.core.errors import FormatError
from img2world.formats import MODULES, MOVING, READ_ONLY
from img2world.formats.files import find_suffix, read_splats, write_splats, writing_folder


@pytest.fixture
def gaussians():
    return gaussians_from(known_splats(1))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.ply", ".ply"),
        ("a.compressed.ply", ".compressed.ply"),
        ("A.PLY", ".ply"),
        ("meta.json", "meta.json"),
        ("a.b.SOG", ".sog"),
        ("a.usdz", ".usdz"),
    ],
)
def test_the_longest_suffix_counts(name, suffix, tmp_path):
    assert find_suffix(tmp_path / name) == suffix


@pytest.mark.parametrize("suffix", [suffix for suffix in MODULES if suffix not in READ_ONLY + MOVING])
def test_capital_letters_are_no_other_format(suffix, tmp_path, gaussians):
    path = tmp_path / f"A{suffix.upper()}"
    write_splats(gaussians, path)
    assert path.read_bytes().startswith(b"{") == (suffix == "meta.json")
    assert len(read_splats(path).gaussians) == 5


@pytest.mark.parametrize("name", ["a.obj", "a", "a.json", "ply", "a.ply.gz"])
def test_other_names_are_refused_with_a_list(name, tmp_path, gaussians):
    with pytest.raises(FormatError, match="no splat format") as error:
        write_splats(gaussians, tmp_path / name)
    assert all(suffix in error.value.hint for suffix in MODULES if suffix.startswith("."))


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".glb"])
def test_content_decides_on_the_format(suffix, tmp_path, gaussians):
    write_splats(gaussians, tmp_path / f"scene{suffix}")
    for name in ("named.splat", "nothing", "other.bin"):
        (tmp_path / name).write_bytes((tmp_path / f"scene{suffix}").read_bytes())
        assert len(read_splats(tmp_path / name).gaussians) == 5


@pytest.mark.parametrize("suffix", [".usdc", ".usda"])
def test_openusd_needs_its_suffix(suffix, tmp_path, gaussians):
    write_splats(gaussians, tmp_path / f"scene{suffix}")
    (tmp_path / f"scene{suffix}").rename(tmp_path / "named.splat")
    with pytest.raises(FormatError, match="has another name") as error:
        read_splats(tmp_path / "named.splat")
    assert suffix in error.value.hint


def test_gltf_is_read_and_not_written(tmp_path, gaussians):
    with pytest.raises(FormatError, match="read and not written") as error:
        write_splats(gaussians, tmp_path / "a.gltf")
    assert ".glb" in error.value.hint


def test_missing_files_and_folders_are_one_error(tmp_path, gaussians):
    with pytest.raises(FormatError, match="cannot be read"):
        read_splats(tmp_path / "missing.ply")
    with pytest.raises(FormatError, match="this is a folder, not a splat file"):
        read_splats(tmp_path)
    with pytest.raises(FormatError, match="cannot be written"):
        write_splats(gaussians, tmp_path / "missing" / "a.ply")


@pytest.mark.parametrize("suffix", [suffix for suffix in MODULES if suffix not in READ_ONLY + MOVING])
def test_an_existing_file_is_kept_when_writing_fails(suffix, tmp_path, gaussians):
    path = tmp_path / (suffix if suffix == "meta.json" else f"a{suffix}")
    path.write_bytes(b"old")
    with pytest.raises(FormatError, match="no Gaussians to write"):
        write_splats(gaussians.select(slice(0, 0)), path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    write_splats(gaussians, path)
    assert len(read_splats(path).gaussians) == 5
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_a_folder_of_that_name_is_not_written_into(tmp_path, gaussians):
    (tmp_path / "a.ply").mkdir()
    with pytest.raises(FormatError, match="cannot be written"):
        write_splats(gaussians, tmp_path / "a.ply")
    assert list((tmp_path / "a.ply").iterdir()) == []


def test_meta_json_comes_after_its_pictures(tmp_path, gaussians, monkeypatch):
    moved = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (moved.append(target.name), replace(source, target)))
    write_splats(gaussians, tmp_path / "meta.json")
    assert moved[-1] == "meta.json"
    assert set(moved) == {file.name for file in tmp_path.iterdir()}
    assert len(moved) == 8


def test_files_may_be_read_by_others(tmp_path, gaussians):
    """They have the rights of any new file, not those of a temporary one."""
    write_splats(gaussians, tmp_path / "a.glb")
    (tmp_path / "b").touch()
    assert (tmp_path / "a.glb").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_file_may_be_replaced_by_what_was_read_from_it(tmp_path, gaussians):
    path = tmp_path / "a.ply"
    write_splats(gaussians, path)
    write_splats(read_splats(path).gaussians, path)
    np.testing.assert_array_equal(read_splats(path).gaussians.means, gaussians.means)


def test_folders_left_over_by_killed_processes_are_removed(tmp_path, gaussians):
    old, young, held = (tmp_path / f".writing-{name}" for name in ("old", "young", "held"))
    for folder in (old, young, held):
        folder.mkdir()
        (folder / "part").write_bytes(b"half a file")
    for folder in (old, held):
        os.utime(folder, (0, 0))
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), 2); print(flush=True); input()",
            held,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        write_splats(gaussians, tmp_path / "a.ply")
        assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-held", ".writing-young", "a.ply"]
        process.kill()
    write_splats(gaussians, tmp_path / "a.ply")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-young", "a.ply"]


def test_a_folder_in_use_is_locked(tmp_path):
    with writing_folder(tmp_path) as folder:
        os.utime(folder, (0, 0))
        with writing_folder(tmp_path) as other:
            assert folder.exists()
            assert folder != other
    assert list(tmp_path.iterdir()) == []
