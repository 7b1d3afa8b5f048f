"""Datasets as other programs and other systems leave them: read the same, or refused in one line that says why."""

import shutil
import unicodedata
from pathlib import Path

import dialects
import numpy as np
import pytest

from img2world.captures.dataset import read_dataset
from img2world.captures.posed_frames import frames_from_dataset
from img2world.core.errors import CameraError
from img2world.core.frames import Frames
from img2world.core.progress import silent


def read(folder: Path) -> Frames:
    return frames_from_dataset(folder, size=960, max_photos=100, progress=silent)


def line(frames: Frames) -> str:
    assert frames.inventory is not None
    return frames.inventory.line()


def same_cameras(frames: Frames, truth: dialects.Truth) -> bool:
    assert frames.cameras is not None
    is_close = np.allclose(frames.cameras.world_from_cam, truth.poses, atol=1e-6)
    return is_close and np.allclose(frames.cameras.intrinsics, truth.matrix, atol=1e-4)


def test_null_counts_as_absent(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    dialects.edit_table(folder, lambda table: table.update(w=None, h=None, camera_model=None, k1=None, mask_path=None))
    assert same_cameras(read(folder), truth)


def test_a_field_of_view_along_y_is_enough(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)

    def change(table: dict) -> None:
        del table["fl_x"], table["fl_y"]
        table["camera_angle_y"] = 2 * np.arctan(truth.size[1] / 2 / 90)

    dialects.edit_table(folder, change)
    cameras = read(folder).cameras
    assert cameras is not None
    assert cameras.intrinsics[:, [0, 1], [0, 1]] == pytest.approx(90, abs=1e-4)


def test_distortion_may_be_a_list(tmp_path: Path):
    truth = dialects.some_truth()
    listed = dialects.write_nerfstudio(tmp_path / "a", truth, distortion_params=[-0.1, 0.02, 0, 0, 0.001, 0.002])
    named = dialects.write_nerfstudio(tmp_path / "b", truth, k1=-0.1, k2=0.02, p1=0.001, p2=0.002)
    assert np.array_equal(read(listed).rgb, read(named).rgb)
    assert not np.array_equal(read(listed).rgb[0][:60, :60], truth.rgb[0][:60, :60])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"fl_x": None, "fl_y": None}, "frame 0 (images/frame_00001.png) has none of fl_x fl_y camera_angle_x"),
        ({"fl_x": None, "fl_y": None, "camera_angle_x": 0}, "focal lengths inf and inf"),
        ({"fl_x": None, "fl_y": None, "camera_angle_x": 60}, "focal lengths -"),
        ({"fl_y": -82}, "focal lengths 80 and -82"),
        ({"w": 1e300}, "size 1e\\+300x64"),
        ({"k5": 0.1}, "the coefficient k5"),
        ({"distortion_params": [0.1, 0.2]}, "2 distortion_params, needs 6"),
        ({"transform_matrix": (1e200 * np.eye(4)).tolist()}, "frame 0 .* is not finite"),
    ],
)
def test_wrong_numbers_are_named(tmp_path: Path, change: dict, found: str):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    if "transform_matrix" in change:
        dialects.edit_table(folder, lambda table: table["frames"][0].update(change))
    else:
        dialects.edit_table(folder, lambda table: table.update(change))
    with pytest.raises(CameraError, match=found.replace("(", r"\(").replace(")", r"\)")):
        read(folder)


def test_a_picture_with_two_cameras_counts_once(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)

    def change(table: dict) -> None:
        first, second = table["frames"][:2]
        table["frames"] += [first, {**second, "file_path": "./" + first["file_path"]}]

    dialects.edit_table(folder, change)
    frames = read(folder)
    assert same_cameras(frames, truth)
    assert "5 of 7 pictures used: 2 repeated cameras" in line(frames)


