import os
import signal
import subprocess
import sys

import av
import numpy as np
import pytest
import skimage.data

from img2world.core.errors import ExportError
from img2world.export.mp4 import write_mp4


@pytest.fixture(scope="module")
def moving_photo() -> np.ndarray:
    """Thirty frames of odd size in which a photo moves."""
    photo = skimage.data.astronaut()[40:221, 120:361]
    return np.stack([np.roll(photo, 3 * i, axis=1) for i in range(30)])


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_frames_are_decoded_again(moving_photo, tmp_path):
    path = tmp_path / "video.part"
    facts = write_mp4(moving_photo, path, 24.0)
    frames = decoded(path)
    assert frames.shape == (30, 182, 242, 3)  # the last row and column of odd sizes is repeated
    error = np.mean((frames[:, :181, :241].astype(float) - moving_photo) ** 2, axis=(1, 2, 3))
    assert (10 * np.log10(255**2 / error)).min() > 30
    assert facts["psnr"] > 30
    assert (facts["frames"], facts["width"], facts["height"]) == (30, 242, 182)
    np.testing.assert_allclose(frames[:, 181].astype(float).mean(), moving_photo[:, 180].mean(), atol=3)


def test_colour_space_is_tagged_and_the_index_comes_first(moving_photo, tmp_path):
    path = tmp_path / "video.mp4"
    write_mp4(moving_photo, path, 29.97)
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        # 1 stands for BT.709 and for limited range (ITU-T H.273).
        assert [context.colorspace, context.color_primaries, context.color_trc, context.color_range] == [1, 1, 1, 1]
        assert float(stream.average_rate) == pytest.approx(29.97, abs=0.001)
        assert stream.frames == 30


@pytest.mark.parametrize("rgb", [(0, 0, 0), (255, 255, 255), (200, 30, 90), (10, 180, 40)])
def test_flat_colours_follow_bt709(tmp_path, rgb):
    path = tmp_path / "video.mp4"
    write_mp4(np.full((2, 32, 32, 3), rgb, np.uint8), path, 24.0, crf=1)
    with av.open(str(path)) as container:
        planes = next(container.decode(video=0)).to_ndarray().astype(float)
    red, green, blue = rgb
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = [
        16 + 219 / 255 * luma,
        128 + 224 / 255 * (blue - luma) / 1.8556,
        128 + 224 / 255 * (red - luma) / 1.5748,
    ]
    found = [planes[:32].mean(), planes[32:40].mean(), planes[40:].mean()]
    np.testing.assert_allclose(found, expected, atol=1)  # rounding to 8 bits, twice


def test_the_same_frames_give_the_same_bytes(moving_photo, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_mp4(moving_photo, tmp_path / name, 24.0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


FROM_DIRTY_MEMORY = """
import sys
from pathlib import Path
import numpy as np
from img2world.export.mp4 import write_mp4
from img2world.video.synthetic import SyntheticVideo
rgb = SyntheticVideo(size=80, num_frames=10, supersample=1).generate(None, None).rgb
write_mp4(rgb, Path(sys.argv[1]), 12.0)
"""


def test_the_bytes_do_not_depend_on_uninitialized_memory(tmp_path):
    """80 pixels are 5 macroblocks, a width at which x264's mbtree reads uninitialized memory."""
    paths = [tmp_path / "0.mp4", tmp_path / "1.mp4"]
    for path, garbage in zip(paths, ("0", "85"), strict=True):
        # glibc fills new memory with the complement of this byte; other C libraries ignore it.
        environment = {**os.environ, "MALLOC_PERTURB_": garbage}
        subprocess.run([sys.executable, "-c", FROM_DIRTY_MEMORY, str(path)], check=True, env=environment)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_one_tiny_frame_is_a_video(tmp_path):
    write_mp4(np.full((1, 1, 1, 3), 77, np.uint8), tmp_path / "video.mp4", 24.0)
    assert decoded(tmp_path / "video.mp4").shape == (1, 2, 2, 3)


@pytest.mark.parametrize(("count", "fps", "crf"), [(0, 24.0, 18), (3, 0.0, 18), (3, float("nan"), 18), (3, 24.0, 60)])
def test_impossible_options_are_refused(tmp_path, count, fps, crf):
    with pytest.raises(ExportError, match="cannot be written"):
        write_mp4(np.zeros((count, 16, 16, 3), np.uint8), tmp_path / "video.mp4", fps, crf=crf)


def test_wrong_colours_and_missing_frames_are_detected(moving_photo, tmp_path, monkeypatch):
    from img2world.export import mp4

    encode = mp4._encode
    monkeypatch.setattr(mp4, "_encode", lambda rgb, *rest: encode(np.ascontiguousarray(rgb[..., ::-1]), *rest))
    with pytest.raises(ExportError, match="reads back"):
        write_mp4(moving_photo, tmp_path / "video.mp4", 24.0)
    monkeypatch.setattr(mp4, "_encode", lambda rgb, *rest: encode(rgb[:-1], *rest))
    with pytest.raises(ExportError, match="29 frames"):
        write_mp4(moving_photo, tmp_path / "video.mp4", 24.0)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no file size limits on this system")
def test_a_full_disk_is_an_os_error(tmp_path):
    """A limit on file size makes the write fail as on a full disk."""
    program = f"""
import numpy as np, resource, signal
from pathlib import Path
from img2world.export.mp4 import write_mp4
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    noise = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), np.uint8)
    write_mp4(noise, Path({str(tmp_path / "a.mp4")!r}), 24.0)
except OSError as error:
    print("stopped:", error.errno)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("stopped: 27"), done.stderr  # EFBIG
