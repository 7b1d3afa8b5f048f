"""The colours of a picture as Pillow decodes it, whatever its mode, gamma, gamut and profile, as sRGB."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage
from PIL import ImageCms

from img2world.core import deep_picture
from img2world.core.color import is_srgb, srgb_from_code
from img2world.core.errors import ImageError, library_errors

BITS_PER_SAMPLE, MAX_SAMPLE = 258, 281
"""Tags of TIFF 6.0."""

STANDARD_GAMMA = 0.45455
"""Value of a PNG's gAMA chunk that stands for sRGB."""


def to_srgb(picture: PillowImage.Image, path: Path) -> tuple[PillowImage.Image, PillowImage.Image | None]:
    """Return the colours of a picture that Pillow has loaded in sRGB, and the transparency if there is any.

    Raises ImageError when they cannot be converted.
    """
    stored, form = picture.mode, picture.format
    with library_errors(
        ImageError, f"the picture's colours ({stored}) cannot be read ({{reason}}): {path}", hint="save it as RGB PNG"
    ):
        if picture.mode[0] in "IF":
            return PillowImage.fromarray(_eight_bits(picture, path)).convert("RGB"), None
        if picture.mode == "P":
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
        transparent = "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa")
        alpha = picture.convert("RGBA").getchannel("A") if transparent else None
        if (converted := _decode_colors(picture, form, path)) is not None:
            return PillowImage.fromarray(converted), alpha
        if picture.mode not in ("L", "RGB", "CMYK", "LAB"):
            picture = picture.convert("L" if picture.mode in ("LA", "La", "1") else "RGB")
        return _apply_profile(picture), alpha


def _decode_colors(picture: PillowImage.Image, form: str | None, path: Path) -> UInt8[np.ndarray, "H W 3"] | None:
    """Return the colours of a picture in HDR, of another gamut or gamma than sRGB; None for other pictures.

    What names the encoding counts in the order of the PNG specification: cICP (nclx in AVIF and HEIF), ICC profile,
    sRGB, gAMA and cHRM.
    """
    info = picture.info
    encoding = deep_picture.encoding_of(path, form)
    if encoding is not None and not is_srgb(*encoding):
        code = deep_picture.coded_colors(path, form)
        if code is None or code.shape[:2] != (picture.height, picture.width):
            code = np.asarray(picture.convert("RGB")).astype(np.uint16) * np.uint16(257)
        return srgb_from_code(code, *encoding)
    gamma = info.get("gamma", STANDARD_GAMMA)
    usual = abs(gamma / STANDARD_GAMMA - 1) < 0.05 or not 0.1 < gamma < 5
    if "icc_profile" in info or "srgb" in info or encoding is not None or usual:
        return None
    code = deep_picture.coded_colors(path, form)
    return None if code is None else deep_picture.srgb_from_gamma(code, gamma, info.get("chromaticity", ()))


def _eight_bits(picture: PillowImage.Image, path: Path) -> UInt8[np.ndarray, "H W"]:
    """Convert grey values of 9 to 32 bits, or floats, to 0 to 255."""
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError(f"the picture holds NaN or infinite values: {path}", hint="save it as an 8-bit PNG")
    whole = bool((values == np.round(values)).all())
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
    named = tags.get(MAX_SAMPLE, (2**bits - 1 if 8 < bits < 16 else 65535,))[0]
    maximum = float(values.max())
    white = float(named) if whole and 1 < maximum <= named else max(maximum, 1.0)
    return np.round(np.clip(values / white, 0, 1) * 255).astype(np.uint8)


def _apply_profile(picture: PillowImage.Image) -> PillowImage.Image:
    """Convert a picture to sRGB by its embedded ICC profile, if it has one that is usable."""
    data = picture.info.get("icc_profile")
    if data:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
            if "sRGB" not in ImageCms.getProfileDescription(profile):
                srgb = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(picture, profile, srgb, outputMode="RGB")
                return converted if converted is not None else picture.convert("RGB")
        except (ImageCms.PyCMSError, OSError):
            # The profile is broken, or for another colour space than the picture's.
            return picture.convert("RGB")
    return picture.convert("RGB")
