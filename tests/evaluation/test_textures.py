import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.textures import build_atlas, linear_from_srgb, srgb_from_linear


def test_srgb_conversions_are_inverse_for_bytes():
    values = (np.arange(256) / 255).astype(np.float32)
    assert (np.round(srgb_from_linear(linear_from_srgb(values)) * 255) == np.arange(256)).all()
    # IEC 61966-2-1: half of the light is 188 of 255.
    assert round(float(srgb_from_linear(np.float32([0.5]))[0]) * 255) == 188


def test_texels_are_interpolated_bilinearly_and_wrap_around():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (8, 16, 3), np.uint8)
    atlas = build_atlas([np.zeros((2, 2, 3), np.uint8), texture])
    uv = rng.uniform(-1, 2, (200, 2)).astype(np.float32)
    mips = atlas.mip_index(np.full(200, 1), np.zeros(200))
    expected = cv2.remap(
        np.tile(linear_from_srgb(texture / 255), (5, 5, 1)),
        (uv[:, 0] + 2) * 16 - 0.5,
        (uv[:, 1] + 2) * 8 - 0.5,
        cv2.INTER_LINEAR,
    ).reshape(200, 3)
    # cv2 rounds weights to 1/32.
    assert_allclose(atlas.sample_linear(mips, uv), expected, atol=0.03)


def test_mipmaps_are_means():
    texture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    atlas = build_atlas([texture])
    levels = np.array([0.0, 2.0, 9.0])
    mips = atlas.mip_index(np.zeros(3, int), levels)
    assert atlas.widths[mips].tolist() == [16, 4, 1]
    smallest = atlas.texels[atlas.starts[mips[2]]]
    assert_allclose(smallest, texture.mean((0, 1)), atol=1.5)
