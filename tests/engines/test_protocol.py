"""The gate refuses what is wrong with a picture."""

import numpy as np
import pytest
from engine_protocol import MIN_PSNR, compare

FAULTS = {
    "mirrored": lambda image: image[:, ::-1],
    "flipped": lambda image: image[::-1],
    "turned": lambda image: image[::-1, ::-1],
    "in linear light": lambda image: image**2.2,
    "with red and blue exchanged": lambda image: image[..., ::-1],
    "5 % too bright": lambda image: image * 1.05,
    "moved by four pixels": lambda image: np.roll(image, 4, 1),
    "empty": np.zeros_like,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused(asset, fault):
    reference = asset.splat_picture(degree=2)
    assert compare(reference, reference).problems(MIN_PSNR["splats"]) == []
    assert compare(FAULTS[fault](reference), reference).problems(MIN_PSNR["splats"]) != []


def test_a_symmetric_picture_proves_nothing(asset):
    picture = asset.splat_picture(degree=2)
    symmetric = (picture + picture[:, ::-1]) / 2
    assert any("mirrored" in problem for problem in compare(symmetric, symmetric).problems(MIN_PSNR["splats"]))
