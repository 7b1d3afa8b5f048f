import numpy as np
import torch

from img2world.splat.limits import MAX_ELONGATION, MAX_SCALE, limit_scales


def limited(scales, distance=1.0, in_view=True):
    """Standard deviations of one Gaussian after the limits, for a camera at (1, 2, 3)."""
    center = torch.tensor([1.0, 2.0, 3.0])
    means = (center + torch.tensor([0.6, 0.0, -0.8]) * distance)[None]
    log_scales = torch.tensor(np.float32([scales])).log()
    limit_scales(log_scales, means, center, torch.tensor([in_view]))
    return log_scales.exp()[0].tolist()


def test_no_axis_exceeds_a_fraction_of_the_distance():
    np.testing.assert_allclose(limited([0.5, 0.001, 0.3]), [MAX_SCALE, 0.001, MAX_SCALE], rtol=1e-5)
    np.testing.assert_allclose(limited([0.5, 0.001, 0.3], distance=4), [4 * MAX_SCALE, 0.001, 4 * MAX_SCALE], rtol=1e-5)
    np.testing.assert_allclose(limited([50, 40, 30], distance=1000), [50, 40, 30], rtol=1e-5)


def test_the_longest_axis_is_limited_by_the_second_whatever_their_order():
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        needle, disc = np.float32([0.05, 0.002, 0.001])[order], np.float32([0.05, 0.04, 1e-5])[order]
        np.testing.assert_allclose(limited(needle), np.minimum(needle, 0.002 * MAX_ELONGATION), rtol=1e-5)
        np.testing.assert_allclose(limited(disc), disc, rtol=1e-5)


def test_what_the_camera_does_not_see_stays_as_it_is():
    np.testing.assert_allclose(limited([9, 0.01, 0.01], in_view=False), [9, 0.01, 0.01], rtol=1e-5)
