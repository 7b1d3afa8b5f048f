import io
import mmap
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core import pictures
from img2world.core.pictures import empty_stack, load_pictures, save_pictures, select_pictures, stack_pictures


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


def is_mapped(array: np.ndarray) -> bool:
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def test_a_large_stack_lies_in_a_file_and_has_the_same_values(tmp_path, monkeypatch):
    rgba = stack(8, 4)
    names = save_pictures(rgba[..., :3], tmp_path, rgba[..., 3])
    monkeypatch.setattr(pictures, "IN_MEMORY", rgba[..., 3].nbytes)  # Alpha is just small enough.
    rgb, alpha = load_pictures(tmp_path, names)
    assert is_mapped(rgb)
    assert alpha is not None
    assert not is_mapped(alpha)
    np.testing.assert_array_equal(np.dstack([rgb[5], alpha[5]]), rgba[5])
    some = select_pictures(rgb, np.array([7, 0, 3, 3, 1, 2, 5]))
    assert is_mapped(some)
    np.testing.assert_array_equal(some, rgba[[7, 0, 3, 3, 1, 2, 5], ..., :3])
    np.testing.assert_array_equal(stack_pictures(iter(rgb), 8), rgba[..., :3])
    with pytest.raises(ValueError, match="zip"):
        stack_pictures(iter(rgb[:7]), 8)


def test_a_large_stack_lies_in_memory_where_the_disk_is_full(monkeypatch):
    monkeypatch.setattr(pictures, "IN_MEMORY", 0)
    monkeypatch.setattr(pictures.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert is_mapped(empty_stack((2, 5, 5)))
    assert not is_mapped(empty_stack((2, 50, 50)))
