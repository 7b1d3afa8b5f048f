import cv2
import numpy as np
import pytest

from img2world.core.subject import SceneGeometry
from img2world.layered.layout import place_parts
from img2world.layered.sky import keep_likely

SHAPE = (192, 256)


def picture(boards: int, cables: int = 0) -> np.ndarray:
    """Bright above dark ground: with the shadows of boards across it, or with a few slanted cables before it."""
    rgb = np.full((*SHAPE, 3), 215, np.uint8)
    rgb[96:] = 70
    for i in range(boards):
        row = 8 + i * 84 // boards
        cv2.line(rgb, (0, row), (255, row), (170, 170, 170), 2)
    for i in range(cables):
        cv2.line(rgb, (40 + 90 * i, 0), (80 + 90 * i, 95), (90, 90, 90), 2)
    return rgb


def upper(value: float = 1.0) -> np.ndarray:
    sky = np.zeros(SHAPE, np.float32)
    sky[:96] = value
    return sky


@pytest.mark.parametrize(
    ("boards", "cables", "probability", "is_sky"),
    [(0, 0, 0.7, True), (0, 0, 0.4, False), (12, 0, 0.7, False), (12, 0, 0.95, True), (0, 2, 0.7, True)],
)
def test_a_wall_of_boards_is_no_sky_and_cables_before_a_sky_do_not_matter(boards, cables, probability, is_sky):
    kept = keep_likely(upper(), upper(probability), picture(boards, cables))
    assert (kept[:90] > 0.5).mean() == is_sky
    assert kept.dtype == np.float32


def test_each_region_counts_for_itself():
    sky, predicted = upper(), upper(0.9)
    sky[:, 120:136] = 0
    predicted[:, 128:] = 0.2
    sky = cv2.GaussianBlur(sky, (0, 0), 1)
    kept = keep_likely(sky, predicted, picture(0))
    np.testing.assert_array_equal(kept[:, :118], sky[:, :118])
    assert kept[:, 140:].max() < 0.02


def test_boards_stand_where_the_network_sees_them():
    depth, sky = np.ones((48, 64), np.float32), np.zeros((48, 64), np.float32)
    depth[24:] += np.linspace(0, 0.6, 24, dtype=np.float32)[:, None]
    sky[:24] = 0.7
    scenes = [
        place_parts(picture(boards), SceneGeometry(inverse_depth=depth, sky=sky), None, None) for boards in (0, 12)
    ]
    assert scenes[0].sky is not None
    assert scenes[1].sky is None
    np.testing.assert_allclose(scenes[1].ground_inverse_depth[:80], 1, atol=0.03)
