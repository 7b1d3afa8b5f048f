import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage import data

from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.video.file import FileVideo
from img2world.video.reference_image import insert_reference_image

PHOTO = data.coffee()


def clip(start=0):
    """Return a clip that pans right over a photo cropped to 16:9 as by a generator, blurred as by a codec."""
    height = round(500 * 9 / 16)
    top = (400 - height) // 2
    rows = []
    for x in range(start, start + 50, 10):
        part = PillowImage.fromarray(PHOTO[top : top + height, x : x + 500]).resize((96, 54))
        rows.append(np.asarray(part.resize((48, 27)).resize((96, 54))))
    return Frames(rgb=np.stack(rows), times=np.arange(5) / 5)


def reference_of(x):
    """Return the uncropped photo of the clip's frame at this offset."""
    return Image(rgb=np.ascontiguousarray(PHOTO[:, x : x + 500]))


@pytest.mark.parametrize(("x", "index"), [(0, 0), (40, -1)])
def test_the_picture_replaces_the_frame_that_shows_it(x, index):
    frames = clip()
    inserted = insert_reference_image(frames, reference_of(x))
    changed = [i for i in range(5) if (inserted.rgb[i] != frames.rgb[i]).any()]
    assert changed == [index % 5]
    height = round(500 * 9 / 16)
    top = (400 - height) // 2
    exact = PillowImage.fromarray(PHOTO[top : top + height, x : x + 500]).resize((96, 54))
    before, after = (np.abs(rgb[index] - np.asarray(exact, float)).mean() for rgb in (frames.rgb, inserted.rgb))
    assert after < 0.5 * before


def test_another_picture_is_refused():
    with pytest.raises(VideoError, match=r"neither the first nor the last frame.* at least 0\.75 is needed") as caught:
        insert_reference_image(clip(), Image(rgb=data.astronaut()))
    assert "--image" in caught.value.hint


def test_the_command_takes_it(command, tmp_path):
    from img2world.export.mp4 import write_mp4

    rgb = clip().rgb.repeat(4, 1).repeat(4, 2)[:, :216, :384]
    write_mp4(rgb, tmp_path / "clip.mp4", 5.0)
    PillowImage.fromarray(reference_of(0).rgb).save(tmp_path / "photo.png")
    words = ["--set", "poses.name=commanded", "--out", tmp_path / "run"]
    # Its cameras are not known, so the run ends there; the frames are made.
    done = command("run", tmp_path / "clip.mp4", "--image", tmp_path / "photo.png", *words)
    assert "the frames have no cameras" in done.stderr
    first = np.asarray(PillowImage.open(tmp_path / "run" / "frames" / "0000.png"))
    plain = FileVideo(path=tmp_path / "clip.mp4").generate(None, None)
    assert (first != plain.rgb[0]).any()
    inserted = FileVideo(path=tmp_path / "clip.mp4", still=tmp_path / "photo.png").generate(None, None)
    np.testing.assert_array_equal(inserted.rgb[0], first)
    done = command("run", tmp_path / "photo.png", "--image", tmp_path / "photo.png")
    assert done.returncode == 1
    assert "--image needs a video, this is a " in done.stderr
