import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage import data

from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.video.file import FileVideo
from img2world.video.reference_image import tie_still

PHOTO = data.coffee()


def clip(start=0):
    """A camera that goes right, over a photo cut to 16:9 as generators cut it, with a codec's loss."""
    height = round(500 * 9 / 16)
    top = (400 - height) // 2
    rows = []
    for x in range(start, start + 50, 10):
        part = PillowImage.fromarray(PHOTO[top : top + height, x : x + 500]).resize((96, 54))
        rows.append(np.asarray(part.resize((48, 27)).resize((96, 54))))
    return Frames(rgb=np.stack(rows), times=np.arange(5) / 5)


def still_of(x):
    """The photo that the clip had at this place, uncut."""
    return Image(rgb=np.ascontiguousarray(PHOTO[:, x : x + 500]))


@pytest.mark.parametrize(("x", "place", "index"), [(0, "auto", 0), (40, "auto", -1), (0, "first", 0)])
def test_the_frame_that_shows_it_becomes_the_picture(x, place, index):
    frames = clip()
    tied = tie_still(frames, still_of(x), place)
    changed = [i for i in range(5) if (tied.rgb[i] != frames.rgb[i]).any()]
    assert changed == [index % 5]
    height = round(500 * 9 / 16)
    top = (400 - height) // 2
    exact = PillowImage.fromarray(PHOTO[top : top + height, x : x + 500]).resize((96, 54))
    before, after = (np.abs(rgb[index] - np.asarray(exact, float)).mean() for rgb in (frames.rgb, tied.rgb))
    assert after < 0.5 * before


def test_another_picture_is_refused():
    with pytest.raises(VideoError, match="likeness") as caught:
        tie_still(clip(), Image(rgb=data.astronaut()), "auto")
    assert "--image" in caught.value.hint


def test_the_command_takes_it(command, tmp_path):
    from img2world.export.mp4 import write_mp4

    rgb = clip().rgb.repeat(4, 1).repeat(4, 2)[:, :216, :384]
    write_mp4(rgb, tmp_path / "clip.mp4", 5.0)
    PillowImage.fromarray(still_of(0).rgb).save(tmp_path / "photo.png")
    words = ["--set", "poses.name=commanded", "--out", tmp_path / "run"]
    # Its cameras are not known, so the run ends there; the frames are made.
    done = command("run", tmp_path / "clip.mp4", "--image", tmp_path / "photo.png", *words)
    assert "the frames have no cameras" in done.stderr
    first = np.asarray(PillowImage.open(tmp_path / "run" / "frames" / "0000.png"))
    plain = FileVideo(path=str(tmp_path / "clip.mp4")).generate(None, None)
    assert (first != plain.rgb[0]).any()
    done = command("run", tmp_path / "photo.png", "--image", tmp_path / "photo.png")
    assert done.returncode == 1
    assert "--image ties a frame of a video" in done.stderr
