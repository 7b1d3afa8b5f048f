"""Colours are encoded here by the forward formulas of the standards, and must come back."""

import numpy as np
import pytest

from img2world.core.color import HLG, LINEAR, PQ, exposure, is_srgb, srgb_from_code, srgb_from_linear, tone_map

BT2020_FROM_BT709 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""ITU-R BT.2087-0, section 2."""


def linear_light(srgb):
    """Undo sRGB's curve (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def pq_code(nits):
    """Inverse EOTF of SMPTE ST 2084."""
    y = np.clip(nits / 10000, 0, 1) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg_code(light):
    """OETF of ARIB STD-B67."""
    return np.where(
        light <= 1 / 12, np.sqrt(3 * light), 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9)) + 0.55991073
    )


ENCODERS = {PQ: lambda light: pq_code(203 * light), HLG: lambda light: hlg_code(0.265 * light), LINEAR: lambda x: x}


@pytest.mark.parametrize("transfer", [PQ, HLG, LINEAR])
@pytest.mark.parametrize("primaries", [1, 9])
def test_what_srgb_can_show_comes_back(transfer, primaries):
    srgb = np.random.default_rng(0).integers(0, 230, (40, 50, 3))
    light = linear_light(srgb / 255)
    if primaries == 9:
        light = light @ BT2020_FROM_BT709.T
    code = np.round(ENCODERS[transfer](light) * 65535).astype(np.uint16)
    # One level for rounding, and one because the published matrix has four digits and HLG's white three.
    assert np.abs(srgb_from_code(code, transfer, primaries).astype(int) - srgb).max() <= 2


@pytest.mark.parametrize(("transfer", "primaries"), [(LINEAR, 1), (13, 12), (14, 9), (4, 1)])
def test_white_stays_white_unless_something_can_be_whiter(transfer, primaries):
    code = np.full((1, 2, 3), 65535, np.uint16)
    assert srgb_from_code(code, transfer, primaries).min() == 255


def test_bright_colours_of_display_p3_are_exact():
    # P3 (0.98, 0.95, 0.9) is (0.9866, 0.9487, 0.8942) in sRGB by the published matrix between the two.
    code = np.round(np.array([[[0.98, 0.95, 0.9]]]) * 65535).astype(np.uint16)
    expected = np.array([0.9866, 0.9487, 0.8942]) * 255
    assert np.abs(srgb_from_code(code, 13, 12)[0, 0] - expected).max() < 0.6


def test_highlights_keep_order_and_hue():
    bright = np.linspace(0, 12, 500)[:, None] * [1.0, 0.5, 0.25]
    mapped = tone_map(bright)
    assert mapped.max() <= 1
    assert (np.diff(mapped[:, 0]) >= -1e-12).all()
    assert np.diff(mapped[:, 0]).max() <= np.diff(bright[:, 0]).max() * 1.0001  # No step, and nowhere steeper.
    assert mapped[1:] / mapped[1:, :1] == pytest.approx(np.broadcast_to([1.0, 0.5, 0.25], (499, 3)))
    assert np.array_equal(mapped[bright.max(-1) < 0.8], bright[bright.max(-1) < 0.8])


def test_colours_beyond_the_gamut_fade_to_grey_and_stay_ordered():
    # Pure green of BT.2020 is not a colour of sRGB.
    code = np.zeros((1, 3, 3), np.uint16)
    code[0, :, 1] = (pq_code(np.array([20.0, 60.0, 100.0])) * 65535).astype(np.uint16)
    found = srgb_from_code(code, PQ, 9)[0].astype(int)
    assert (found.argmax(-1) == 1).all()
    assert (np.diff(found[:, 1]) > 20).all()
    assert srgb_from_linear(np.array([[[-0.1, 0.2, 0.1]]])).min() == 0


def test_display_p3_red_is_brighter_in_srgb():
    # P3 (0.9, 0.3, 0.3) is (0.976.., 0.27.., 0.28..) in sRGB, by an independent calculator.
    code = np.round(np.array([[[0.9, 0.3, 0.3]]]) * 65535).astype(np.uint16)
    red, green, blue = srgb_from_code(code, 13, 12)[0, 0].astype(int)
    assert red > 235
    assert green < 0.3 * 255
    assert abs(green - blue) < 20


def test_only_scenes_far_from_exposed_are_exposed():
    scene = np.random.default_rng(0).lognormal(np.log(0.2), 1, (50, 50, 3))
    assert exposure(scene) == 1
    for scale in (1e-4, 500.0):
        assert exposure(scene * scale * exposure(scene * scale)) == 1
    assert exposure(np.zeros((4, 4, 3))) == 1


def test_custom_of_television():
    assert is_srgb(13, 1)
    assert is_srgb(1, 1)
    assert is_srgb(2, 2)
    assert is_srgb(6, 6)
    assert not is_srgb(PQ, 9)
    assert not is_srgb(HLG, 9)
    assert not is_srgb(14, 9)
    assert not is_srgb(13, 12)
