"""Depth that is blurred as networks do is folded back to the planes and walls that it was made from."""

import cv2
import numpy as np
import pytest

from img2world.layered.popup import evaluate, straighten

HEIGHT, WIDTH = 96, 144
GROUND = np.array([0.1, 3.0, 0.6])
CEILING = np.array([0.0, -2.0, 0.4])


def street(*planes: np.ndarray, contrast: float = 1.0) -> np.ndarray:
    """Walls that recede to the middle of the picture, and planes before them."""
    x = (np.arange(WIDTH) + 0.5) / WIDTH
    walls = np.repeat(0.7 + contrast * np.abs(x - 0.5)[None], HEIGHT, 0)
    return np.max([walls, *(evaluate(plane, HEIGHT, WIDTH) for plane in planes)], axis=0).astype(np.float32)


def everything() -> np.ndarray:
    return np.ones((HEIGHT, WIDTH), bool)


@pytest.mark.parametrize("planes", [(), (GROUND,), (GROUND, CEILING)])
def test_blurred_walls_and_planes_are_straight_again(planes):
    truth = street(*planes)
    found = straighten(cv2.GaussianBlur(truth, (0, 0), 4), everything(), has_ceiling=True)
    assert found is not None
    error = np.abs(np.log(found / truth))
    assert np.median(error) < 0.015
    assert np.percentile(error, 95) < 0.06
    # A pole is as far at its top as at its foot.
    upright = slice(round(0.4 * HEIGHT), round(0.5 * HEIGHT))
    np.testing.assert_allclose(np.ptp(found[upright], axis=0), 0, atol=1e-6)


def test_the_ground_is_a_plane_also_where_things_hide_it_or_stand_before_it():
    truth = street(GROUND)
    predicted, known = cv2.GaussianBlur(truth, (0, 0), 2), everything()
    predicted[40:80, 30:60] = 2.4  # A bush that was not cut out.
    known[50:90, 80:110] = False
    predicted[~known] = 9.0
    found = straighten(predicted, known, has_ceiling=False)
    assert found is not None
    lower = found[84:, :]
    assert np.abs(lower / truth[84:] - 1).max() < 0.05
    assert np.abs(np.diff(lower, n=2, axis=0)).max() < 1e-4


def test_a_ceiling_is_sought_only_where_there_may_be_one():
    truth = street(GROUND, CEILING, contrast=0.2)
    found = [straighten(truth, everything(), has_ceiling=has_ceiling) for has_ceiling in (True, False)]
    slopes = [np.median(values[:8] - values[8:16]) for values in found if values is not None]
    assert slopes[0] == pytest.approx(2.0 * 8 / WIDTH, rel=0.1)
    assert slopes[1] == 0


def test_what_is_not_of_this_form_is_left_alone():
    rng = np.random.default_rng(0)
    noise = np.exp(cv2.GaussianBlur(rng.normal(0, 4, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 4))
    assert straighten(noise, everything(), has_ceiling=True) is None
    assert straighten(street(GROUND), np.zeros((HEIGHT, WIDTH), bool), has_ceiling=True) is None
