"""Outpainting of photos of which only a part is given."""

import numpy as np
import pytest
import torch
from skimage import data

from img2world.core.errors import MissingPackageError
from img2world.depth.predict import network
from img2world.layered.inpaint import fill_smooth
from img2world.layered.outpaint import outpaint

PHOTOS = ("astronaut", "camera", "chelsea", "coffee", "rocket")


def photo(name: str) -> np.ndarray:
    picture = getattr(data, name)()[::2, ::2].astype(np.float32) / 255
    return picture if picture.ndim == 3 else np.dstack([picture] * 3)


def central_mask(whole: np.ndarray) -> np.ndarray:
    """The mask of the central part of a photo."""
    margin = round(max(whole.shape[:2]) / 7)
    return np.pad(np.ones((whole.shape[0] - 2 * margin, whole.shape[1] - 2 * margin), bool), margin)


def psnr_gains(masks: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """The gains in PSNR of outpainting over smooth fill where photos are not given, in dB."""
    gains = []
    for whole, known in masks:
        given = np.where(known[..., None], whole, 0)
        errors = [
            np.square(picture - whole)[~known].mean() for picture in (fill_smooth(given, known), outpaint(given, known))
        ]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    return gains


def test_outpainting_is_nearer_to_the_truth_than_extended_borders():
    gains = psnr_gains([(photo(name), central_mask(photo(name))) for name in PHOTOS])
    assert np.mean(gains) > 0.2
    assert min(gains) > -0.3


def test_inpainting_is_not_farther_from_the_truth_than_smooth_fill():
    holes = []
    for name in PHOTOS:
        whole = photo(name)
        known, (height, width) = central_mask(whole), whole.shape[:2]
        inside = known.copy()
        known[height // 2 : height * 3 // 4, width // 3 : width // 2] = False
        holes.append((np.where(inside[..., None], whole, fill_smooth(whole, known)), known | ~inside))
    assert np.mean(psnr_gains(holes)) > -0.1


@pytest.mark.parametrize("shape", [(120, 90), (64, 200), (33, 47)])
def test_known_pixels_keep_their_bits(shape):
    rgb = np.random.default_rng(0).random((*shape, 3)).astype(np.float32)
    known = np.zeros(shape, bool)
    known[10:-12, 9:-11] = True
    known[15:20, 15:20] = False
    drawn = outpaint(rgb, known)
    assert drawn.shape == rgb.shape
    np.testing.assert_array_equal(drawn[known], rgb[known])
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_unknown_pixels_have_no_influence():
    whole = photo("coffee")
    known = central_mask(whole)
    known[80:120, 90:140] = False
    other = np.where(known[..., None], whole, 0.5).astype(np.float32)
    np.testing.assert_array_equal(outpaint(whole, known), outpaint(other, known))


def test_there_is_no_seam_at_the_border():
    whole = photo("coffee")
    known = central_mask(whole)
    margin = int(np.argmax(known.any(0)))
    across = np.abs(np.diff(outpaint(whole, known)[margin:-margin], axis=1)).mean((0, 2))
    assert across[margin - 1] < 2 * across[margin : -margin - 1].mean()
    assert across[-margin] < 2 * across[margin : -margin - 1].mean()


def test_plain_picture_stays_plain():
    known = np.pad(np.ones((96, 128), bool), 26)
    wide = outpaint(np.full((*known.shape, 3), 0.4, np.float32), known)
    assert np.abs(wide - 0.4).mean() < 0.06


def test_result_does_not_depend_on_the_number_of_threads():
    whole = photo("chelsea")
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(outpaint(whole, central_mask(whole)))
    torch.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_missing_weights_are_reported(monkeypatch, tmp_path):
    network.cache_clear()
    monkeypatch.setattr("img2world.depth.weights.resource_folder", lambda name: tmp_path)
    with pytest.raises(MissingPackageError, match="weights are missing"):
        outpaint(np.zeros((64, 64, 3), np.float32), np.pad(np.ones((38, 38), bool), 13))
    network.cache_clear()
