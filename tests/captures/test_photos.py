"""Folders of frames and folders of photos."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import VideoError
from img2world.video.file import FileVideo

COLORS = np.array([(200, 40, 40), (40, 180, 60), (50, 60, 200), (210, 200, 50)], np.uint8)


def corner_picture(level: int = 0, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """Return a picture with one colour in each quarter (clockwise from the upper left), plus `level`."""
    width, height = size
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = COLORS[0], COLORS[1]
    rgb[height // 2 :, width // 2 :], rgb[height // 2 :, : width // 2] = COLORS[2], COLORS[3]
    return rgb + np.uint8(level)


def write_pictures(folder: Path, names: list[str], sizes: list[tuple[int, int]]) -> None:
    """Write corner pictures, each a little lighter than the one before."""
    folder.mkdir()
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        PillowImage.fromarray(corner_picture(i, size)).save(folder / name)


def test_folder_of_frames_is_ordered_and_thinned(tmp_path: Path):
    write_pictures(tmp_path / "a", [f"frame_{i}.png" for i in range(8, 48)], [(96, 64)] * 40)
    (tmp_path / "a" / ".hidden.png").write_bytes(b"no picture")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    frames = FileVideo(path=tmp_path / "a", num_frames=14).generate(None, None)
    assert frames.ordered
    # Natural order: 8, 9, 10, …; every third of 40.
    assert (frames.rgb[:, 0, 0, 0] - COLORS[0, 0]).tolist() == list(range(0, 40, 3))


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        ([f"IMG_{i}.jpg" for i in range(8, 14)], [(96, 64)] * 6),  # Few.
        ([f"IMG_{3 * i + i % 2}.jpg" for i in range(24)], [(96, 64)] * 24),  # Gaps in the numbers.
        ([f"{'ab'[i % 2]}_{i}.jpg" for i in range(24)], [(96, 64)] * 24),  # Two stems.
        ([f"IMG_{i}.jpg" for i in range(24)], [(96, 64), (192, 128)] * 12),  # Two sizes.
    ],
)
def test_folder_of_photos_is_not_ordered(tmp_path: Path, names, sizes):
    write_pictures(tmp_path / "a", names, sizes)
    frames = FileVideo(path=tmp_path / "a", num_frames=3).generate(None, None)
    assert not frames.ordered
    assert len(frames) == len(names)
    assert (np.diff(frames.times) >= 0).all()


def test_photos_of_several_shapes_share_a_canvas(tmp_path: Path):
    write_pictures(tmp_path / "a", ["a.png", "b.png", "c.png"], [(96, 64), (64, 96), (96, 64)])
    frames = FileVideo(path=tmp_path / "a").generate(None, None)
    assert frames.rgb.shape == (3, 96, 96, 3)
    assert frames.sizes is not None
    assert frames.sizes.tolist() == [[96, 64], [64, 96], [96, 64]]
    assert frames.lenses is not None
    assert frames.lenses.tolist() == [0, 1, 0]
    assert frames.mask is not None
    for rgb, mask, (width, height), i in zip(frames.rgb, frames.mask, frames.sizes.tolist(), range(3), strict=True):
        assert np.array_equal(rgb[:height, :width], corner_picture(i, (width, height)))
        assert mask[:height, :width].all()
        assert not mask[height:].any()
        assert not mask[:, width:].any()
        assert not rgb[mask == 0].any()


def test_sizes_that_were_rounded_differently_become_one(tmp_path: Path):
    write_pictures(tmp_path / "a", ["a.png", "b.png"], [(96, 64), (95, 64)])
    frames = FileVideo(path=tmp_path / "a").generate(None, None)
    assert (frames.rgb.shape, frames.sizes, frames.mask) == ((2, 64, 95, 3), None, None)


def test_a_thumbnail_is_left_out(tmp_path: Path):
    write_pictures(tmp_path / "a", ["a.png", "b.png", "c.png", "t.png"], [(96, 64)] * 3 + [(24, 16)])
    frames = FileVideo(path=tmp_path / "a").generate(None, None)
    assert frames.rgb.shape == (3, 64, 96, 3)
    assert frames.inventory is not None
    assert frames.inventory.line() == "3 of 4 pictures used: 1 thumbnail"
    assert frames.inventory.left_out[0].reason == "24x16 pixels, the longest side of the others is 96"


def test_a_broken_photo_is_left_out_and_many_are_an_error(tmp_path: Path):
    write_pictures(tmp_path / "a", ["a.png", "b.png", "c.png"], [(96, 64)] * 3)
    (tmp_path / "a" / "b.png").write_bytes(b"nothing")
    frames = FileVideo(path=tmp_path / "a").generate(None, None)
    assert frames.inventory is not None
    assert frames.inventory.used == ("a.png", "c.png")
    assert "not a picture" in frames.inventory.left_out[0].reason
    (tmp_path / "a" / "c.png").write_bytes(b"nothing either")
    with pytest.raises(VideoError, match=r"2 of 3 pictures cannot be read, first b\.png: .*not a picture"):
        FileVideo(path=tmp_path / "a").generate(None, None)


def test_repeated_files_are_used_once(tmp_path: Path):
    write_pictures(tmp_path / "a", ["a.png", "b.png"], [(96, 64)] * 2)
    (tmp_path / "a" / "copies").mkdir()
    (tmp_path / "a" / "copies" / "b.png").write_bytes((tmp_path / "a" / "b.png").read_bytes())
    frames = FileVideo(path=tmp_path / "a").generate(None, None)
    assert frames.inventory is not None
    assert [(item.name, item.reason) for item in frames.inventory.left_out] == [("copies/b.png", "equal to b.png")]


def test_too_many_photos(tmp_path: Path):
    write_pictures(tmp_path / "a", ["a.png", "b.png", "c.png"], [(96, 64)] * 3)
    with pytest.raises(VideoError, match="3 photos, needs at most 2"):
        FileVideo(path=tmp_path / "a", max_photos=2).generate(None, None)


def test_transparent_pictures_are_laid_on_white(tmp_path: Path):
    (tmp_path / "a").mkdir()
    rgba = np.dstack([corner_picture(), np.full((64, 96), 255, np.uint8)])
    rgba[:, 48:, 3] = 0
    for i in range(2):
        rgba[0, 0, 0] = 100 + i
        PillowImage.fromarray(rgba).save(tmp_path / "a" / f"{i}.png")
    frames = FileVideo(path=tmp_path / "a").generate(None, None)
    assert frames.alpha is not None
    assert np.array_equal(frames.alpha[0], rgba[..., 3])
    assert (frames.rgb[:, :, 48:] == 255).all()
    assert np.array_equal(frames.rgb[1, :, :48], rgba[:, :48, :3])


def test_masks_beside_photos_say_what_to_ignore(tmp_path: Path):
    write_pictures(tmp_path / "a", ["b.png", "c.jpg", "d.png"], [(96, 64), (96, 64), (96, 63)])
    (tmp_path / "a" / "masks").mkdir()
    mask = np.full((64, 96), 255, np.uint8)
    mask[:32] = 0
    PillowImage.fromarray(mask).save(tmp_path / "a" / "masks" / "b.png")
    PillowImage.fromarray(255 - mask).save(tmp_path / "a" / "masks" / "c.jpg.png")
    frames = FileVideo(path=tmp_path / "a").generate(None, None)
    assert frames.mask is not None
    assert frames.mask.shape == (3, 63, 96)
    # The row across which an edge was resized is ignored.
    assert [part.mean() for picture in frames.mask for part in (picture[:31], picture[32:])] == [
        0,
        255,
        255,
        0,
        255,
        255,
    ]


@pytest.mark.parametrize(("name", "size", "problem"), [("z.png", (96, 64), "no picture"), ("b.png", (64, 96), "64x96")])
def test_masks_that_fit_no_photo_are_refused(tmp_path: Path, name: str, size: tuple[int, int], problem: str):
    write_pictures(tmp_path / "a", ["b.png", "c.png"], [(96, 64)] * 2)
    (tmp_path / "a" / "masks").mkdir()
    PillowImage.new("L", size, 255).save(tmp_path / "a" / "masks" / name)
    with pytest.raises(VideoError, match=problem):
        FileVideo(path=tmp_path / "a").generate(None, None)
