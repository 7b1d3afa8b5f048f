"""Reading a picture file of any common format as an upright `Image` in sRGB."""

import io
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from img2world.core import deep_picture
from img2world.core.errors import ImageError, library_errors, reason
from img2world.core.image import Image
from img2world.core.picture_color import to_srgb

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM")
"""Formats that Pillow decodes here. It has more, but EPS starts Ghostscript, and TGA accepts any bytes."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of HEIF files, which hold pictures compressed by HEVC (ISO/IEC 23008-12)."""

MIN_SIDE = 16
"""Minimum width and height in pixels; nothing can be reconstructed from less."""

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

MAX_PAGES = 100
"""Pages of a TIFF that are searched for the largest."""

SUBFILE_TYPE = 254
"""Tag of TIFF 6.0 whose lowest bit says that the picture is a smaller copy of another in the file."""

ORIENTATION, EXIF_IFD, FOCAL_35MM = 0x0112, 0x8769, 0xA405
FOCAL_MM, PIXELS_X, PIXELS_Y, PLANE_RESOLUTION, PLANE_UNIT = 0x920A, 0xA002, 0xA003, 0xA20E, 0xA210
MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""EXIF 2.32, tag 0xA210; 4 and 5 are common, although not in the standard."""

FILM_DIAGONAL_MM = 43.2666
"""Diagonal of 36 x 24 mm film, to which FocalLengthIn35mmFilm refers."""


_Read = tuple[list[PillowImage.Image], dict[int, object], str]
"""Colours and, if any, transparency as stored; EXIF tags; a note on colours that may be wrong, or nothing."""


def load_image(path: Path, *, max_side: int = 2048, max_pixels: int = 64_000_000) -> Image:
    """Read a picture: upright (EXIF), in sRGB (ICC profile, HDR), 8 bits, its longest side at most `max_side` pixels.

    The first frame of an animation is used. Grey values of 16 bits are divided by 257, of fewer by their maximum;
    integers and floats of a wider range by the largest. HDR and linear light become sRGB as `core/color.py` says, and
    a warning tells where that involves a guess. `max_pixels` is checked in the header, before decoding. Broken EXIF
    data and ICC profiles are ignored, as in any viewer.

    Raises ImageError when the file is missing, not a picture, broken, too large, too small or transparent, and
    MissingPackageError for JPEG XL without imagecodecs.
    """
    start = _start_of(path)
    with warnings.catch_warnings():
        # Pillow warns of what is handled below: too many pixels, broken EXIF tags.
        warnings.simplefilter("ignore")
        read = _read_deep(path, start, max_pixels) or _read_pillow(path, start, max_pixels, max_side)
    layers, exif, note = read
    if note:
        warnings.warn(note, stacklevel=2)
    focal = _focal(exif, layers[0].size)
    return _image([_upright(layer, exif.get(ORIENTATION, 1)) for layer in layers], focal, max_side, path)


@contextmanager
def open_header(path: Path) -> Iterator[PillowImage.Image]:
    """Open a picture that Pillow decodes, HEIC included, without decoding it. Raises whatever Pillow does."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _know_heif(file.read(12))
        file.seek(0)
        yield PillowImage.open(file)


def stored_size(path: Path) -> tuple[int, int] | None:
    """Return the width and height of a picture as stored; None when its header cannot be read."""
    try:
        with path.open("rb") as file:
            form = deep_picture.format_of(file.read(64))
        if form is not None:
            return deep_picture.stored_size(path, form)
        with open_header(path) as picture:
            return picture.size
    except Exception:
        # Decoders raise anything on broken files; loading the picture will tell what is wrong.
        return None


def _know_heif(start: bytes) -> None:
    """Make Pillow decode HEIC if a file begins like that."""
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        import pi_heif

        pi_heif.register_heif_opener()


def _broken(path: Path) -> AbstractContextManager[None]:
    """Raise whatever a library raises in this block as the error for a picture that cannot be decoded."""
    return library_errors(
        ImageError,
        f"the picture is broken or cut off ({{reason}}): {path}",
        hint="copy or download it again, or open and save it in an image editor",
    )


def _read_deep(path: Path, start: bytes, max_pixels: int) -> _Read | None:
    """Return the layers of a picture that Pillow does not decode, and what was done to its colours; else None."""
    form = deep_picture.format_of(start)
    if form is None or (form == "tiff" and _opens(path)):
        return None
    with _broken(path):
        size = deep_picture.stored_size(path, form)
    _check_size(size, path, max_pixels)
    with _broken(path):
        decoded = deep_picture.decode(path, form)
    layers = [layer for layer in (decoded.rgb, decoded.alpha) if layer is not None]
    return [PillowImage.fromarray(layer) for layer in layers], {}, decoded.note


def _opens(path: Path) -> bool:
    """Tell whether Pillow knows the format of a file, broken or not."""
    try:
        PillowImage.open(path).close()
    except UnidentifiedImageError:
        return False
    except Exception:
        # Broken, which loading it will report.
        return True
    return True


