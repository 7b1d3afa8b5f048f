"""Which files of a folder are photos, and what is said about the others."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.captures.listing import list_photos
from img2world.captures.photos import frames_from_folder
from img2world.core.errors import ImageError, VideoError
from img2world.core.frames import Frames
from img2world.core.progress import silent


def save(path: Path, seed: int = 0, size: tuple[int, int] = (48, 32), **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    PillowImage.fromarray(rgb).save(path, options.pop("format", "JPEG"), **options)


def read(folder: Path, num_frames: int = 48) -> Frames:
    return frames_from_folder(folder, num_frames=num_frames, sizes=(640, 960), max_photos=50, progress=silent)


def left_out(folder: Path) -> dict[str, str]:
    return {item.name: item.kind for item in list_photos(folder).left_out}


def names(folder: Path) -> list[str]:
    listing = list_photos(folder)
    return [listing.name(path) for path in listing.pictures]


def test_content_decides_whatever_the_suffix(tmp_path: Path):
    for i, name in enumerate(["a.jfif", "b", "c.dat", "d.JPG"]):
        save(tmp_path / name, i)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert names(tmp_path) == ["a.jfif", "b", "c.dat", "d.JPG"]
    assert left_out(tmp_path) == {"notes.txt": "other file"}
    frames = read(tmp_path)
    assert frames.inventory is not None
    assert frames.inventory.line() == "4 of 4 pictures used"
    assert frames.inventory.is_complete


def test_subfolders_are_read_but_not_copies_products_and_runs(tmp_path: Path):
    for i, name in enumerate(
        ["2.jpg", "10.jpg", "day2/1.jpg", "images_4/1.jpg", "sparse/1.jpg", "runs/x/frames/1.jpg"]
    ):
        save(tmp_path / name, i)
    (tmp_path / "runs/x/run.json").write_text("{}")
    assert names(tmp_path) == ["2.jpg", "10.jpg", "day2/1.jpg"]
    assert left_out(tmp_path) == {"images_4/": "other folder", "sparse/": "other folder"}


def test_raw_photos_and_heic_beside_their_jpeg(tmp_path: Path):
    for i, name in enumerate(["1.jpg", "2.JPG", "3.jpg"]):
        save(tmp_path / name, i)
    for name in ("1.CR2", "2.heic", "4.NEF", "clip.MOV"):
        (tmp_path / name).write_bytes(b"II*\0")
    assert names(tmp_path) == ["1.jpg", "2.JPG", "3.jpg"]
    assert left_out(tmp_path) == {
        "1.CR2": "raw photo with its JPEG beside it",
        "2.heic": "HEIC file with its JPEG beside it",
        "4.NEF": "raw photo that cannot be read",
        "clip.MOV": "video",
    }
    inventory = read(tmp_path).inventory
    assert inventory is not None
    assert inventory.line() == (
        "3 of 7 pictures used: 1 raw photo with its JPEG beside it, 1 HEIC file with its JPEG beside it, "
        "1 raw photo that cannot be read, 1 video"
    )


def test_a_photo_that_cannot_be_decoded_is_named_with_its_reason(tmp_path: Path):
    for i in range(3):
        save(tmp_path / f"{i}.jpg", i)
    for i in range(3, 5):
        (tmp_path / f"{i}.HEIC").write_bytes(b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes([i]))
    inventory = read(tmp_path).inventory
    assert inventory is not None
    assert inventory.line() == "3 of 5 pictures used: 2 HEIC files that cannot be read"
    assert "3.HEIC" not in inventory.left_out[0].reason
    assert inventory.as_json()["left_out"][0]["name"] == "3.HEIC"


@pytest.mark.parametrize(
    "name", ["1.jpg.png", "1_mask.png", "1.mask.png", "1.jpg.mask.png", "masks/1.jpg.png", "Masks/1.PNG"]
)
def test_masks_are_found_beside_photos_and_in_their_folder(tmp_path: Path, name: str):
    for i in range(3):
        save(tmp_path / f"{i}.jpg", i)
    mask = np.full((32, 48), 255, np.uint8)
    mask[:, 20:] = 0
    (tmp_path / name).parent.mkdir(exist_ok=True)
    PillowImage.fromarray(mask).save(tmp_path / name)
    frames = read(tmp_path)
    assert len(frames) == 3
    assert frames.mask is not None
    assert np.array_equal(frames.mask[1], mask)
    assert frames.mask[[0, 2]].all()
    assert tmp_path / name in list_photos(tmp_path).files


def test_masks_of_subfolders_and_beside_images(tmp_path: Path):
    for i, name in enumerate(["images/a/1.jpg", "images/b/1.jpg"]):
        save(tmp_path / name, i)
    save(tmp_path / "masks/b/1.jpg.png", format="PNG")
    assert list_photos(tmp_path / "images").masks == {tmp_path / "images/b/1.jpg": tmp_path / "masks/b/1.jpg.png"}
    save(tmp_path / "masks/c/1.jpg.png", format="PNG")
    with pytest.raises(VideoError, match=r"1 of the masks .*c/1\.jpg\.png"):
        list_photos(tmp_path / "images")


def test_a_mask_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path):
    for i in range(3):
        save(tmp_path / f"{i}.jpg", i)
    (tmp_path / "1.jpg.png").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"the mask cannot be used: .*1\.jpg\.png"):
        read(tmp_path)


def test_links_to_nothing_and_pipes_are_told(tmp_path: Path):
    for i in range(3):
        save(tmp_path / f"{i}.jpg", i)
    (tmp_path / "3.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "4.jpg").symlink_to("4.jpg")
    os.mkfifo(tmp_path / "5.jpg")
    inventory = read(tmp_path).inventory
    assert inventory is not None
    assert inventory.line() == "3 of 6 pictures used: 3 JPG files that cannot be read"
    assert "a link to nothing" in inventory.left_out[0].reason


def test_photos_that_a_camera_numbered_are_no_video(tmp_path: Path):
    exif = PillowImage.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS"
    for i in range(22):
        save(tmp_path / "a" / f"IMG_{i}.jpg", i)
        save(tmp_path / "b" / f"IMG_{i}.jpg", i, exif=exif)
    video, photos = read(tmp_path / "a", 11), read(tmp_path / "b", 11)
    assert (video.ordered, len(video)) == (True, 11)
    assert (photos.ordered, len(photos)) == (False, 22)
    assert video.inventory is not None
    assert video.inventory.line() == "11 of 22 pictures used: 11 spare frames"


def test_a_folder_with_too_many_files_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("img2world.captures.listing.MAX_FILES", 3)
    for i in range(4):
        save(tmp_path / f"{i}.jpg", i)
    with pytest.raises(VideoError, match="more than 3 files"):
        list_photos(tmp_path)
