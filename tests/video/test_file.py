"""Videos of every kind that people have, written by PyAV, and files that are no videos."""

import contextlib
import os
from fractions import Fraction
from pathlib import Path

import av
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


def write_video(path: Path, pictures: list[np.ndarray], *, codec: str = "libx264", times=None, rotation: int = 0, **kw):
    """Encode pictures; `times` in milliseconds make the frame rate vary."""
    with av.open(str(path), "w", options=kw.pop("container", {})) as container:
        stream = container.add_stream(codec, rate=kw.pop("rate", 10))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = kw.pop("pix_fmt", "yuv420p")
        if codec == "libx264":
            stream.options = {"crf": "4"}
        for name, value in kw.items():
            setattr(stream, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def quarters(rgb: np.ndarray) -> np.ndarray:
    """Return the colours at the centres of the four quarters, clockwise from the upper left."""
    height, width = rgb.shape[:2]
    top, bottom, left, right = height // 4, height * 3 // 4, width // 4, width * 3 // 4
    return rgb[[top, top, bottom, bottom], [left, right, right, left]].astype(int)


def sharpness(rgb: np.ndarray) -> float:
    """Return the variance of the Laplacian of the grey values."""
    grey = rgb.mean(-1)
    return float((4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]).var())


@pytest.mark.usefixtures("decoded_here")
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {}),
        ("a.mov", "mpeg4", {"bit_rate": 4_000_000}),
        ("a.webm", "libvpx-vp9", {"bit_rate": 4_000_000}),
        ("a.avi", "mpeg4", {"bit_rate": 4_000_000}),
        ("a.ts", "libx264", {}),
    ],
)
def test_each_container(tmp_path: Path, name, codec, options):
    write_video(tmp_path / name, [corner_picture(5 * i) for i in range(10)], codec=codec, **options)
    # The file name is ignored.
    (tmp_path / name).rename(tmp_path / "video.txt")
    frames = FileVideo(path=tmp_path / "video.txt").generate(None, None)
    assert frames.rgb.shape == (10, 64, 96, 3)
    assert frames.times == pytest.approx(np.arange(10) / 10, abs=2e-3)
    assert frames.ordered
    assert frames.cameras is None
    assert frames.alpha is None
    for i in range(10):
        # Limited colour range, chroma at half size and the codec's loss.
        assert np.abs(quarters(frames.rgb[i]) - COLORS.astype(int) - 5 * i).max() <= 8


@pytest.mark.usefixtures("decoded_here")
def test_gif(tmp_path: Path):
    frames = [PillowImage.fromarray(corner_picture(20 * (i % 2))) for i in range(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 300, 100, 100])
    found = FileVideo(path=tmp_path / "a.gif").generate(None, None)
    assert found.times == pytest.approx([0, 0.1, 0.4, 0.5])
    for i in range(4):
        assert np.abs(quarters(found.rgb[i]) - COLORS.astype(int) - 20 * (i % 2)).max() <= 8