def _read_pillow(path: Path, start: bytes, max_pixels: int, max_side: int) -> _Read:
    """Return the layers of a picture that Pillow decodes, its EXIF tags, and a note if the file holds several."""
    _know_heif(start)
    with path.open("rb") as file:
        picture, note = _open(file, start, path, max_pixels, max_side)
        with _broken(path):
            picture.load()
            # After load(), which turns TIFFs upright itself, and before the file is closed.
            exif = _exif(picture)
    rgb, alpha = to_srgb(picture, path)
    return [rgb] if alpha is None else [rgb, alpha], exif, note


def _start_of(path: Path) -> bytes:
    """Return the first bytes of a file. Raises ImageError unless it is a file that is not empty and can be read."""
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size:
            with path.open("rb") as file:
                return file.read(64)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = "there is no such file" if missing else f"the picture cannot be read ({reason(error)})"
        raise ImageError(f"{what}: {path}", hint="check the path and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"this is a folder, needs a picture: {path}", hint="give the path of a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"this is a device or a pipe, needs a file: {path}", hint="save the picture to a file")
    raise ImageError(f"the picture file is empty (0 bytes): {path}", hint="copy or download it again")


def _open(
    file: io.BufferedReader, start: bytes, path: Path, max_pixels: int, max_side: int
) -> tuple[PillowImage.Image, str]:
    """Open a picture and check format and size from its header, without decoding it; with a note or nothing."""
    note = ""
    try:
        with library_errors(
            ImageError, f"the picture's header is broken ({{reason}}): {path}", hint="copy or download it again"
        ):
            picture = PillowImage.open(file)
            if picture.format == "TIFF" and getattr(picture, "n_frames", 1) > 1:
                note = _choose_page(picture, path)
    except ImageError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            raise _not_a_picture(start, path) from error
        if isinstance(error.__cause__, PillowImage.DecompressionBombError):
            pixels = int(re.findall(r"\d+", str(error))[0])
            raise _too_large(f"{pixels / 1e6:.0f}", path, max_pixels) from error
        raise
    if picture.format not in FORMATS:
        raise ImageError(
            f"the file is in {picture.format} format, needs one of {' '.join(FORMATS)}: {path}",
            hint="save it as PNG or JPEG",
        )
    if getattr(picture, "tag_v2", {}).get(SUBFILE_TYPE, 0) & 1:
        raise ImageError(
            f"the file is a camera's raw picture, of which only the thumbnail can be read: {path}",
            hint="develop it to JPEG or PNG",
        )
    width, height = picture.size
    if picture.format in ("JPEG", "MPO"):
        # Decodes at a half, a quarter or an eighth of the size where that is large enough.
        scale = min(1.0, max_side / max(width, height))
        picture.draft(picture.mode, (round(width * scale), round(height * scale)))
    _check_size((width, height), path, max_pixels, decoded=picture.size)
    return picture, note


def _choose_page(picture: PillowImage.Image, path: Path) -> str:
    """Go to the largest page of a TIFF, the first of several; return a note if there are several."""
    pages = getattr(picture, "n_frames", 1)
    sizes = []
    for page in range(min(pages, MAX_PAGES)):
        picture.seek(page)
        sizes.append(picture.width * picture.height)
    picture.seek(sizes.index(max(sizes)))
    if sizes.count(max(sizes)) == 1:
        return ""
    return f"the file holds {pages} pictures, the first of its largest is used: {path}"


def _check_size(size: tuple[int, int], path: Path, max_pixels: int, decoded: tuple[int, int] | None = None) -> None:
    """Raise ImageError when a picture is too small, or too large at the size at which it is decoded."""
    width, height = size
    if width < MIN_SIDE or height < MIN_SIDE:
        raise _too_small(width, height, path)
    if np.prod(decoded or size, dtype=np.int64) > max_pixels:
        raise _too_large(f"{width}x{height} = {width * height / 1e6:.0f}", path, max_pixels)


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
    hint = "give a photo as JPEG, PNG, HEIC, WebP, TIFF, GIF, BMP, AVIF, JPEG XL, OpenEXR or Radiance HDR"
    what = "the file is not a picture, whatever its name"
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        what, hint = "the file is in HEIC format, but damaged", "copy it again, or save it as JPEG on the phone"
    elif start[4:8] == b"ftyp" or start.startswith(b"\x1aE\xdf\xa3"):
        what, hint = "the file is a video, needs a picture", "use the video backend `file`"
    elif start.startswith(b"%PDF"):
        what = "the file is a PDF document, needs a picture"
    elif start.lstrip().startswith((b"<svg", b"<?xml")):
        what, hint = "the file is an SVG drawing or XML, needs a picture of pixels", "save it as PNG"
    return ImageError(f"{what}: {path}", hint=hint)


def _exif(picture: PillowImage.Image) -> dict[int, object]:
    """Return the EXIF tags that are used here; empty when there are none or they are broken."""
    try:
        exif = picture.getexif()
        return {**exif.get_ifd(EXIF_IFD), ORIENTATION: exif.get(ORIENTATION, 1)}
    except Exception:
        # Broken tags are common in good pictures, which do without them.
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
