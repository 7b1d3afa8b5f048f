"""HDR, HEIC, linear light, JPEG XL and other pictures that need more than Pillow, made here by other programs."""

import builtins
import os
import struct
import sys
import warnings
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import ImageError, Img2WorldError, MissingPackageError
from img2world.core.image_file import load_image

HEVC = {"crf": "4", "x265-params": "log-level=none:pools=none:frame-threads=1:bframes=0"}

BT2020_FROM_BT709 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


@pytest.fixture
def rgb() -> np.ndarray:
    """A smooth picture, red to the right, green downwards, which codecs hardly change."""
    red, green = np.meshgrid(np.linspace(20, 220, 96), np.linspace(30, 200, 64))
    return np.stack([red, green, 120 - red / 3], -1).round().astype(np.uint8)


def linear_light(rgb: np.ndarray) -> np.ndarray:
    """Return linear light of sRGB values (IEC 61966-2-1)."""
    srgb = rgb / 255.0
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def pq_code(rgb: np.ndarray) -> np.ndarray:
    """Return sRGB colours as BT.2020 PQ with white at 203 cd/m², 0 to 1."""
    y = np.clip(linear_light(rgb) @ BT2020_FROM_BT709.T * 203 / 10000, 0, 1) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def pq_frame(rgb: np.ndarray) -> av.VideoFrame:
    """Return sRGB colours as a frame of 10-bit BT.2020 PQ (limited range, 4:2:0)."""
    red, green, blue = np.moveaxis(pq_code(rgb), -1, 0)
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    halved = [c.reshape(len(c) // 2, 2, -1, 2).mean((1, 3)) for c in ((blue - luma) / 1.8814, (red - luma) / 1.4746)]
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], "yuv420p10le")
    planes = (876 * luma + 64, *(896 * c + 512 for c in halved))
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((len(values), plane.line_size // 2), "<u2")
        rows[:, : values.shape[1]] = np.round(values)
        plane.update(rows.tobytes())
    return frame


def encode(path: Path, frames: list[av.VideoFrame], codec: str, pix_fmt: str, options: dict, *, hdr: bool) -> None:
    """Write frames by PyAV, tagged as BT.2020 PQ where they are that."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pix_fmt
        if hdr:
            context = stream.codec_context
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1
        for i, frame in enumerate(frames):
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def full_box(kind: bytes, body: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags) + body)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def write_heic(path: Path, rgb: np.ndarray, *, hdr: bool = False, rotation: int = 0) -> None:
    """Write a HEIC file (ISO/IEC 23008-12) around one intra frame of x265; quarter turns counter-clockwise."""
    frame = pq_frame(rgb) if hdr else av.VideoFrame.from_ndarray(rgb, "rgb24")
    movie = path.with_suffix(".mp4")
    encode(movie, [frame], "libx265", "yuv420p10le" if hdr else "yuv420p", HEVC, hdr=hdr)
    with av.open(str(movie)) as container:
        stream = container.streams.video[0]
        config, sample = bytes(stream.codec_context.extradata), bytes(next(container.demux(stream)))
    properties = [box(b"hvcC", config), full_box(b"ispe", struct.pack(">II", rgb.shape[1], rgb.shape[0]))]
    properties += [box(b"colr", b"nclx" + struct.pack(">3HB", 9, 16, 9, 0))] if hdr else []
    properties += [box(b"irot", bytes([rotation]))] if rotation else []
    used = bytes([0x81, *range(2, len(properties) + 1)])

    def meta(offset: int) -> bytes:
        parts = full_box(b"hdlr", bytes(4) + b"pict" + bytes(13)) + full_box(b"pitm", struct.pack(">H", 1))
        parts += full_box(b"iloc", struct.pack(">5H2I", 0x4400, 1, 1, 0, 1, offset, len(sample)))
        entry = full_box(b"infe", struct.pack(">2H4s", 1, 0, b"hvc1") + b"\0", version=2)
        parts += full_box(b"iinf", struct.pack(">H", 1) + entry)
        association = full_box(b"ipma", struct.pack(">IHB", 1, 1, len(used)) + used)
        return full_box(b"meta", parts + box(b"iprp", box(b"ipco", b"".join(properties)) + association))

    start = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    path.write_bytes(start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", sample))


def worst(path: Path, expected: np.ndarray) -> int:
    return int(np.abs(load_image(path).rgb.astype(int) - expected).max())


def test_heic(tmp_path: Path, rgb):
    write_heic(tmp_path / "a.heic", rgb)
    (tmp_path / "a.heic").rename(tmp_path / "a.jpg")  # As some phones send them.
    assert worst(tmp_path / "a.jpg", rgb) <= 6
    write_heic(tmp_path / "b.heic", rgb, rotation=1)
    assert worst(tmp_path / "b.heic", np.rot90(rgb)) <= 6


def test_heic_in_hdr(tmp_path: Path, rgb):
    write_heic(tmp_path / "a.heic", rgb, hdr=True)
    found = load_image(tmp_path / "a.heic").rgb.astype(int)
    assert np.abs(found - rgb).mean() <= 2
    assert np.abs(found - rgb).max() <= 24


@pytest.fixture
def usual_scheduling():
    """Undo that SVT-AV1, called by root, turns the thread that calls it into one of real time, ahead of all others."""
    yield
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def test_avif_in_hdr(tmp_path: Path, rgb, usual_scheduling):
    encode(tmp_path / "a.avif", [pq_frame(rgb)], "libsvtav1", "yuv420p10le", {"crf": "8"}, hdr=True)
    found = load_image(tmp_path / "a.avif").rgb.astype(int)
    assert np.abs(found - rgb).mean() <= 2
    assert np.abs(found - rgb).max() <= 16


def png_with(path: Path, pixels: np.ndarray, chunk: tuple[bytes, bytes]) -> None:
    """Write an RGB PNG with one more chunk after its header."""
    kind, data = chunk
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    whole = path.read_bytes()
    extra = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(whole[:33] + extra + whole[33:])


def test_png_names_its_encoding(tmp_path: Path, rgb):
    code = np.round(pq_code(rgb) * 65535).astype(np.uint16)
    png_with(tmp_path / "pq.png", code, (b"cICP", bytes([9, 16, 0, 1])))
    assert worst(tmp_path / "pq.png", rgb) <= 2
    png_with(tmp_path / "srgb.png", rgb, (b"cICP", bytes([1, 13, 0, 1])))
    assert worst(tmp_path / "srgb.png", rgb) == 0
    linear = np.round(linear_light(rgb) * 65535).astype(np.uint16)
    png_with(tmp_path / "linear.png", linear, (b"gAMA", struct.pack(">I", 100000)))
    assert worst(tmp_path / "linear.png", rgb) <= 1
    png_with(tmp_path / "gamma.png", rgb, (b"gAMA", struct.pack(">I", 45455)))
    assert worst(tmp_path / "gamma.png", rgb) == 0
    png_with(tmp_path / "nonsense.png", rgb, (b"gAMA", bytes(4)))
    assert worst(tmp_path / "nonsense.png", rgb) == 0


def write_exr(path: Path, channels: np.ndarray, *, half: bool) -> None:
    """Write an OpenEXR file by FFmpeg."""
    height, width, count = channels.shape
    context = av.CodecContext.create("exr", "w")
    context.width, context.height, context.pix_fmt = width, height, "gbrpf32le" if count == 3 else "gbrapf32le"
    context.time_base, context.options = Fraction(1, 1), {"format": "half" if half else "float"}
    frame = av.VideoFrame.from_ndarray(channels.astype(np.float32), context.pix_fmt)
    frame.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))


@pytest.mark.parametrize("half", [False, True])
def test_openexr(tmp_path: Path, rgb, half):
    light = linear_light(rgb)
    write_exr(tmp_path / "a.exr", light, half=half)
    with pytest.warns(UserWarning, match="linear light was tone mapped to sRGB$"):
        assert worst(tmp_path / "a.exr", rgb) <= 5  # The brightest red lies above the knee.
    light[:4, :4] = 30.0  # A lamp.
    write_exr(tmp_path / "lamp.exr", light, half=half)
    with pytest.warns(UserWarning, match="tone mapped"):
        image = load_image(tmp_path / "lamp.exr")
    assert (image.rgb[:3, :3] == 255).all()
    assert np.abs(image.rgb[8:].astype(int) - rgb[8:]).max() <= 5


def test_openexr_colours_are_multiplied_by_coverage(tmp_path: Path, rgb):
    coverage = np.full((*rgb.shape[:2], 1), 0.5)
    coverage[:32] = 1
    write_exr(tmp_path / "a.exr", np.dstack([linear_light(rgb) * coverage, coverage]), half=False)
    with pytest.warns(UserWarning, match="tone mapped"):
        image = load_image(tmp_path / "a.exr")
    assert np.abs(image.rgb.astype(int) - rgb).max() <= 5
    assert np.abs(image.alpha.astype(int) - 255 * coverage[..., 0]).max() <= 1


def test_radiance_of_unknown_scale_is_exposed(tmp_path: Path, rgb):
    found = []
    for name, scale in (("lit.hdr", 1.0), ("dark.hdr", 1e-4)):
        cv2.imwrite(str(tmp_path / name), (linear_light(rgb)[..., ::-1] * scale).astype(np.float32))
        with pytest.warns(UserWarning, match="exposed" if scale < 1 else "sRGB$"):
            found.append(load_image(tmp_path / name).rgb.astype(int))
    assert np.abs(found[0] - rgb).max() <= 8  # Eight bits of mantissa.
    assert 60 < found[1].mean() < 140


def test_tiff_of_floats(tmp_path: Path, rgb):
    cv2.imwrite(str(tmp_path / "finished.tif"), (rgb[..., ::-1] / 255).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert worst(tmp_path / "finished.tif", rgb) <= 1
    light = linear_light(rgb)
    light[0, 0] = 3.0
    cv2.imwrite(str(tmp_path / "light.tif"), light[..., ::-1].astype(np.float32))
    with pytest.warns(UserWarning, match="tone mapped"):
        image = load_image(tmp_path / "light.tif")
    assert np.abs(image.rgb[1:].astype(int) - rgb[1:]).max() <= 5


def write_tiff(path: Path, pixels: bytes, width: int, height: int, tags: dict[int, int]) -> None:
    """Write an uncompressed grey TIFF 6.0 by hand."""
    all_tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 277: 1, 278: height, 279: len(pixels)} | tags
    offset = 8 + 2 + 12 * (len(all_tags) + 1) + 4
    entries = b"".join(
        struct.pack("<2H2I", tag, 4, 1, value) for tag, value in sorted((all_tags | {273: offset}).items())
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(all_tags) + 1)
    path.write_bytes(head + entries + bytes(4) + pixels)


def test_twelve_bits(tmp_path: Path):
    grey = (np.arange(24 * 32) % 256).reshape(24, 32).astype(np.uint16)
    value = np.round(grey / 255 * 4095).astype(np.uint16)
    bits = "".join(f"{int(v):012b}" for v in value.ravel())
    packed = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    write_tiff(tmp_path / "packed.tif", packed, 32, 24, {258: 12})
    write_tiff(tmp_path / "named.tif", value.astype("<u2").tobytes(), 32, 24, {281: 4095})
    (tmp_path / "a.pgm").write_bytes(b"P5 32 24 4095\n" + value.astype(">u2").tobytes())
    for name in ("packed.tif", "named.tif", "a.pgm"):
        assert np.abs(load_image(tmp_path / name).rgb[..., 1].astype(int) - grey).max() <= 1, name


def test_jpeg_xl(tmp_path: Path, rgb, monkeypatch):
    imagecodecs = pytest.importorskip("imagecodecs")
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:9] = 40
    files = {
        "a.jxl": (rgb, rgb),
        "wide.jxl": (np.tile(rgb, (1, 4, 1)),) * 2,
        "deep.jxl": (rgb.astype(np.uint16) * 257, rgb),
        "grey.jxl": (rgb[..., 0], rgb[..., [0, 0, 0]]),
        "alpha.jxl": (np.dstack([rgb, alpha]), rgb),
    }
    for name, (pixels, expected) in files.items():
        (tmp_path / name).write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
        assert worst(tmp_path / name, expected) <= 1, name
    assert np.array_equal(load_image(tmp_path / "alpha.jxl").alpha, alpha)
    with pytest.raises(ImageError, match="384x64 = 0 million pixels"):
        load_image(tmp_path / "wide.jxl", max_pixels=20_000)


def test_jpeg_xl_without_its_package(tmp_path: Path, monkeypatch):
    # A codestream of 64 x 64 pixels: small = 1, height = (7 + 1) * 8, ratio 1:1.
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + (1 | 7 << 1 | 1 << 6).to_bytes(2, "little") + bytes(60))
    real = builtins.__import__

    def no_codecs(name, *args, **kwargs):
        if name == "imagecodecs":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_codecs)
    with pytest.raises(MissingPackageError, match="JPEG XL needs the package imagecodecs") as caught:
        load_image(tmp_path / "a.jxl")
    assert "pip install" in caught.value.hint


def write_bad_files(folder: Path, rgb: np.ndarray) -> None:
    """One file of each kind that must be refused."""
    write_exr(folder / "whole.exr", linear_light(rgb), half=False)
    whole = (folder / "whole.exr").read_bytes()
    (folder / "cut.exr").write_bytes(whole[:2000])
    (folder / "head.exr").write_bytes(whole[:8] + bytes(200))
    at = whole.find(b"Window\0box2i\0") + 17
    (folder / "bomb.exr").write_bytes(whole[:at] + struct.pack("<4i", 0, 0, 99999, 99999) + whole[at + 16 :])
    write_exr(folder / "nan.exr", np.full((32, 32, 3), np.nan), half=False)
    (folder / "bomb.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n" + bytes(400))
    (folder / "head.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n" + bytes(400))
    (folder / "bomb.jxl").write_bytes(b"\xff\x0a" + (3 << 1 | 99999 << 3 | 1 << 33).to_bytes(8, "little") + bytes(60))
    write_heic(folder / "whole.heic", rgb)
    (folder / "cut.heic").write_bytes((folder / "whole.heic").read_bytes()[:-300])
    write_tiff(folder / "raw.dng", bytes(2 * 32 * 24), 32, 24, {254: 1})


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cut.exr", "broken or cut off"),
        ("head.exr", "broken or cut off"),
        ("bomb.exr", "10000 million pixels"),
        ("nan.exr", "NaN"),
        ("bomb.hdr", "8100 million pixels"),
        ("head.hdr", "it has no resolution"),
        ("bomb.jxl", "10000 million pixels"),
        ("cut.heic", "broken or cut off|damaged"),
        ("raw.dng", "only the thumbnail"),
    ],
)
def test_refused_in_one_line_with_a_hint(tmp_path: Path, rgb, name, found):
    write_bad_files(tmp_path, rgb)
    with pytest.raises(ImageError, match=found) as caught:
        load_image(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(str(tmp_path / name))
    assert caught.value.hint


def test_damaged_files_raise_nothing_else(tmp_path: Path, rgb):
    """Bytes are changed at random; any outcome but an Image or an Img2WorldError is a bug."""
    write_bad_files(tmp_path, rgb)
    cv2.imwrite(str(tmp_path / "whole.tif"), (rgb / 255).astype(np.float32))
    cv2.imwrite(str(tmp_path / "whole.hdr"), (rgb / 255).astype(np.float32))
    png_with(tmp_path / "whole.png", rgb, (b"cICP", bytes([9, 16, 0, 1])))
    random = np.random.default_rng(0)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(tmp_path.glob("whole.*")):
            if path.suffix == ".mp4":
                continue
            data = path.read_bytes()
            for _ in range(15):
                damaged = bytearray(data)
                for _ in range(4):
                    damaged[int(random.integers(len(data) if random.random() < 0.5 else 200))] = int(
                        random.integers(256)
                    )
                path.write_bytes(damaged)
                try:
                    load_image(path)
                except Img2WorldError:
                    refused += 1
    assert refused > 15


def test_memory_that_runs_out_is_said(tmp_path: Path, rgb, monkeypatch):
    PillowImage.fromarray(rgb).save(tmp_path / "a.png")

    def fail(self) -> None:
        raise MemoryError

    monkeypatch.setattr(PillowImage.Image, "load", fail)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(ImageError, match="memory ran out"):
        load_image(tmp_path / "a.png")
