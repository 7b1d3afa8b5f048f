"""Colours in sRGB from high dynamic range, wide gamut and linear light.

Transfer characteristics and primaries are numbered as in ITU-T H.273 (tables 2 and 3), which video, HEIF, AVIF and the
cICP chunk of PNG share.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8, UInt16

LINEAR, SRGB, PQ, HLG = 8, 13, 16, 18
"""Transfer characteristics: linear light, IEC 61966-2-1, SMPTE ST 2084, and ARIB STD-B67."""

GAMMAS = {4: 2.2, 5: 2.8, 17: 2.6}
"""Transfer characteristics that are a power."""

BT709, BT2020 = 1, 9
PRIMARIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""Chromaticities of red, green and blue. Viewers ignore others, as of SD television, which are near to BT.709."""

WHITE = (0.3127, 0.3290)
"""Chromaticity of D65."""

PQ_WHITE, HLG_WHITE = 203.0, 0.75
"""Diffuse white in HDR, which becomes white in sRGB: cd/m² in PQ, and code value in HLG (ITU-R BT.2408, table 1)."""

KNEE = 0.8
"""Linear value up to which the tone map changes nothing."""

MIDDLE_GREY, DARKEST, BRIGHTEST = 0.18, 0.02, 0.7
"""Log-average luminance that a picture is exposed for, and between which it counts as exposed."""


def is_srgb(transfer: int, primaries: int) -> bool:
    """Tell whether viewers show colours of this encoding as they are; television's curves count as sRGB by custom."""
    return transfer not in (LINEAR, PQ, HLG, *GAMMAS) and primaries not in (BT2020, 11, 12)


def srgb_from_code(
    code: UInt16[np.ndarray, "H W 3"], transfer: int, primaries: int = BT709
) -> UInt8[np.ndarray, "H W 3"]:
    """Convert code values, 65535 at their maximum, to sRGB; in HDR, highlights above reference white are compressed."""
    linear = linear_table(transfer)[code]
    return srgb_from_linear(linear, PRIMARIES.get(primaries, PRIMARIES[BT709]), is_hdr=transfer in (PQ, HLG))


def srgb_from_linear(
    linear: Float[np.ndarray, "H W 3"],
    primaries: tuple[tuple[float, float], ...] = PRIMARIES[BT709],
    *,
    is_hdr: bool = True,
) -> UInt8[np.ndarray, "H W 3"]:
    """Convert linear light, 1 at reference white, to sRGB: in HDR by `tone_map`, else white stays white.

    Colours outside the gamut of sRGB are mixed with grey of their luminance until no channel is negative.
    """
    linear = np.asarray(linear, np.float32)
    if primaries != PRIMARIES[BT709]:
        matrix = np.linalg.inv(xyz_from_rgb(PRIMARIES[BT709])) @ xyz_from_rgb(primaries)
        linear = linear @ matrix.T.astype(np.float32)
    luminance = (linear @ np.array([0.2126, 0.7152, 0.0722], np.float32))[..., None].clip(0)
    lowest = linear.min(-1, keepdims=True)
    kept = np.where(lowest < 0, luminance / np.maximum(luminance - lowest, 1e-9), 1)
    inside = (luminance + kept * (linear - luminance)).clip(0)
    mapped = tone_map(inside) if is_hdr else inside.clip(0, 1)
    coded = np.where(mapped <= 0.0031308, 12.92 * mapped, 1.055 * mapped ** np.float32(1 / 2.4) - 0.055)
    return np.round(coded * 255).clip(0, 255).astype(np.uint8)


def tone_map(linear: Float[np.ndarray, "*S 3"]) -> Float[np.ndarray, "*S 3"]:
    """Compress linear light to at most 1, keeping the ratios of the channels.

    The largest channel m becomes m up to KNEE = k, and k + (1 - k) (1 - exp((k - m) / (1 - k))) above, which continues
    with the same slope and ends at 1. The curve is the same for all pictures, so that a surface that two of them show
    has one colour in both; what SDR can show stays as it is, unlike with the roll-off of ITU-R BT.2390, which begins at
    half of reference white.
    """
    largest = linear.max(-1, keepdims=True)
    mapped = np.where(largest > KNEE, 1 - (1 - KNEE) * np.exp((KNEE - largest.clip(KNEE)) / (1 - KNEE)), largest)
    return linear * (mapped / np.maximum(largest, 1e-9))


def exposure(linear: Float[np.ndarray, "H W 3"]) -> float:
    """Return the factor for linear light of unknown scale, as in OpenEXR: 1 if it looks exposed as it is.

    Otherwise its log-average luminance becomes middle grey (Reinhard et al. 2002, "Photographic tone reproduction for
    digital images", equations 1 and 2).
    """
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722], linear.dtype)
    lit = luminance[luminance > 0]
    average = float(np.exp(np.mean(np.log(lit), dtype=np.float64))) if lit.size else MIDDLE_GREY
    return 1.0 if DARKEST <= average <= BRIGHTEST else MIDDLE_GREY / average


@cache
def linear_table(transfer: int) -> Float[np.ndarray, "65536"]:
    """Return the linear light of each code value; 1 is reference white.

    HLG encodes light of the scene, which is taken as it is: a display would raise its contrast (by 1.2 at 1000 cd/m²),
    as the curves of television do for SDR, which are taken for sRGB as well.
    """
    code = np.linspace(0, 1, 65536)
    if transfer == PQ:
        # SMPTE ST 2084:2014, equation 4.1.
        power = code ** (1 / 78.84375)
        linear = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        linear *= 10000 / PQ_WHITE
    elif transfer == HLG:
        # ITU-R BT.2100-2, table 5: the inverse of the opto-electronic transfer function.
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        linear = light / np.interp(HLG_WHITE, code, light)
    elif transfer == LINEAR:
        linear = code
    elif transfer in GAMMAS:
        linear = code ** GAMMAS[transfer]
    else:
        linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


def xyz_from_rgb(primaries: tuple[tuple[float, float], ...]) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from linear RGB with white at D65 to CIE XYZ (SMPTE RP 177:1993)."""
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in primaries]).T
    x, y = WHITE
    return columns * np.linalg.solve(columns, [x / y, 1.0, (1 - x - y) / y])
