"""Photos of which only the middle is given."""

import numpy as np
import pytest
import torch
from skimage import data

from img2world.core.errors import MissingPackageError
from img2world.geometry.fill import fill_smooth
from img2world.geometry.guess import network
from img2world.geometry.outpaint import outpainted

PHOTOS = ("astronaut", "camera", "chelsea", "coffee", "rocket")


def photo(name: str) -> np.ndarray:
    picture = getattr(data, name)()[::2, ::2].astype(np.float32) / 255
    return picture if picture.ndim == 3 else np.dstack([picture] * 3)


def given(whole: np.ndarray) -> tuple[np.ndarray, int]:
    """The middle of a photo, and how much it lacks on each side."""
    margin = round(max(whole.shape[:2]) / 7)
    return whole[margin:-margin, margin:-margin], margin


def test_what_lies_beside_photos_is_nearer_to_the_truth_than_their_borders_going_on():
    gains = []
    for name in PHOTOS:
        whole = photo(name)
        middle, margin = given(whole)
        known = np.pad(np.ones(middle.shape[:2], bool), margin)
        smooth = fill_smooth(np.where(known[..., None], whole, 0), known)
        drawn = outpainted(middle, margin)
        errors = [np.square(picture - whole)[~known].mean() for picture in (smooth, drawn)]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert np.mean(gains) > 0.2
    assert min(gains) > -0.3


@pytest.mark.parametrize("shape", [(120, 90), (64, 200), (33, 47)])
def test_the_picture_itself_keeps_its_bits(shape):
    rgb = np.random.default_rng(0).random((*shape, 3)).astype(np.float32)
    wide = outpainted(rgb, 20)
    assert wide.shape == (shape[0] + 40, shape[1] + 40, 3)
    np.testing.assert_array_equal(wide[20:-20, 20:-20], rgb)
    assert wide.min() >= 0
    assert wide.max() <= 1


def test_there_is_no_seam_at_the_border():
    middle, margin = given(photo("coffee"))
    wide = outpainted(middle, margin)
    across = np.abs(np.diff(wide[margin:-margin], axis=1)).mean((0, 2))
    assert across[margin - 1] < 2 * across[margin : -margin - 1].mean()
    assert across[-margin] < 2 * across[margin : -margin - 1].mean()


def test_a_plain_picture_goes_on_plain():
    wide = outpainted(np.full((96, 128, 3), 0.4, np.float32), 26)
    assert np.abs(wide - 0.4).mean() < 0.06


def test_result_does_not_depend_on_the_number_of_threads():
    middle, margin = given(photo("chelsea"))
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(outpainted(middle, margin))
    torch.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_missing_weights_are_said(monkeypatch, tmp_path):
    network.cache_clear()
    monkeypatch.setattr("img2world.geometry.weights.resource_folder", lambda name: tmp_path)
    with pytest.raises(MissingPackageError, match="weights are missing"):
        outpainted(np.zeros((64, 64, 3), np.float32), 13)
    network.cache_clear()