@pytest.mark.usefixtures("decoded_here")
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_metadata_is_honoured(tmp_path: Path, rotation):
    write_video(tmp_path / "a.mp4", [corner_picture()] * 3, rotation=rotation)
    frames = FileVideo(path=tmp_path / "a.mp4").generate(None, None)
    upright = np.rot90(corner_picture(), rotation // 90)  # Counter-clockwise, as PyAV counts.
    assert frames.rgb[0].shape == upright.shape
    assert np.abs(quarters(frames.rgb[0]) - quarters(upright)).max() <= 8


@pytest.mark.usefixtures("decoded_here")
def test_frames_are_even_in_time_when_the_rate_varies(tmp_path: Path):
    # One second at 5 frames a second, then one at 50.
    times = [0, 200, 400, 600, 800, *range(1000, 2001, 20)]
    write_video(tmp_path / "a.mp4", [np.full((64, 96, 3), 4 * i, np.uint8) for i in range(len(times))], times=times)
    frames = FileVideo(path=tmp_path / "a.mp4", num_frames=11).generate(None, None)
    assert frames.times == pytest.approx(np.arange(11) * 0.2, abs=0.071)  # MAX_SHIFT of the step.
    shown = [times[round(level / 4)] / 1000 for level in frames.rgb.mean((1, 2, 3))]
    assert shown == pytest.approx(frames.times.tolist(), abs=1e-3)


@pytest.mark.usefixtures("decoded_here")
def test_repeated_frames_are_left_out_unless_frames_are_even(tmp_path: Path):
    random = np.random.default_rng(0)
    texture = random.integers(0, 255, (16, 40, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    pictures = [texture[:, 2 * min(i, 20) :][:, :96] for i in range(41)]  # moves for half of the time
    write_video(tmp_path / "a.mp4", pictures)
    chosen, even = (
        FileVideo(path=tmp_path / "a.mp4", num_frames=11, even=even).generate(None, None) for even in (False, True)
    )
    assert even.times == pytest.approx(np.arange(11) * 0.4, abs=0.11)  # one frame
    assert (chosen.times > 2.05).sum() <= 1 < (even.times > 2.05).sum()
    few = f"{len(chosen)} of 41 frames were taken; left out were {41 - len(chosen)} "
    assert chosen.selection == few + "between them, as video.num_frames is 11"


@pytest.mark.usefixtures("decoded_here")
def test_sharper_neighbour_is_taken(tmp_path: Path):
    random = np.random.default_rng(0)
    sharp = random.integers(0, 255, (8, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    blurred = np.asarray(PillowImage.fromarray(sharp).resize((12, 8), PillowImage.Resampling.BOX).resize((96, 64)))
    # Even times fall on blurred frames; one frame later is sharp.
    pictures = [sharp if i == 0 or i % 10 == 1 else blurred for i in range(41)]
    write_video(tmp_path / "a.mp4", pictures)
    frames = FileVideo(path=tmp_path / "a.mp4", num_frames=5).generate(None, None)
    assert frames.times[:4] == pytest.approx([0, 1.1, 2.1, 3.1])
    assert min(sharpness(rgb) for rgb in frames.rgb[:4]) > 2 * sharpness(frames.rgb[4])


@pytest.mark.usefixtures("decoded_here")
def test_large_frames_are_scaled_and_pixels_made_square(tmp_path: Path):
    write_video(tmp_path / "a.mp4", [corner_picture(size=(720, 480))] * 2, sample_aspect_ratio=Fraction(4, 3))
    frames = FileVideo(path=tmp_path / "a.mp4", size=320).generate(None, None)
    assert frames.rgb.shape == (2, 160, 320, 3)  # 720 * 4/3 = 960 wide.


@pytest.mark.usefixtures("decoded_here")
def test_hd_colours_without_a_tag_are_bt709(tmp_path: Path):
    picture = np.full((720, 1280, 3), (220, 60, 30), np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode())
    frames = FileVideo(path=tmp_path / "a.mp4", size=64).generate(None, None)
    assert np.abs(frames.rgb[0, 20, 20].astype(int) - picture[0, 0]).max() <= 4


def test_two_runs_are_equal(tmp_path: Path):
    write_video(tmp_path / "a.mp4", [corner_picture(i) for i in range(30)])
    a, b = (FileVideo(path=tmp_path / "a.mp4", num_frames=7).generate(None, None) for _ in range(2))
    assert np.array_equal(a.rgb, b.rgb)
    assert np.array_equal(a.times, b.times)


def write_bad_files(folder: Path) -> None:
    """Write one file or folder of each kind that cannot be used."""
    write_video(folder / "whole.mp4", [corner_picture(i) for i in range(60)], container={"movflags": "faststart"})
    data = (folder / "whole.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    (folder / "head.mp4").write_bytes(data[:300])
    write_video(folder / "one.mp4", [corner_picture()])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("not a video\n" * 50)
    # A playlist may name any file of this machine.
    (folder / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    (folder / "concat.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    PillowImage.fromarray(corner_picture()).save(folder / "picture.jpg")
    (folder / "none").mkdir()
    (folder / "none" / "notes.txt").write_text("nothing")
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for _ in range(20):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.sample_rate = 44100
            container.mux(stream.encode(sound))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "video.path is empty"),
        ("missing.mp4", "No such file"),
        ("cut.mp4", "cut off after"),
        ("head.mp4", "broken|no video track"),
        ("one.mp4", r"1 frame\(s\), needs at least 2"),
        ("empty.mp4", "empty"),
        ("text.mp4", "not a video"),
        ("list.mp4", "not a video"),
        ("concat.mp4", "not a video"),
        ("picture.jpg", "is a picture"),
        ("none", r"0 usable picture\(s\), needs at least 2"),
        ("sound.mp4", "no video track, only audio"),
    ],
)
def test_refused_in_one_line_with_a_hint(tmp_path: Path, name, found):
    write_bad_files(tmp_path)
    with pytest.raises(VideoError, match=found) as caught:
        FileVideo(path=tmp_path / name if name else None).generate(None, None)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert not name or str(caught.value).endswith(str(tmp_path / name))


def test_too_long_and_too_slow(tmp_path: Path):
    write_video(tmp_path / "a.mp4", [corner_picture(i) for i in range(30)])
    with pytest.raises(VideoError, match="3 seconds long, needs at most 1"):
        FileVideo(path=tmp_path / "a.mp4", max_seconds=1.0).generate(None, None)
    with pytest.raises(VideoError, match=r"longer than 0\.05 seconds and was stopped"):
        FileVideo(path=tmp_path / "a.mp4", time_limit=0.05).generate(None, None)


def test_damaged_videos_raise_nothing_else(tmp_path: Path):
    write_video(tmp_path / "whole.mp4", [corner_picture(i) for i in range(20)])
    data = (tmp_path / "whole.mp4").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(6):
        damaged = bytearray(data)
        for _ in range(30):
            damaged[int(random.integers(len(data)))] = int(random.integers(256))
        (tmp_path / "a.mp4").write_bytes(damaged)
        with contextlib.suppress(VideoError):
            FileVideo(path=tmp_path / "a.mp4", time_limit=20.0).generate(None, None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path):
    write_video(tmp_path / "a.mp4", [corner_picture()] * 2)
    (tmp_path / "a.mp4").chmod(0)
    with pytest.raises(VideoError, match="Permission denied"):
        FileVideo(path=tmp_path / "a.mp4").generate(None, None)
