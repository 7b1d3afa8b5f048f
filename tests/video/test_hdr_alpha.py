"""Videos in HDR, with transparency, of changing size or with odd metadata, and animated pictures."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import VideoError
from img2world.runs.source import find_source
from img2world.video.file import FileVideo

BT2020_FROM_BT709 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""ITU-R BT.2087-0, section 2."""


pytestmark = pytest.mark.usefixtures("decoded_here")


def smooth_picture(shift: int = 0) -> np.ndarray:
    """Return a picture [64, 96, 3] of smooth colours, which codecs hardly change."""
    red, green = np.meshgrid(np.linspace(20, 200, 96), np.linspace(30, 190, 64))
    return np.roll(np.stack([red, green, 120 - red / 3], -1).round().astype(np.uint8), shift, 1)


def hdr_frame(rgb: np.ndarray, transfer: int) -> av.VideoFrame:
    """Return sRGB colours as 10-bit BT.2020 in PQ with white at 203 cd/m² or in HLG with white at 75 %."""
    srgb = rgb / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ BT2020_FROM_BT709.T
    if transfer == 16:
        y = np.clip(light * 203 / 10000, 0, 1) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    else:
        scene = 0.265 * light
        log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)
    red, green, blue = np.moveaxis(code, -1, 0)
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    halved = [c.reshape(len(c) // 2, 2, -1, 2).mean((1, 3)) for c in ((blue - luma) / 1.8814, (red - luma) / 1.4746)]
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], "yuv420p10le")
    for plane, values in zip(frame.planes, (876 * luma + 64, *(896 * c + 512 for c in halved)), strict=True):
        rows = np.zeros((len(values), plane.line_size // 2), "<u2")
        rows[:, : values.shape[1]] = np.round(values)
        plane.update(rows.tobytes())
    return frame


def encode(path: Path, frames: list[av.VideoFrame], codec: str, pix_fmt: str, options: dict, colors=None) -> None:
    """Write frames at 10 a second; `colors` are transfer characteristics, if they are HDR."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pix_fmt
        if colors:
            context = stream.codec_context
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, colors, 9, 1
        for i, frame in enumerate(frames):
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_becomes_srgb(tmp_path: Path, transfer):
    # H.264, since encoders of HEVC and AV1 are slow; the tags are the same.
    frames = [hdr_frame(smooth_picture(), transfer) for _ in range(3)]
    encode(tmp_path / "a.mkv", frames, "libx264", "yuv420p10le", {"crf": "4"}, colors=transfer)
    found = FileVideo(path=tmp_path / "a.mkv").generate(None, None)
    for i in range(3):
        error = np.abs(found.rgb[i].astype(int) - smooth_picture())
        assert error.mean() < 2
        assert np.percentile(error, 99) < 12  # Chroma has half the size.


def moving_disc(i: int) -> np.ndarray:
    """Return RGBA colours [64, 96, 4] of a disc that moves to the right."""
    rows, columns = np.mgrid[:64, :96]
    disc = (columns - 40 - 2 * i) ** 2 + (rows - 32) ** 2 < 22**2
    return np.dstack([smooth_picture(), disc * np.uint8(255)])


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.webm", "libvpx-vp9", "yuva420p", {"crf": "10", "b": "0", "auto-alt-ref": "0"}),
        ("b.webm", "libvpx", "yuva420p", {"crf": "10", "b": "2M", "auto-alt-ref": "0"}),
        ("prores.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("animation.mov", "qtrle", "argb", {}),
        ("a.gif", "", "", {}),
        ("a.webp", "", "", {"lossless": True}),
        ("a.png", "", "", {}),
        ("a.avif", "", "", {"quality": 95}),
    ],
)
def test_transparent_videos(tmp_path: Path, name, codec, pix_fmt, options):
    pictures = [moving_disc(i) for i in range(6)]
    if codec:
        encode(tmp_path / name, [av.VideoFrame.from_ndarray(p, "rgba") for p in pictures], codec, pix_fmt, options)
    else:
        images = [PillowImage.fromarray(picture) for picture in pictures]
        options = options | ({"disposal": 2} if name == "a.gif" else {})
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=100, **options)
    assert find_source(tmp_path / name).kind == "video"
    frames = FileVideo(path=tmp_path / name).generate(None, None)
    assert frames.alpha is not None
    assert frames.times == pytest.approx(np.arange(6) / 10, abs=2e-3)
    for i in range(6):
        expected = pictures[i][..., 3]
        assert np.abs(frames.alpha[i].astype(int) - expected).mean() < 2
        assert (frames.rgb[i][frames.alpha[i] == 0] == 255).all()  # White behind it.
        inside = (frames.alpha[i] == 255) & (expected == 255)
        error = np.abs(frames.rgb[i].astype(int) - pictures[i][..., :3])[inside]
        assert error.mean() < (14 if name == "a.gif" else 4)  # A palette has few colours.


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif"])
def test_a_picture_of_one_frame_is_no_video(tmp_path: Path, name):
    PillowImage.fromarray(smooth_picture()).save(tmp_path / name)
    assert find_source(tmp_path / name).kind == "picture"
    with pytest.raises(VideoError, match="is a picture, a video is needed"):
        FileVideo(path=tmp_path / name).generate(None, None)


def write_avi(path: Path, pictures: list[np.ndarray]) -> None:
    """Write an AVI of JPEGs by hand (AVI RIFF file reference); each may have its own size."""
    import io
    import struct

    def chunk(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

    jpegs = []
    for picture in pictures:
        buffer = io.BytesIO()
        PillowImage.fromarray(picture).save(buffer, "JPEG", quality=95, subsampling=0)
        jpegs.append(buffer.getvalue())
    height, width = pictures[0].shape[:2]
    count = len(pictures)
    main = struct.pack("<14I", 100000, 0, 0, 0x10, count, 0, 1, 0, width, height, 0, 0, 0, 0)
    header = b"vidsMJPG" + struct.pack("<10I4H", 0, 0, 0, 1, 10, 0, count, 0, 0, 0, 0, 0, width, height)
    bitmap = (
        struct.pack("<3I2H", 40, width, height, 1, 24) + b"MJPG" + struct.pack("<5I", width * height * 3, 0, 0, 0, 0)
    )
    stream = chunk(b"LIST", b"strl" + chunk(b"strh", header) + chunk(b"strf", bitmap))
    lists = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + stream)
    lists += chunk(b"LIST", b"movi" + b"".join(chunk(b"00dc", jpeg) for jpeg in jpegs))
    path.write_bytes(chunk(b"RIFF", b"AVI " + lists))


def test_size_may_change_midway(tmp_path: Path):
    large = [np.asarray(PillowImage.fromarray(smooth_picture(i)).resize((192, 128))) for i in range(6)]
    write_avi(tmp_path / "a.avi", [*large, *(smooth_picture(i) for i in range(4))])
    frames = FileVideo(path=tmp_path / "a.avi").generate(None, None)
    assert frames.rgb.shape == (10, 128, 192, 3)
    assert np.abs(frames.rgb[6].astype(int) - large[0]).mean() < 3


def test_frames_of_another_shape_are_left_out_and_this_is_said(tmp_path: Path):
    turned = [np.ascontiguousarray(np.rot90(smooth_picture(i))) for i in range(3)]
    write_avi(tmp_path / "a.avi", [*(smooth_picture(i) for i in range(6)), *turned])
    with pytest.warns(UserWarning, match="3 of 9 frames of the video were left out"):
        frames = FileVideo(path=tmp_path / "a.avi").generate(None, None)
    assert frames.rgb.shape == (6, 64, 96, 3)
    assert np.abs(frames.rgb[0].astype(int) - smooth_picture()).mean() < 3


def test_metadata_in_any_encoding(tmp_path: Path):
    frames = [av.VideoFrame.from_ndarray(smooth_picture(i), "rgb24") for i in range(3)]
    encode(tmp_path / "a.mp4", frames, "libx264", "yuv420p", {})
    data = (tmp_path / "a.mp4").read_bytes()
    assert b"VideoHandler" in data
    (tmp_path / "a.mp4").write_bytes(data.replace(b"VideoHandler", b"Vid\xe9oHandler"))  # Latin-1.
    assert len(FileVideo(path=tmp_path / "a.mp4").generate(None, None)) == 3


def test_chosen_frames_are_the_same_as_in_a_whole_decoding(tmp_path: Path):
    """Groups of pictures without a chosen frame are skipped; B-frames and short groups must not matter."""
    random = np.random.default_rng(0)
    texture = random.integers(0, 255, (16, 80, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    pictures = [np.ascontiguousarray(texture[:, i : i + 96]) for i in range(120)]
    frames = [av.VideoFrame.from_ndarray(picture, "rgb24") for picture in pictures]
    encode(tmp_path / "a.mp4", frames, "libx264", "yuv420p", {"crf": "8", "g": "12", "bf": "3"})
    found = FileVideo(path=tmp_path / "a.mp4", num_frames=5, even=True).generate(None, None)
    with av.open(str(tmp_path / "a.mp4")) as container:
        whole = {frame.time: frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)}
    start = min(whole)
    assert len(found) == 5
    for time, rgb in zip(found.times, found.rgb, strict=True):
        nearest = min(whole, key=lambda key: abs(key - start - time))
        assert abs(nearest - start - time) < 1e-3
        assert np.array_equal(rgb, whole[nearest])


@pytest.mark.parametrize(
    ("name", "codec"), [("a.flv", "flv"), ("a.mpg", "mpeg2video"), ("a.wmv", "wmv2"), ("a.ogv", "libvpx")]
)
def test_old_containers(tmp_path: Path, name, codec):
    frames = [av.VideoFrame.from_ndarray(smooth_picture(), "rgb24") for _ in range(8)]
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"b": "2M"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = FileVideo(path=tmp_path / name).generate(None, None)
    assert len(found) >= 7
    assert np.abs(found.rgb[3].astype(int) - smooth_picture()).mean() < 6


def test_transport_stream_of_a_camcorder(tmp_path: Path):
    frames = [av.VideoFrame.from_ndarray(smooth_picture(i), "rgb24") for i in range(8)]
    encode(tmp_path / "a.ts", frames, "libx264", "yuv420p", {})
    packets = (tmp_path / "a.ts").read_bytes()
    stamped = b"".join(bytes(4) + packets[i : i + 188] for i in range(0, len(packets), 188))
    (tmp_path / "a.mts").write_bytes(stamped)  # Each packet follows a time code of four bytes.
    assert find_source(tmp_path / "a.mts").kind == "video"
    assert len(FileVideo(path=tmp_path / "a.mts").generate(None, None)) == 8
