import cv2
import numpy as np
import pytest
from skimage import data

from img2world.layered.inpaint import add_texture, extend_colors, extend_nearest, fill_smooth, nearest_known


def test_fills_keep_what_is_known_and_stay_in_range():
    rng = np.random.default_rng(0)
    rgb = rng.random((48, 64, 3), np.float32)
    known = np.ones((48, 64), bool)
    known[10:40, 20:50] = False
    smooth = fill_smooth(rgb, known)
    for filled in (smooth, add_texture(smooth, rgb, known, reach=8.0)):
        np.testing.assert_allclose(filled[known], rgb[known], atol=1e-6)
        assert np.isfinite(filled).all()
        assert filled.min() >= 0
        assert filled.max() <= 1


@pytest.mark.parametrize("seed", range(20))
def test_a_plain_picture_is_filled_plainly(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 130, 2)
    known = rng.random((height, width)) < 0.02
    known[:, : width // 2 + 1] |= seed % 2 == 0
    known[rng.integers(height), rng.integers(width)] = True
    plain = np.full((height, width, 3), 0.6, np.float32)
    given = plain * known[..., None]
    smooth = fill_smooth(given, known)
    for filled in (smooth, add_texture(smooth, given, known, 9.0)):
        np.testing.assert_allclose(filled, plain, atol=1e-4)


def test_grain_continues_texture_better_than_smearing():
    photo = data.brick().astype(np.float32)[:256, :256] / 255
    rgb = np.dstack([photo] * 3)
    known = np.ones((256, 256), bool)
    known[96:160, 96:160] = False
    smeared = cv2.inpaint((rgb * 255).astype(np.uint8), (~known).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    given = np.where(known[..., None], rgb, 0)
    filled = add_texture(fill_smooth(given, known), given, known, reach=32.0)

    def texture(picture):
        return float(np.abs(cv2.Laplacian(picture[96:160, 96:160, 0].astype(np.float32), cv2.CV_32F)).mean())

    truth = texture(rgb)
    assert abs(texture(filled) - truth) < abs(texture(smeared / 255) - truth)


def test_grain_is_mirrored_and_shapes_are_not():
    rng = np.random.default_rng(3)
    rgb = (0.6 + 0.06 * rng.standard_normal((128, 256, 3))).astype(np.float32).clip(0, 1)
    y, x = np.mgrid[:128, :256] + 0.5
    rgb[np.hypot(x - 112, y - 64) < 10] -= 0.4  # a dark thing 6 pixels before the border
    known = x < 128
    given = np.where(known[..., None], rgb, 0)
    filled = add_texture(fill_smooth(given, known), given, known, reach=60.0)
    twin = filled[np.hypot(x - 144, y - 64) < 10]
    assert twin.mean() > 0.5  # the thing itself has 0.2
    beside = filled[8:32, 130:150]
    assert abs(beside.mean() - 0.6) < 0.03
    assert beside.std() > 0.5 * rgb[8:32, 100:125].std()


@pytest.mark.parametrize("seed", range(4))
def test_nearest_known_pixel_is_the_nearest_of_all(seed):
    rng = np.random.default_rng(seed)
    known = rng.random((17, 23)) < 0.05
    known[rng.integers(17), rng.integers(23)] = True
    distance, rows, columns = nearest_known(known)
    y, x = np.mgrid[:17, :23]
    candidates = np.argwhere(known)
    every = np.hypot(y[..., None] - candidates[:, 0], x[..., None] - candidates[:, 1])
    np.testing.assert_allclose(distance, every.min(-1), atol=1e-9)
    assert known[rows, columns].all()
    np.testing.assert_allclose(np.hypot(y - rows, x - columns), distance, atol=1e-9)


def test_extending_copies_known_values_only():
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    known = np.zeros((3, 4), bool)
    known[1, 0] = known[1, 3] = True
    np.testing.assert_array_equal(extend_nearest(values, known), np.tile(np.uint8([4, 4, 7, 7]), (3, 1)))
    colors = np.random.default_rng(0).random((3, 4, 3), np.float32)
    np.testing.assert_array_equal(extend_colors(colors, known)[:, 1], np.tile(colors[1, 0], (3, 1)))
    np.testing.assert_array_equal(extend_colors(colors, np.zeros((3, 4), bool)), np.full((3, 4, 3), np.float32(0.5)))


@pytest.mark.parametrize("slope", [-0.8, 0.0, 0.6, 1.2])
def test_lines_run_on_straight(slope):
    """A dark cable before a plain sky does not turn back at the border."""
    y, x = np.mgrid[:480, :480] + 0.5
    rgb = np.full((480, 480, 3), 0.7, np.float32)
    rgb[np.abs(y - 240 - slope * (x - 360)) < 2 * np.hypot(1, slope)] = 0.2
    known = x < 360
    given = np.where(known[..., None], rgb, 0)
    filled = add_texture(fill_smooth(given, known), given, known, reach=50.0)
    column, row = filled[:, 390, 0], 240 + slope * 30.5
    assert abs(int(column.argmin()) + 0.5 - row) < 5
    assert column.min() < 0.5
    mirrored = round(240 - slope * 30.5)
    assert abs(slope) < 0.1 or column[mirrored - 4 : mirrored + 4].min() > 0.6
