"""Reading a picture file of any common format as an upright `Image` in sRGB."""

import io
import re
import stat
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage
from PIL import ImageCms, UnidentifiedImageError

from img2world.core.errors import ImageError
from img2world.core.image import Image

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")
"""Formats that are decoded. Pillow has more, but EPS starts Ghostscript, and TGA accepts any bytes."""

MIN_SIDE = 16
"""Minimum width and height in pixels; nothing can be reconstructed from less."""

DECODE_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, OverflowError,
    RuntimeError, struct.error, zlib.error, PillowImage.DecompressionBombError,
)  # fmt: skip
"""Exceptions that Pillow's decoders raise on broken files."""

UPRIGHT = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}
"""Operation that turns a picture of each EXIF orientation upright (EXIF 2.32, section 4.6.4, tag 0x0112)."""

ORIENTATION, EXIF_IFD, FOCAL_35MM = 0x0112, 0x8769, 0xA405
FOCAL_MM, PIXELS_X, PIXELS_Y, PLANE_RESOLUTION, PLANE_UNIT = 0x920A, 0xA002, 0xA003, 0xA20E, 0xA210
MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""EXIF 2.32, tag 0xA210; 4 and 5 are common, although not in the standard."""

FILM_DIAGONAL_MM = 43.2666
"""Diagonal of 36 x 24 mm film, to which FocalLengthIn35mmFilm refers."""


def load_image(path: Path, *, max_side: int = 2048, max_pixels: int = 64_000_000) -> Image:
    """Read a picture: upright (EXIF), in sRGB (ICC profile), 8 bits, its longest side at most `max_side` pixels.

    The first frame of an animation is used. 16-bit values are divided by 257; integers and floats of a wider range are
    divided by their maximum. `max_pixels` is checked in the header, before decoding. Broken EXIF data and ICC profiles
    are ignored, as in any viewer.

    Raises ImageError when the file is missing, not a picture, broken, too large, too small or transparent.
    """
    _check_file(path)
    with warnings.catch_warnings():
        # Pillow warns of what is handled below: too many pixels, broken EXIF tags.
        warnings.simplefilter("ignore")
        picture, exif = _decoded(path, max_pixels, max_side)
        rgb, alpha = _srgb(picture, path)
    focal = _focal(exif, picture.size)
    layers = [_upright(layer, exif.get(ORIENTATION, 1)) for layer in (rgb, *([] if alpha is None else [alpha]))]
    return _image(layers, focal, max_side, path)


def _decoded(path: Path, max_pixels: int, max_side: int) -> tuple[PillowImage.Image, dict[int, object]]:
    """Return the picture, decoded as stored, and its EXIF tags."""
    try:
        with path.open("rb") as file:
            picture = _open(file, path, max_pixels, max_side)
            try:
                picture.load()
                # After load(), which turns TIFFs upright itself, and before the file is closed.
                return picture, _exif(picture)
            except DECODE_ERRORS as error:
                raise ImageError(
                    f"the picture is broken or cut off ({_reason(error)}): {path}",
                    hint="copy or download it again, or open and save it in an image editor",
                ) from error
    except OSError as error:
        raise ImageError(
            f"the picture cannot be read ({_reason(error)}): {path}", hint="check its permissions"
        ) from error


def _check_file(path: Path) -> None:
    """Raise ImageError unless the path is a file that is not empty."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = "there is no such file" if missing else f"the picture cannot be read ({_reason(error)})"
        raise ImageError(f"{what}: {path}", hint="check the path and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"this is a folder, needs a picture: {path}", hint="give the path of a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"this is a device or a pipe, needs a file: {path}", hint="save the picture to a file")
    if status.st_size == 0:
        raise ImageError(f"the picture file is empty (0 bytes): {path}", hint="copy or download it again")