def test_names_match_whatever_their_capitals_and_accents(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    (folder / "images").rename(folder / "Images")
    composed = unicodedata.normalize("NFC", "Tür.png")
    (folder / "Images" / "frame_00001.png").rename(folder / "Images" / unicodedata.normalize("NFD", composed))
    dialects.edit_table(folder, lambda table: table["frames"][0].update(file_path=f"images/{composed}"))
    assert "5 of 5 pictures used" in line(read(folder))


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "", None])
def test_a_name_that_no_file_can_have_is_a_missing_picture(tmp_path: Path, name: str | None):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    dialects.edit_table(folder, lambda table: table["frames"][2].update(file_path=name))
    assert "4 of 6 pictures used: 1 missing picture, 1 picture without a camera" in line(read(folder))


def test_a_picture_without_a_size_cannot_be_used(tmp_path: Path):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    dialects.edit_table(folder, lambda table: [table.pop(key) for key in "wh"])
    (folder / "images" / "frame_00002.png").write_bytes(b"")
    assert "4 of 5 pictures used: 1 picture that cannot be used" in line(read(folder))


def test_missing_masks_are_told(tmp_path: Path):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    dialects.edit_table(folder, lambda table: table["frames"][1].update(mask_path="masks/1.png"))
    assert "masks of 1 pictures are missing" in line(read(folder))


def test_colours_of_points_may_be_fractions(tmp_path: Path):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    text = (folder / "sparse_pc.ply").read_text()
    (folder / "sparse_pc.ply").write_text(text.replace("uchar", "float").replace(" 10 20 30\n", " 0.5 0 1\n"))
    points = read_dataset(folder).points
    assert points is not None
    assert points.colors[0].tolist() == [127, 0, 255]


def test_text_models_with_blanks_marks_backslashes_and_without_points(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_colmap(tmp_path / "set", truth)
    model = folder / "sparse" / "0"
    (folder / "images" / "a b").mkdir()
    (folder / "images" / "IMG_2.png").rename(folder / "images" / "a b" / "IMG  2.png")
    text = (model / "images.txt").read_text().replace("IMG_2.png", "a b\\IMG  2.png")
    # A picture without features has an empty line.
    lines = ["" if line.startswith(f"{float(truth.pixels()[1, 0, 0])!r} ") else line for line in text.split("\n")]
    assert "" in lines[:-1]
    (model / "images.txt").write_text("\ufeff# Image list\n" + "\r\n".join(lines))
    (model / "points3D.txt").unlink()
    frames = read(folder)
    assert "5 of 5 pictures used" in line(frames)
    assert frames.cameras is not None
    # The folder `a b` comes first.
    assert np.allclose(frames.cameras.world_from_cam, truth.poses[[2, 0, 1, 3, 4]], atol=1e-6)


def test_binary_models_without_points_and_with_another_number(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_colmap(tmp_path / "set", truth, binary=True)
    (folder / "sparse" / "0" / "points3D.bin").unlink()
    (folder / "sparse" / "0").rename(folder / "sparse" / "1")
    frames = read(folder)
    assert same_cameras(frames, truth)
    assert frames.points is None


def test_apps_exports_from_archives(tmp_path: Path):
    truth = dialects.some_truth()
    polycam = dialects.write_polycam(tmp_path / "polycam", truth)
    (polycam / "keyframes" / "cameras" / "._1000.json").write_bytes(b"\0\5\x16\7")
    assert same_cameras(read(polycam), truth)
    record3d = dialects.write_record3d(tmp_path / "record3d", truth)
    shutil.move(record3d / "metadata.json", record3d / "metadata")
    assert same_cameras(read(record3d), truth)


def test_a_quaternion_of_zeros_is_refused(tmp_path: Path):
    folder = dialects.write_record3d(tmp_path / "set", dialects.some_truth())
    dialects.edit_table(folder, lambda table: table["poses"][1].__setitem__(slice(0, 4), [0] * 4), "metadata.json")
    with pytest.raises(CameraError, match="pose of frame 1 is not a rotation"):
        read(folder)
