import numpy as np
import pytest

from img2world.quality.outlines import measure_shape
from img2world.quality.views import View


@pytest.fixture
def make_view(make_cameras):
    """Makes the view of a box of some width and height in the middle of the picture, with stripes of some contrast."""

    def make(width: int, height: int, contrast: float = 0.2) -> View:
        camera = make_cameras([(0, 0, 0)], width=200, height=200)
        mask = np.zeros((200, 200), bool)
        mask[100 - height // 2 : 100 + height // 2, 100 - width // 2 : 100 + width // 2] = True
        wave = 0.5 + contrast * np.sign(np.sin(np.arange(200) * np.pi / 2 + 0.1))
        rgb = np.where(mask[..., None], np.broadcast_to(wave[:, None, None], (200, 200, 3)), 1.0)
        return View(
            camera=camera, rgb=rgb.astype(np.float32), alpha=mask.astype(np.float32), depth=mask.astype(np.float32)
        )

    return make


def test_thickness_is_that_of_the_narrower_side(make_view):
    shape = measure_shape(make_view(80, 120), [make_view(24, 120), make_view(30, 120)], make_view(80, 120))
    assert shape.thickness == pytest.approx(24 / 120)


def test_the_contrast_of_the_back_is_relative_to_the_front(make_view):
    front, sides = make_view(80, 120, contrast=0.2), [make_view(40, 120)] * 2
    assert measure_shape(front, sides, make_view(80, 120, contrast=0.05)).back_detail == pytest.approx(0.25, rel=0.02)
    assert measure_shape(front, sides, make_view(80, 120, contrast=0.0)).back_detail == pytest.approx(0, abs=1e-3)
    assert measure_shape(front, sides, front).back_detail == pytest.approx(1)
    # Nothing is seen from behind.
    assert measure_shape(front, sides, make_view(0, 0)).back_detail == 0