def _open(file: io.BufferedReader, path: Path, max_pixels: int, max_side: int) -> PillowImage.Image:
    """Open a picture and check format and size from its header, without decoding it."""
    start = file.read(12)
    file.seek(0)
    try:
        picture = PillowImage.open(file)
    except PillowImage.DecompressionBombError as error:
        pixels = int(re.findall(r"\d+", str(error))[0])
        raise _too_large(f"{pixels / 1e6:.0f}", path, max_pixels) from error
    except UnidentifiedImageError as error:
        raise _not_a_picture(start, path) from error
    except DECODE_ERRORS as error:
        raise ImageError(
            f"the picture's header is broken ({_reason(error)}): {path}", hint="copy or download it again"
        ) from error
    if picture.format not in FORMATS:
        raise ImageError(
            f"the file is in {picture.format} format, needs one of {' '.join(FORMATS)}: {path}",
            hint="save it as PNG or JPEG",
        )
    width, height = picture.size
    if width < MIN_SIDE or height < MIN_SIDE:
        raise _too_small(width, height, path)
    if picture.format in ("JPEG", "MPO"):
        # Decodes at a half, a quarter or an eighth of the size where that is large enough.
        scale = min(1.0, max_side / max(width, height))
        picture.draft(picture.mode, (round(width * scale), round(height * scale)))
    if picture.size[0] * picture.size[1] > max_pixels:
        raise _too_large(f"{width}x{height} = {width * height / 1e6:.0f}", path, max_pixels)
    return picture


def _too_large(pixels: str, path: Path, max_pixels: int) -> ImageError:
    """Return the error for a picture with too many pixels; `pixels` is in millions."""
    return ImageError(
        f"the picture has {pixels} million pixels, needs at most {max_pixels / 1e6:.0f} million: {path}",
        hint="scale it down to 4000 pixels or less; larger ones are scaled down anyway",
    )


def _too_small(width: int, height: int, path: Path) -> ImageError:
    """Return the error for a picture that is too small."""
    return ImageError(
        f"the picture is {width}x{height} pixels, needs at least {MIN_SIDE} on each side: {path}",
        hint="use a larger picture, best 512 pixels or more",
    )


def _not_a_picture(start: bytes, path: Path) -> ImageError:
    """Return the error for a file that Pillow does not recognise, with its format if the first bytes tell."""
    hint = "give a photo as JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF"
    what = "the file is not a picture, whatever its name"
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"):
        what, hint = "the file is in HEIC format, which cannot be read", "save it as JPEG, for example on the phone"
    elif start[4:8] == b"ftyp" or start.startswith(b"\x1aE\xdf\xa3"):
        what, hint = "the file is a video, needs a picture", "use the video backend `file`"
    elif start.startswith(b"%PDF"):
        what = "the file is a PDF document, needs a picture"
    elif start.lstrip().startswith((b"<svg", b"<?xml")):
        what, hint = "the file is an SVG drawing or XML, needs a picture of pixels", "save it as PNG"
    return ImageError(f"{what}: {path}", hint=hint)


