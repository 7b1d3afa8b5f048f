"""Pictures of every kind that people have, made here by Pillow, and files that are no pictures."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps

from img2world.core.errors import ImageError
from img2world.core.image_file import load_image


@pytest.fixture
def rgb() -> np.ndarray:
    """A picture whose corners, sides and channels all differ: red to the right, green downwards."""
    height, width = 40, 64
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    blue = np.full_like(red, 60)
    blue[:10, :20] = 220
    return np.stack([red, green, blue], -1).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0),
        ("a.bmp", {}, 0),
        ("a.tif", {"compression": "tiff_lzw"}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("a.ppm", {}, 0),
        ("a.jpg", {"quality": 97, "subsampling": 0}, 12),  # JPEG blocks ring at the blue edge.
    ],
)
def test_colours_of_each_format(tmp_path: Path, rgb, name, options, tolerance):
    PillowImage.fromarray(rgb).save(tmp_path / name, **options)
    image = load_image(tmp_path / name)
    assert image.rgb.dtype == np.uint8
    assert image.alpha is None
    assert image.focal is None
    assert np.abs(image.rgb.astype(int) - rgb).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_exif_orientation_is_undone(tmp_path: Path, rgb, orientation, name):
    # What turns the stored picture upright, written down from the EXIF table in words of NumPy.
    stored = {
        1: lambda upright: upright,
        2: lambda upright: upright[:, ::-1],
        3: lambda upright: upright[::-1, ::-1],
        4: lambda upright: upright[::-1],
        5: lambda upright: upright.swapaxes(0, 1),
        6: lambda upright: np.rot90(upright, 1),
        7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
        8: lambda upright: np.rot90(upright, -1),
    }[orientation](rgb)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    options = {"quality": 97, "subsampling": 0} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    PillowImage.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, **options)
    image = load_image(tmp_path / name)
    assert image.rgb.shape == rgb.shape
    assert np.abs(image.rgb.astype(int) - rgb).max() <= (12 if name == "a.jpg" else 0)


def exif_with(**tags: object) -> PillowImage.Exif:
    """EXIF data with tags of the EXIF folder, by their usual names."""
    numbers = {"focal_35mm": 0xA405, "focal_mm": 0x920A, "pixels_x": 0xA002, "pixels_y": 0xA003}
    numbers |= {"plane_resolution": 0xA20E, "plane_unit": 0xA210}
    exif = PillowImage.Exif()
    for name, value in tags.items():
        exif.get_ifd(0x8769)[numbers[name]] = value
    return exif


@pytest.mark.parametrize(
    ("tags", "focal"),
    [
        # 36x24 mm film and a 3:2 picture: the width is the film's, so f = 28 / 36 of the width.
        ({"focal_35mm": 28}, 600 * 28 / 36),
        ({"focal_35mm": 28, "pixels_x": 6000, "pixels_y": 4000}, 600 * 28 / 36),
        # Cropped to another shape after it was taken.
        ({"focal_35mm": 28, "pixels_x": 4000, "pixels_y": 4000}, None),
        ({"focal_35mm": 0}, None),
        ({"focal_35mm": 60000}, None),
        ({"focal_35mm": 1}, None),
        # 10 mm on a sensor with 200 pixels a millimetre, 6000 wide, now 600 wide.
        ({"focal_mm": 10.0, "plane_resolution": 200.0, "plane_unit": 4, "pixels_x": 6000, "pixels_y": 4000}, 200.0),
        ({"focal_mm": 10.0, "plane_resolution": 5080.0, "plane_unit": 2, "pixels_x": 6000, "pixels_y": 4000}, 200.0),
        ({"focal_mm": 10.0}, None),
    ],
)
def test_focal_length_from_exif(tmp_path: Path, tags, focal):
    PillowImage.new("RGB", (600, 400)).save(tmp_path / "a.jpg", exif=exif_with(**tags))
    found = load_image(tmp_path / "a.jpg").focal
    assert found == (None if focal is None else pytest.approx(focal, rel=1e-3))


def test_focal_length_follows_turning_and_scaling(tmp_path: Path):
    exif = exif_with(focal_35mm=36, pixels_x=1200, pixels_y=800)
    exif[0x0112] = 6
    PillowImage.new("RGB", (1200, 800)).save(tmp_path / "a.jpg", exif=exif)
    image = load_image(tmp_path / "a.jpg", max_side=600)
    assert (image.width, image.height) == (400, 600)
    assert image.focal == pytest.approx(600, rel=1e-3)  # As long as the long side, at any size.


def test_broken_exif_counts_as_none(tmp_path: Path, rgb):
    PillowImage.fromarray(rgb).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + bytes(40))
    assert load_image(tmp_path / "a.jpg").focal is None


def test_grey_kinds(tmp_path: Path, rgb):
    grey = rgb[..., 0]
    PillowImage.fromarray(grey).save(tmp_path / "l.png")
    PillowImage.fromarray(np.uint16(grey) * 257).save(tmp_path / "i16.png")
    PillowImage.fromarray(np.uint16(grey) * 257).save(tmp_path / "i16.tif")
    PillowImage.fromarray(np.int32(grey) * 257).save(tmp_path / "i32.tif")
    PillowImage.fromarray(np.float32(grey) / 255).save(tmp_path / "f.tif")
    PillowImage.fromarray(np.float32(grey) * 1e6).save(tmp_path / "large.tif")
    for path in sorted(tmp_path.iterdir()):
        image = load_image(path)
        assert np.array_equal(image.rgb, np.repeat(grey[..., None], 3, -1)), path.name


def test_dark_16_bit_picture_stays_dark(tmp_path: Path):
    PillowImage.fromarray(np.full((20, 20), 2570, np.uint16)).save(tmp_path / "a.png")
    assert np.unique(load_image(tmp_path / "a.png").rgb).tolist() == [10]


def test_one_bit_picture(tmp_path: Path):
    bits = np.indices((20, 24)).sum(0) % 2 == 0
    PillowImage.fromarray(bits).save(tmp_path / "a.png")
    assert np.array_equal(load_image(tmp_path / "a.png").rgb[..., 1], bits * np.uint8(255))


def test_palette_with_and_without_transparency(tmp_path: Path):
    index = np.repeat(np.arange(4, dtype=np.uint8), 8)[None].repeat(20, 0)  # [20, 32]
    palette = [250, 0, 0, 0, 250, 0, 0, 0, 250, 9, 9, 9]
    picture = PillowImage.fromarray(index)
    picture.putpalette(palette)
    picture.save(tmp_path / "opaque.png")
    picture.save(tmp_path / "alpha.png", transparency=bytes([255, 128, 0, 255]))
    picture.save(tmp_path / "alpha.gif", transparency=2)
    expected = np.array(palette, np.uint8).reshape(4, 3)[index]
    opaque = load_image(tmp_path / "opaque.png")
    assert opaque.alpha is None
    assert np.array_equal(opaque.rgb, expected)
    soft = load_image(tmp_path / "alpha.png")
    assert np.array_equal(soft.alpha, np.array([255, 128, 0, 255], np.uint8)[index])
    assert np.array_equal(soft.rgb[soft.alpha > 0], expected[soft.alpha > 0])
    assert np.array_equal(load_image(tmp_path / "alpha.gif").alpha, np.where(index == 2, 0, 255))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_kept_and_dropped_when_opaque(tmp_path: Path, rgb, mode):
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    picture = PillowImage.fromarray(rgb).convert(mode)
    picture.putalpha(PillowImage.fromarray(alpha))
    picture.save(tmp_path / "opaque.png")
    alpha[5:10, 5:10] = 7
    picture.putalpha(PillowImage.fromarray(alpha))
    picture.save(tmp_path / "alpha.png")
    assert load_image(tmp_path / "opaque.png").alpha is None
    assert np.array_equal(load_image(tmp_path / "alpha.png").alpha, alpha)


def test_colours_of_transparent_pixels_do_not_bleed_when_scaled(tmp_path: Path):
    rgba = np.zeros((400, 400, 4), np.uint8)
    rgba[..., 1] = 255  # Green where it is transparent,
    rgba[:, 200:] = (200, 0, 0, 255)  # red where it is opaque.
    PillowImage.fromarray(rgba).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png", max_side=90)
    assert image.alpha is not None
    assert image.rgb[image.alpha > 100][:, 1].max() <= 2


def test_cmyk(tmp_path: Path):
    # 40 % cyan, 10 % black: without a profile that is 255 * 0.6 * 0.9 red.
    ink = np.zeros((32, 32, 4), np.uint8)
    ink[...] = (102, 0, 0, 26)
    PillowImage.fromarray(ink, mode="CMYK").save(tmp_path / "a.tif")
    PillowImage.fromarray(ink, mode="CMYK").save(tmp_path / "a.jpg", quality=95)  # Stored inverted, as Adobe does.
    for name in ("a.tif", "a.jpg"):
        color = load_image(tmp_path / name).rgb[16, 16].astype(int)
        assert np.abs(color - [138, 229, 229]).max() <= 3, name


def wide_gamut_profile() -> bytes:
    """An RGB matrix profile (ICC.1:2010, sections 7 and 8.3) like sRGB, but red and green are swapped."""
    tags = {}
    srgb = {"rXYZ": (0.4361, 0.2225, 0.0139), "gXYZ": (0.3851, 0.7169, 0.0971), "bXYZ": (0.1431, 0.0606, 0.7139)}
    for name, source in (("rXYZ", "gXYZ"), ("gXYZ", "rXYZ"), ("bXYZ", "bXYZ")):
        tags[name] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in srgb[source]))
    tags["wtpt"] = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    for name in ("rTRC", "gTRC", "bTRC"):
        tags[name] = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    tags["desc"] = b"desc" + bytes(4) + struct.pack(">I", 8) + b"swapped\0" + bytes(78) + bytes(2)
    tags["cprt"] = b"text" + bytes(4) + b"none\0\0\0\0"
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name.encode() + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", offset + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp"
    )
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_embedded_profile_is_applied(tmp_path: Path, mode):
    picture = PillowImage.new("RGB", (32, 32), (200, 30, 90)).convert(mode)
    picture.save(tmp_path / "a.png", icc_profile=wide_gamut_profile())
    color = load_image(tmp_path / "a.png").rgb[3, 3].astype(int)
    # The curve is 2.2 instead of sRGB's, which differs by up to 6 levels in the darks.
    assert np.abs(color - [30, 200, 90]).max() <= 7


def test_profiles_that_change_nothing(tmp_path: Path, rgb):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("srgb.png", srgb), ("broken.png", b"no profile"), ("cut.png", srgb[:200])):
        PillowImage.fromarray(rgb).save(tmp_path / name, icc_profile=profile)
        assert np.array_equal(load_image(tmp_path / name).rgb, rgb), name
    # A profile for colours in a grey picture.
    PillowImage.fromarray(rgb[..., 0]).save(tmp_path / "grey.png", icc_profile=srgb)
    assert np.array_equal(load_image(tmp_path / "grey.png").rgb[..., 2], rgb[..., 0])


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_first_frame_of_an_animation(tmp_path: Path, name):
    frames = [PillowImage.new("RGB", (32, 32), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=50)
    assert load_image(tmp_path / name).rgb[9, 9].argmax() == 0


def test_long_side_is_limited_and_content_stays_in_place(tmp_path: Path, rgb):
    large = ImageOps.scale(PillowImage.fromarray(rgb), 40, PillowImage.Resampling.BILINEAR)  # 2560 x 1600
    large.save(tmp_path / "a.png")
    large.save(tmp_path / "a.jpg", quality=95)
    for name in ("a.png", "a.jpg"):
        image = load_image(tmp_path / name, max_side=64)
        assert image.rgb.shape == rgb.shape
        assert np.abs(image.rgb[12:, 22:].astype(int) - rgb[12:, 22:]).max() <= 6  # Interpolated at the border.
    assert load_image(tmp_path / "a.png").rgb.shape == (1280, 2048, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to have this size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def write_bad_files(folder: Path, rgb: np.ndarray) -> None:
    """One file of each kind that cannot be used."""
    (folder / "folder").mkdir()
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("hello, this is no picture\n" * 20)
    (folder / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(200))
    (folder / "clip.jpg").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(200))
    (folder / "paper.pdf").write_bytes(b"%PDF-1.7\n" + bytes(200))
    (folder / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "old.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n")
    PillowImage.new("RGB", (1, 1)).save(folder / "dot.png")
    PillowImage.new("RGB", (400, 15)).save(folder / "strip.png")
    PillowImage.new("L", (8000, 20)).save(folder / "thread.png")
    PillowImage.new("RGBA", (64, 64)).save(folder / "clear.png")
    (folder / "bomb.png").write_bytes(png_header(30000, 30000))
    (folder / "wide.png").write_bytes(png_header(9000, 8000))
    PillowImage.fromarray(rgb).save(folder / "whole.png")
    PillowImage.fromarray(rgb).save(folder / "whole.jpg")
    for name in ("whole.png", "whole.jpg"):
        data = (folder / name).read_bytes()
        (folder / name.replace("whole", "cut")).write_bytes(data[:-60])
    PillowImage.fromarray(np.full((20, 20), np.nan, np.float32)).save(folder / "nan.tif")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("missing.png", "no such file"),
        ("whole.png/a.png", "no such file"),
        ("folder", "this is a folder"),
        ("empty.png", "empty"),
        ("text.png", "not a picture"),
        ("phone.heic", "HEIC"),
        ("clip.jpg", "video"),
        ("paper.pdf", "PDF"),
        ("drawing.svg", "SVG"),
        ("old.eps", "EPS"),
        ("dot.png", "1x1 pixels, needs at least 16"),
        ("strip.png", "400x15 pixels, needs at least 16"),
        ("thread.png", "2048x5 pixels, needs at least 16"),
        ("clear.png", "transparent everywhere"),
        ("bomb.png", "900 million pixels, needs at most 64 million"),
        ("wide.png", "9000x8000 = 72 million pixels, needs at most 64 million"),
        ("cut.png", "broken or cut off"),
        ("cut.jpg", "broken or cut off"),
        ("nan.tif", "NaN"),
    ],
)
def test_refused_in_one_line_with_a_hint(tmp_path: Path, rgb, name, found):
    write_bad_files(tmp_path, rgb)
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path / name)
    message = str(caught.value)
    assert found in message
    assert "\n" not in message
    assert message.endswith(str(tmp_path / name))
    assert caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path, rgb):
    PillowImage.fromarray(rgb).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        load_image(tmp_path / "a.png")


def test_pipe_is_refused_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="device or a pipe"):
        load_image(tmp_path / "a.png")


def test_damaged_files_raise_nothing_else(tmp_path: Path, rgb):
    """Bytes are changed at random; any outcome but an Image or an ImageError is a bug."""
    random = np.random.default_rng(0)
    refused = 0
    for name in ("a.png", "a.jpg", "a.gif", "a.webp", "a.bmp"):
        PillowImage.fromarray(rgb).save(
            tmp_path / name, **({} if name in ("a.gif", "a.bmp") else {"exif": exif_with(focal_35mm=28)})
        )
        data = (tmp_path / name).read_bytes()
        for _ in range(60):
            damaged = bytearray(data)
            for _ in range(4):
                damaged[int(random.integers(len(data) if random.random() < 0.5 else 64))] = int(random.integers(256))
            (tmp_path / name).write_bytes(damaged)
            try:
                load_image(tmp_path / name)
            except ImageError:
                refused += 1
    assert refused > 30


def test_of_several_pages_the_largest_is_read_and_equal_ones_are_told(tmp_path: Path, rgb, recwarn):
    picture, small = PillowImage.fromarray(rgb), PillowImage.new("RGB", (32, 20))
    small.save(tmp_path / "a.tif", save_all=True, append_images=[picture, small])
    assert np.array_equal(load_image(tmp_path / "a.tif").rgb, rgb)
    assert not recwarn.list
    picture.save(tmp_path / "b.tif", save_all=True, append_images=[picture.rotate(180)])
    with pytest.warns(UserWarning, match="holds 2 pictures, the first of its largest is used"):
        assert np.array_equal(load_image(tmp_path / "b.tif").rgb, rgb)
