import io
import threading

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core import pictures
from img2world.core.pictures import load_pictures, save_pictures


def stack(count: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 12, 20, channels), np.uint8)


def test_pictures_are_written_by_several_threads_in_their_order(tmp_path, monkeypatch):
    together = threading.Barrier(2, timeout=20)  # breaks unless two pictures are being made at once
    make = PillowImage.fromarray

    def make_together(array: np.ndarray) -> PillowImage.Image:
        together.wait()
        return make(array)

    monkeypatch.setattr(pictures, "usable_cores", lambda: 2)
    monkeypatch.setattr(pictures.PillowImage, "fromarray", make_together)
    rgba = stack(8, 4)
    names = save_pictures(rgba[..., :3], tmp_path, rgba[..., 3])
    assert names == [f"000{i}.png" for i in range(8)]
    for name, picture in zip(names, rgba, strict=True):
        alone = io.BytesIO()
        make(picture).save(alone, "PNG", compress_level=1)
        assert (tmp_path / name).read_bytes() == alone.getvalue()
    rgb, alpha = load_pictures(tmp_path, names)
    np.testing.assert_array_equal(np.dstack([rgb[5], alpha[5]]), rgba[5])


def test_one_picture_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "0003.png").mkdir()
    with pytest.raises(IsADirectoryError):
        save_pictures(stack(6, 3), tmp_path)
