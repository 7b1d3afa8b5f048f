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


def test_the_back_is_plain_by_the_contrast_that_it_lacks(make_view):
    front, sides = make_view(80, 120, contrast=0.2), [make_view(40, 120)] * 2

    def plain(contrast: float) -> float:
        return measure_shape(front, sides, make_view(80, 120, contrast=contrast)).plain_back

    # Stripes of two pixels differ from their mean by their contrast.
    assert plain(0.05) == pytest.approx(0.15, rel=0.05)
    assert plain(0.0) == pytest.approx(0.2, rel=0.05)
    assert plain(0.2) == 0
    assert plain(0.3) == 0


def test_legs_that_are_fused_from_the_side_shorten_the_outline(make_view):
    solid = make_view(80, 120)
    legs = solid.alpha.copy()
    legs[100:, 70:130] = 0  # Two legs of 10 pixels, 60 high.
    front = View(camera=solid.camera, rgb=solid.rgb, alpha=legs, depth=legs)
    # The outlines are 2 (80 + 120) + 2 * 60 and 2 (80 + 120), less a few: they run through the centers of pixels.
    expected = 1 - (400 / np.sqrt(80 * 120)) / (520 / np.sqrt(80 * 120 - 60 * 60))
    assert measure_shape(front, [solid, front], solid).fused == pytest.approx(expected, abs=0.02)
    assert measure_shape(front, [front, front], front).fused == 0
    assert measure_shape(solid, [front, front], front).fused == 0
