"""Decode pictures that Pillow does not, or not in full: linear light, more than 8 bits a channel, JPEG XL."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped, UInt8, UInt16
from PIL import TiffImagePlugin

from img2world.core.color import exposure, srgb_from_linear
from img2world.core.errors import ImageError, MissingPackageError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SIGNATURES = {
    "exr": (b"\x76\x2f\x31\x01",),
    "hdr": (b"#?RADIANCE", b"#?RGBE"),
    "jxl": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "tiff": (b"II*\0", b"MM\0*"),
}
"""Formats that are decoded here, and how their files begin."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A picture as its file holds it, but in sRGB."""

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"] | None
    note: str = ""
    """Conversion of its colours that may be wrong, for the user; empty if there was none."""


def format_of(start: bytes) -> str | None:
    """Return the format that a file begins like, if it is one of `SIGNATURES`."""
    return next((name for name, marks in SIGNATURES.items() if start.startswith(marks)), None)


def stored_size(path: Path, form: str) -> tuple[int, int]:
    """Return width and height of a picture of `SIGNATURES` from its header, without decoding it."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
        if form == "tiff":
            tags = TiffImagePlugin.ImageFileDirectory_v2(head[:8])
            file.seek(tags.next)
            tags.load(file)
            return int(tags[256]), int(tags[257])
    if form == "jxl":
        return _jpeg_xl_size(head)
    if form == "hdr":
        found = re.search(rb"\n[-+]([XY]) (\d+) [-+][XY] (\d+)\n", head)
        if found is None:
            raise ValueError("it has no resolution")
        first, second = int(found[2]), int(found[3])
        return (first, second) if found[1] == b"X" else (second, first)
    # OpenEXR file layout: name, type and size of each attribute, then its value.
    windows = [struct.unpack("<4i", box) for box in re.findall(rb"Window\0box2i\0\x10\0\0\0(.{16})", head, re.DOTALL)]
    if not windows:
        raise ValueError("it has no window")
    return max(box[2] - box[0] + 1 for box in windows), max(box[3] - box[1] + 1 for box in windows)


def _jpeg_xl_size(head: bytes) -> tuple[int, int]:
    """Return width and height from the start of a JPEG XL file (ISO/IEC 18181-1, annex D, SizeHeader)."""
    if head[:1] == b"\0":
        boxes = re.search(rb"jxl[cp]", head)
        at = head.find(b"\xff\x0a", boxes.end() if boxes else len(head))
        head = head[at:] if at >= 0 else b""
    bits = int.from_bytes(head[2:22], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    across, down = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return (height * across // down if ratio else side()), height


def decode(path: Path, form: str) -> Decoded:
    """Decode a picture of `SIGNATURES`. A TIFF is one of floats, which Pillow does not open.

    OpenEXR and Radiance hold linear light, a float TIFF as well if it exceeds 1. Raises whatever the library does,
    MissingPackageError for JPEG XL without imagecodecs, and ImageError for NaN and infinite values.
    """
    values = {"exr": _decode_exr, "hdr": _decode_hdr, "jxl": _decode_jpeg_xl, "tiff": _decode_tiff}[form](path)
    colors, alpha = values[..., :3], values[..., 3] if values.shape[-1] == 4 else None
    if values.dtype.kind in "ui":
        scale = np.float32(255 / np.iinfo(values.dtype).max)
        levels = np.round(values * scale).astype(np.uint8)
        return Decoded(rgb=levels[..., :3], alpha=None if alpha is None else levels[..., 3])
    if not np.isfinite(values).all():
        raise ImageError(f"the picture holds NaN or infinite values: {path}", hint="save it as an 8-bit PNG")
    coverage = None if alpha is None else np.round(alpha.clip(0, 1) * 255).astype(np.uint8)
    if form in ("jxl", "tiff") and colors.max() <= 1:
        # Programs that keep a finished picture as floats scale it to 1.
        return Decoded(rgb=np.round(colors.clip(0, 1) * 255).astype(np.uint8), alpha=coverage)
    if form == "exr" and alpha is not None:
        # OpenEXR multiplies colours by their coverage.
        colors = np.where(alpha[..., None] > 0, colors / np.maximum(alpha[..., None], 1e-6), 0)
    factor = exposure(colors)
    exposed = "" if factor == 1 else f", exposed {factor:.3g} times"
    note = f"linear light was tone mapped to sRGB{exposed}"
    return Decoded(rgb=srgb_from_linear(colors * np.float32(factor)), alpha=coverage, note=note)


def _first_frame(path: Path, form: str) -> "VideoFrame":
    """Decode the picture, or the first one, of a file of this format of FFmpeg's."""
    import av

    with av.open(str(path), format=form, options={"protocol_whitelist": "file"}) as container:
        return next(container.decode(video=0))


def _decode_exr(path: Path) -> Float[np.ndarray, "H W C"]:
    """Return the channels of an OpenEXR file: linear light, and coverage if it has that."""
    _check_exr_is_whole(path.read_bytes())
    frame = _first_frame(path, "exr_pipe")
    planar = re.fullmatch(r"(gbra?p|gray)f(16|32)le", frame.format.name)
    if planar is None:
        raise ValueError(f"its channels are {frame.format.name}")
    dtype = np.dtype(f"<f{int(planar[2]) // 8}")
    planes = [
        np.frombuffer(bytes(plane), dtype).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    ]
    return np.stack([planes[i] for i in {1: (0, 0, 0), 3: (2, 0, 1), 4: (2, 0, 1, 3)}[len(planes)]], -1)


