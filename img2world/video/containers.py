"""Files that hold a video, recognised by their content: containers of FFmpeg, and animated pictures."""

import struct
from pathlib import Path

from PIL import Image as PillowImage

from img2world.core.deep_picture import png_chunk
from img2world.core.errors import VideoError, reason

SIGNATURES = {
    "mov": ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"free"), (4, b"skip")),
    "matroska": ((0, b"\x1a\x45\xdf\xa3"),),
    "avi": ((8, b"AVI "),),
    "ogg": ((0, b"OggS"),),
    "flv": ((0, b"FLV\x01"),),
    "asf": ((0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),),
    "mpeg": ((0, b"\0\0\x01\xba"),),
}
"""Formats by FFmpeg's name, with the offset and the bytes that identify them. File names are ignored."""

PICTURE_BRANDS = (b"avif", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avis")
"""Brands of pictures that begin as mp4 files do (ISO/IEC 23008-12); avis may be an animation."""

ANIMATED = {"gif": ((0, b"GIF87a"), (0, b"GIF89a")), "webp": ((8, b"WEBP"),), "avif": ((8, b"avis"),)}
"""Pictures that may be animations; the first is decoded by FFmpeg, the others by Pillow."""

PICTURES = ((0, b"\xff\xd8\xff"), (0, b"\x89PNG"), (8, b"WEBP"), (0, b"BM"), (0, b"II*\0"), (0, b"MM\0*"), (0, b"GIF8"))
"""Signatures of still pictures."""

TRANSPORT_PACKETS = ((0, 188), (4, 192))
"""Offset of the first sync byte and distance to the next in transport streams, of broadcasts and of camcorders."""

HEAD = 3 * 192
"""Bytes of a file that are looked at."""


def container_of(path: Path) -> str | None:
    """Return the name of a video's format, which is FFmpeg's or "webp" or "avif"; None when it is no video.

    A GIF, WebP, PNG or AVIF is a video only when it is animated. Raises VideoError when it cannot be read or is empty.
    """
    start = _start_of(path)
    for name, signatures in ANIMATED.items():
        if _matches(start, signatures):
            return name if _is_animated(path) else None
    if start.startswith(b"\x89PNG"):
        # The chunk acTL begins with the number of frames (PNG specification, section 11.3.6.1).
        control = png_chunk(path, b"acTL")
        return "apng" if control and struct.unpack(">I", control[:4])[0] > 1 else None
    if start[4:8] == b"ftyp" and start[8:12] in PICTURE_BRANDS:
        return None
    for name, signatures in SIGNATURES.items():
        if _matches(start, signatures):
            return name
    # One byte does not identify a transport stream; it repeats with every packet.
    return "mpegts" if any(start[at::step][:3] == b"\x47" * 3 for at, step in TRANSPORT_PACKETS) else None


def needed_container(path: Path) -> str:
    """Return what `container_of` does. Raises VideoError when the file is not a video."""
    form = container_of(path)
    if form is not None:
        return form
    start = _start_of(path)
    if _matches(start, PICTURES) or (start[4:8] == b"ftyp" and start[8:12] in PICTURE_BRANDS):
        raise VideoError(
            f"the file is a picture, a video is needed: {path}",
            hint="choose another video backend to animate a picture",
        )
    raise VideoError(
        f"the file is not a video in a known format: {path}",
        hint="give mp4, mov, webm, mkv, avi, ogv, ts, mpg, wmv or flv, an animated picture, or a folder of pictures",
    )


def _matches(start: bytes, signatures: tuple[tuple[int, bytes], ...]) -> bool:
    """Tell whether the start of a file has one of the signatures."""
    return any(start[offset : offset + len(mark)] == mark for offset, mark in signatures)


def _start_of(path: Path) -> bytes:
    """Return the first bytes of a file. Raises VideoError when it cannot be read or is empty."""
    try:
        if path.exists() and not path.is_file():
            raise VideoError(f"this is not a file, needs a video: {path}", hint="save the video to a file")
        with path.open("rb") as file:
            start = file.read(HEAD)
    except (OSError, ValueError) as error:
        raise VideoError(
            f"the file cannot be read ({reason(error)}): {path}", hint="check the path and its permissions"
        ) from error
    if not start:
        raise VideoError(f"the file is empty (0 bytes): {path}", hint="copy or download it again")
    return start


def _is_animated(path: Path) -> bool:
    """Tell whether a picture has more than one frame."""
    try:
        with PillowImage.open(path) as picture:
            return getattr(picture, "is_animated", False)
    except Exception:
        # The file is broken, which reading it as a picture will report.
        return False