def _reason(error: BaseException) -> str:
    """Return the message of an exception on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def _exif(picture: PillowImage.Image) -> dict[int, object]:
    """Return the EXIF tags that are used here; empty when there are none or they are broken."""
    try:
        exif = picture.getexif()
        return {**exif.get_ifd(EXIF_IFD), ORIENTATION: exif.get(ORIENTATION, 1)}
    except DECODE_ERRORS:
        return {}


def _focal(exif: dict[int, object], size: tuple[int, int]) -> float | None:
    """Return the focal length in pixels of the stored picture of this size; None if unknown or implausible."""

    def number(tag: int) -> float:
        try:
            return float(exif.get(tag, 0))  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError, ZeroDivisionError):
            return 0.0

    width, height = size
    stored_width, stored_height = number(PIXELS_X), number(PIXELS_Y)
    # If the aspect ratio is not that of the exposure, the picture was cropped, and the focal length is meaningless.
    if stored_width > 0 and stored_height > 0 and not _alike(width / height, stored_width / stored_height):
        return None
    if (film := number(FOCAL_35MM)) > 0:
        focal = film / FILM_DIAGONAL_MM * float(np.hypot(width, height))
    else:
        pixels_per_mm = number(PLANE_RESOLUTION) / MM_PER_UNIT.get(int(number(PLANE_UNIT)), 25.4)
        focal = number(FOCAL_MM) * pixels_per_mm * width / stored_width if stored_width > 0 else 0.0
    # A field of view of 150 to 3 degrees across the long side; beyond, the data are wrong or useless.
    return focal if 0.13 < focal / max(width, height) < 20 else None


def _alike(ratio: float, other: float) -> bool:
    """Tell whether two aspect ratios agree, possibly after a quarter turn of one."""
    return min(abs(ratio / other - 1), abs(ratio * other - 1)) < 0.02


def _srgb(picture: PillowImage.Image, path: Path) -> tuple[PillowImage.Image, PillowImage.Image | None]:
    """Return the colours in sRGB, and the transparency if there is any."""
    try:
        if picture.mode[0] in "IF":
            return PillowImage.fromarray(_eight_bits(np.asarray(picture), path)).convert("RGB"), None
        if picture.mode == "P":
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
        transparent = "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa")
        alpha = picture.convert("RGBA").getchannel("A") if transparent else None
        if picture.mode not in ("L", "RGB", "CMYK", "LAB"):
            picture = picture.convert("L" if picture.mode in ("LA", "La", "1") else "RGB")
        return _apply_profile(picture), alpha
    except DECODE_ERRORS as error:
        raise ImageError(
            f"the picture's colours ({picture.mode}) cannot be read ({_reason(error)}): {path}",
            hint="save it as RGB PNG",
        ) from error


def _eight_bits(values: np.ndarray, path: Path) -> UInt8[np.ndarray, "H W"]:
    """Convert 16-bit, 32-bit or float grey values to 0 to 255."""
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError(f"the picture holds NaN or infinite values: {path}", hint="save it as an 8-bit PNG")
    whole = bool((values == np.round(values)).all())
    maximum = float(values.max())
    white = 65535.0 if whole and 1 < maximum <= 65535 else max(maximum, 1.0)
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
        except (ImageCms.PyCMSError, *DECODE_ERRORS):
            # The profile is broken, or for another colour space than the picture's.
            return picture.convert("RGB")
    return picture.convert("RGB")


def _upright(layer: PillowImage.Image, orientation: object) -> PillowImage.Image:
    """Turn a layer upright by its EXIF orientation; any value but 2 to 8 leaves it unchanged."""
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return layer if turn is None else layer.transpose(turn)


def _image(layers: list[PillowImage.Image], focal: float | None, max_side: int, path: Path) -> Image:
    """Return upright layers (colours and, if any, transparency) as an Image of at most `max_side` pixels."""
    rgb = layers[0]
    alpha = layers[1] if len(layers) > 1 and np.asarray(layers[1]).min() < 255 else None
    if alpha is not None and not np.asarray(alpha).any():
        raise ImageError(f"the picture is transparent everywhere: {path}", hint="use a picture with visible content")
    width, height = rgb.size
    scale = min(1.0, max_side / max(width, height))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if min(size) < MIN_SIDE:
            raise _too_small(*size, path)
        # Resized as RGBA, so that colours of transparent pixels do not bleed into the rest.
        whole = rgb if alpha is None else PillowImage.merge("RGBA", (*rgb.split(), alpha))
        whole = whole.resize(size, PillowImage.Resampling.LANCZOS)
        rgb, alpha = whole.convert("RGB"), None if alpha is None else whole.getchannel("A")
    return Image(
        rgb=np.array(rgb),
        alpha=None if alpha is None else np.array(alpha),
        focal=None if focal is None else focal * max(rgb.size) / max(width, height),
    )
