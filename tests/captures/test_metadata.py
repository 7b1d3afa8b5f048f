"""Metadata of photos, written by Pillow."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.captures.metadata import find_panorama, metres_from_places, read_metadata
from img2world.captures.photos import frames_from_folder
from img2world.core.progress import silent


def save(path: Path, *, seed: int = 0, focal35: int = 28, time: str = "", size=(48, 32), place=None, **tags) -> None:
    exif = PillowImage.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Phone 3"
    camera = exif.get_ifd(0x8769)
    camera[0xA405] = focal35
    if time:
        camera[0x9003] = time
        camera[0x9291] = tags.get("fraction", "5")
    if place:
        gps = exif.get_ifd(0x8825)
        gps[1], gps[3] = ("N" if place[0] >= 0 else "S"), ("E" if place[1] >= 0 else "W")
        for tag, degrees in ((2, abs(place[0])), (4, abs(place[1]))):
            gps[tag] = (float(int(degrees)), float(int(degrees % 1 * 60)), degrees * 60 % 1 * 60)
        gps[5], gps[6] = b"\0", 30.0
    exif[0x0112] = tags.get("orientation", 1)
    rgb = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    PillowImage.fromarray(rgb).save(path, exif=exif)


def test_lens_time_and_place(tmp_path: Path):
    save(tmp_path / "a.jpg", time="2026:05:04 10:20:30", place=(-33.8568, 151.2153), orientation=6)
    found = read_metadata(tmp_path / "a.jpg")
    assert (found.size, found.orientation, found.lens[:2]) == ((48, 32), 6, ("Maker", "Phone 3"))
    assert found.time is not None
    assert found.time % 86400 == 10 * 3600 + 20 * 60 + 30.5
    assert found.place == pytest.approx((-33.8568, 151.2153, 30.0), abs=1e-6)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe1\x00\x08Exif\0\0", b"text"])
def test_broken_files_have_no_metadata(tmp_path: Path, content: bytes):
    (tmp_path / "a.jpg").write_bytes(content)
    found = read_metadata(tmp_path / "a.jpg")
    assert (found.lens, found.time, found.place, found.is_photo) == ((), None, None, False)


def test_metres_are_east_north_and_up_of_the_first():
    places = [None, (60.0, 10.0, 5.0), (60.001, 10.0, 7.0), (60.0, 10.001, 5.0)]
    metres = metres_from_places(places)
    assert metres is not None
    assert np.isnan(metres[0]).all()
    # A degree of latitude has 111.2 km, and one of longitude half as much at 60 degrees north.
    assert metres[1:] == pytest.approx(np.array([[0, 0, 0], [0, 111.2, 2], [55.6, 0, 0]]), abs=0.1)
    assert metres_from_places([None, None]) is None


def test_frames_know_lenses_focal_lengths_places_and_the_order_of_capture(tmp_path: Path):
    save(tmp_path / "a.jpg", seed=1, time="2026:05:04 10:00:09", place=(60.0, 10.0))
    save(tmp_path / "b.jpg", seed=2, time="2026:05:04 10:00:03", focal35=56)
    save(tmp_path / "c.jpg", seed=3, time="2026:05:04 10:00:05", orientation=8)
    frames = frames_from_folder(tmp_path, num_frames=9, sizes=(640, 960), max_photos=9, progress=silent)
    assert frames.inventory is not None
    assert frames.inventory.used == ("b.jpg", "c.jpg", "a.jpg")
    assert frames.times.tolist() == [0, 2, 6]
    assert frames.sizes is not None
    assert frames.sizes.tolist() == [[48, 32], [32, 48], [48, 32]]
    assert frames.lenses is not None
    assert len(set(frames.lenses.tolist())) == 3
    assert frames.focals is not None
    # 43.27 mm is the diagonal of film.
    assert frames.focals == pytest.approx(np.array([56, 28, 28]) / 43.2666 * np.hypot(48, 32), rel=1e-4)
    assert frames.locations is not None
    assert np.isnan(frames.locations[:2]).all()
    assert frames.locations[2].tolist() == [0, 0, 0]


def test_panoramas_are_told_by_their_xmp_data():
    attributes = 'GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="8000" '
    cropped = attributes + (
        'GPano:FullPanoHeightPixels="4000" GPano:CroppedAreaImageWidthPixels="4000" '
        'GPano:CroppedAreaLeftPixels="2000" GPano:CroppedAreaTopPixels="500"'
    )
    elements = "<GPano:ProjectionType>equirectangular</GPano:ProjectionType>"
    whole = find_panorama(elements, (1024, 512))
    assert whole is not None
    assert (whole.full_width, whole.full_height, whole.left, whole.top) == (1024, 512, 0, 0)
    part = find_panorama(cropped, (1000, 600))  # At a quarter of the size of its numbers.
    assert part is not None
    assert (part.full_width, part.full_height, part.left, part.top) == (2000, 1000, 500, 125)
    assert find_panorama("", (1024, 512)) is None
    assert find_panorama('GPano:ProjectionType="cylindrical"', (1024, 512)) is None


def test_sizes_of_pictures_that_pillow_does_not_decode(tmp_path):
    (tmp_path / "a.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 40 +X 60\n" + bytes(400))
    # A JPEG XL codestream whose size is small = 1, height = (7 + 1) * 8, ratio 3:2.
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + (1 | 7 << 1 | 4 << 6).to_bytes(2, "little") + bytes(60))
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(40))
    assert read_metadata(tmp_path / "a.hdr").size == (60, 40)
    assert read_metadata(tmp_path / "a.jxl").size == (96, 64)
    assert read_metadata(tmp_path / "a.exr").size is None