def _check_exr_is_whole(data: bytes) -> None:
    """Raise ValueError when an OpenEXR file of one part is cut off, which FFmpeg fills with black.

    OpenEXR file layout: attributes up to an empty name, then the positions of all chunks, the first of which follows;
    a chunk begins with its place (4 bytes in files of lines, 16 in files of tiles) and its size.
    """
    version = int.from_bytes(data[4:8], "little")
    if version & 0x1000:
        return
    at = 8
    while data[at : at + 1] != b"\0":
        at = data.index(b"\0", data.index(b"\0", at) + 1) + 1
        at += 4 + int.from_bytes(data[at : at + 4], "little")
    first = int.from_bytes(data[at + 1 : at + 9], "little")
    positions = np.frombuffer(data[at + 1 : first][: (first - at - 1) // 8 * 8], "<u8")
    size_at = int(positions.max()) + (16 if version & 0x200 else 4)
    if len(data) < size_at + 4 + int.from_bytes(data[size_at : size_at + 4], "little"):
        raise ValueError("it ends too early")


def _decode_hdr(path: Path) -> Float[np.ndarray, "H W 3"]:
    """Return the linear light of a Radiance picture."""
    return _first_frame(path, "hdr_pipe").to_ndarray(format="gbrpf32le")


def _decode_tiff(path: Path) -> Shaped[np.ndarray, "H W C"]:
    """Return the channels of a TIFF that Pillow does not open."""
    import cv2

    # OpenCV writes to standard error what it also returns as None.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    cv2.utils.logging.setLogLevel(level)
    if values is None:
        raise ValueError("its kind of TIFF is not read")
    if values.ndim == 2:
        values = values[..., None].repeat(3, -1)
    return values[..., [2, 1, 0, 3][: values.shape[-1]]]


def _decode_jpeg_xl(path: Path) -> Shaped[np.ndarray, "H W C"]:
    """Return the channels of the first frame of a JPEG XL picture."""
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingPackageError(
            f"JPEG XL needs the package imagecodecs, which is not installed: {path}",
            hint="pip install 'img2world[jxl]', or save the picture as PNG or JPEG",
        ) from error
    values = imagecodecs.jpegxl_decode(path.read_bytes(), index=0)
    if values.ndim == 2:
        values = values[..., None]
    grey = values.shape[-1] < 3
    return values[..., [0, 0, 0, 1][: 3 + (values.shape[-1] - 1)]] if grey else values


def coded_colors(path: Path, form: str | None) -> UInt16[np.ndarray, "H W 3"] | None:
    """Return the code values of a PNG, AVIF or HEIF picture in full depth, 65535 at their maximum.

    None for other formats, and for pictures that FFmpeg gives only a part of, as AVIF files of several tiles.
    """
    if form == "HEIF":
        import pi_heif

        file = pi_heif.open_heif(path, convert_hdr_to_8bit=False)
        width, height = file.size
        # The rows are padded. A copy, because the file's memory is freed with it.
        code = np.asarray(file)[:height, :width, :3].copy()
        return code if code.dtype == np.uint16 else code.astype(np.uint16) * np.uint16(257)
    names = {"AVIF": "mov", "PNG": "png_pipe"}
    return _first_frame(path, names[form]).to_ndarray(format="rgb48le") if form in names else None


def encoding_of(path: Path, form: str | None) -> tuple[int, int] | None:
    """Return transfer characteristics and primaries (ITU-T H.273) of a PNG, AVIF or HEIF picture that names them."""
    if form == "PNG":
        chunk = png_chunk(path, b"cICP")
        return None if chunk is None or len(chunk) != 4 else (chunk[1], chunk[0])
    if form not in ("AVIF", "HEIF"):
        return None
    with path.open("rb") as file:
        head = file.read(1 << 18)
    # ISO/IEC 14496-12, section 12.1.5.
    at = head.find(b"colrnclx")
    if at < 0 or len(head) < at + 12:
        return None
    primaries, transfer = struct.unpack(">2H", head[at + 8 : at + 12])
    return transfer, primaries


def png_chunk(path: Path, kind: bytes) -> bytes | None:
    """Return the data of the first chunk of a kind before the pixels of a PNG."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name in (kind, b"IDAT", b"IEND"):
                return file.read(length) if name == kind else None
            file.seek(length + 4, 1)
    return None


def srgb_from_gamma(
    rgb: UInt8[np.ndarray, "H W 3"] | UInt16[np.ndarray, "H W 3"], gamma: float, chromaticities: tuple[float, ...]
) -> UInt8[np.ndarray, "H W 3"]:
    """Convert colours by the gAMA and cHRM chunks of a PNG (PNG specification, sections 11.3.2.1 and 11.3.2.2).

    `chromaticities` are x and y of white, red, green and blue, or empty.
    """
    table = np.linspace(0, 1, np.iinfo(rgb.dtype).max + 1, dtype=np.float32) ** np.float32(1 / gamma)
    if len(chromaticities) != 8:
        return srgb_from_linear(table[rgb], is_hdr=False)
    red, green, blue = ((chromaticities[i], chromaticities[i + 1]) for i in (2, 4, 6))
    return srgb_from_linear(table[rgb], (red, green, blue), is_hdr=False)
