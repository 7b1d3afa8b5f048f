"""Pictures and videos of a run as data URLs, small enough for one page."""

import base64
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage
from safetensors import safe_open

from img2world.core.errors import FormatError
from img2world.runs.page.reading import reading

THUMBNAIL, MAX_THUMBNAILS = 160, 150
"""Longest side in pixels of the small pictures of frames, and how many of them a page has."""

MAX_VIDEO, SMALL_VIDEO, SMALL_CRF = 900_000, 400, 28
"""Bytes of a video on the page at most; longest side in pixels and rate factor of the copy of a larger one."""

QUALITY = 78
"""Of WebP files, 0 to 100."""

INVENTED, CONTINUED = (224, 96, 16), (40, 104, 214)
"""Tints of pixels by their origin, as `Frames.seen` has it: 0 invented, 1 continued."""

TINT = 0.6
"""Fraction of the tint in the colour of a pixel."""


Extent = tuple[float, float]
WHOLE: Extent = (1.0, 1.0)
"""Fractions of the width and the height of a frame that its picture covers, from the upper left corner."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture for a page."""

    url: str
    width: int
    height: int


def picture_of(picture: PillowImage.Image, side: int, quality: int = QUALITY) -> Picture:
    """Return a picture, transparent parts white, whose longest side has at most this many pixels."""
    small = picture.convert("RGBA") if picture.has_transparency_data else picture.convert("RGB")
    small.thumbnail((side, side), PillowImage.Resampling.LANCZOS)
    if small.mode == "RGBA":
        small = PillowImage.alpha_composite(PillowImage.new("RGBA", small.size, (255, 255, 255, 255)), small)
    data = io.BytesIO()
    small.convert("RGB").save(data, "WEBP", quality=quality)
    return Picture(url=data_url(data.getvalue(), "image/webp"), width=small.width, height=small.height)


def read_picture(path: Path, side: int, extent: Extent = WHOLE) -> Picture:
    """Read a PNG, of it the given part. Raises FormatError when it is missing or damaged."""
    with reading(path.name), PillowImage.open(path, formats=("PNG",)) as picture:
        return picture_of(_part(picture, extent), side)


def read_as_is(path: Path) -> Picture:
    """Read a WebP file without changing it. Raises FormatError when it is missing or damaged."""
    with reading(path.name):
        with PillowImage.open(path, formats=("WEBP",)) as picture:
            picture.load()
        return Picture(url=data_url(path.read_bytes(), "image/webp"), width=picture.width, height=picture.height)


def read_extents(frames: Path) -> list[Extent]:
    """Return which part of each frame its picture covers; empty if each fills its frame.

    `frames` has the files of `Frames.save`. Raises FormatError when they are missing or damaged.
    """
    with reading("frames/"), safe_open(frames / "frames.safetensors", "numpy") as file:
        if "sizes" not in file.keys():  # noqa: SIM118 - not a dict
            return []
        _, height, width = file.get_slice("mask").get_shape()
        return [(float(w) / width, float(h) / height) for w, h in file.get_tensor("sizes")]


def thumbnails(video: Path, count: int, extents: list[Extent]) -> dict[int, Picture]:
    """Return small pictures of the frames of a video of `count` frames by their index, of many at equal steps.

    `extents` has the part of each frame to show; it may be empty.

    Raises FormatError when the video is missing, damaged, or has another number of frames.
    """
    wanted = set(_even_steps(count))
    found, i = {}, -1
    for i, frame in enumerate(_frames(video, THUMBNAIL)):
        if i in wanted:
            part = _part(PillowImage.fromarray(frame), extents[i] if i < len(extents) else WHOLE)
            found[i] = picture_of(part, THUMBNAIL, 72)
    if i + 1 != count:
        raise FormatError(f"{video.name} has {i + 1} frames, needs {count}", hint="run the same command again")
    return found


def thumbnails_of_files(frames: Path, count: int, extents: list[Extent]) -> dict[int, Picture]:
    """Return the same of the files of `Frames.save`. Raises FormatError when one is missing or damaged."""
    return {
        i: read_picture(frames / f"{i:04d}.png", THUMBNAIL, extents[i] if i < len(extents) else WHOLE)
        for i in _even_steps(count)
    }


def _even_steps(count: int) -> list[int]:
    """Return the indices of the frames that have a small picture."""
    return np.linspace(0, count - 1, min(count, MAX_THUMBNAILS)).round().astype(int).tolist()


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video for a page."""

    url: str
    width: int
    height: int
    poster: Picture
    """Its first frame."""
    is_reduced: bool
    """True if it is a smaller copy."""


def read_video(path: Path) -> Video | None:
    """Read a video, as a smaller copy if it is large; None if even that is too large.

    Raises FormatError when it is missing or damaged.
    """
    from img2world.export.mp4 import write_mp4

    size = _size_of(path)
    first = next(_frames(path, SMALL_VIDEO), None)
    if first is None:
        raise FormatError(f"{path.name} has no frames", hint="run the same command again")
    poster = picture_of(PillowImage.fromarray(first), SMALL_VIDEO)
    data = path.read_bytes()
    if is_reduced := len(data) > MAX_VIDEO:
        rate, frames = size[2], np.stack(list(_frames(path, SMALL_VIDEO)))
        with tempfile.TemporaryDirectory(prefix="img2world-") as folder:
            copy = Path(folder) / path.name
            write_mp4(frames, copy, rate, crf=SMALL_CRF)
            data = copy.read_bytes()
        if len(data) > MAX_VIDEO:
            return None
    url = data_url(data, "video/mp4")
    return Video(url=url, width=size[0], height=size[1], poster=poster, is_reduced=is_reduced)


def origins(folder: Path, chosen: list[int]) -> list[Picture]:
    """Return frames of a run in which what is not in the photo is tinted.

    `folder` has the files of `Frames.save`. Raises FormatError when they are missing or damaged.
    """
    pictures = []
    with reading("frames/"), safe_open(folder / "frames.safetensors", "numpy") as file:
        maps = {name: file.get_slice(name) for name in ("seen", "alpha") if name in file.keys()}  # noqa: SIM118 - not a dict
        for i in chosen:
            with PillowImage.open(folder / f"{i:04d}.png", formats=("PNG",)) as picture:
                rgb = np.asarray(picture.convert("RGB"))
            seen = maps["seen"][i]
            alpha = maps["alpha"][i] if "alpha" in maps else np.full(seen.shape, 255, np.uint8)
            pictures.append(tinted(rgb, seen, alpha))
    return [picture_of(PillowImage.fromarray(picture), 2 * THUMBNAIL) for picture in pictures]


def tinted(
    rgb: UInt8[np.ndarray, "H W 3"], seen: UInt8[np.ndarray, "H W"], alpha: UInt8[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Return a frame with tints where it is invented or continued; where there is no object it has none."""
    picture = rgb.astype(np.float32)
    for origin, tint in enumerate((INVENTED, CONTINUED)):
        there = (seen == origin) & (alpha > 127)
        picture[there] = (1 - TINT) * picture[there] + TINT * np.array(tint, np.float32)
    return picture.round().astype(np.uint8)


def _part(picture: PillowImage.Image, extent: Extent) -> PillowImage.Image:
    """Return the upper left part of a picture."""
    width, height = (max(round(a * b), 1) for a, b in zip(picture.size, extent, strict=True))
    return picture.crop((0, 0, width, height))


def data_url(data: bytes, kind: str) -> str:
    """Return bytes as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _frames(path: Path, side: int) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Yield the frames of a video, whose longest side has at most this many pixels, even sizes as H.264 needs."""
    import av

    with reading(path.name), av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[0]):
            scale = min(side / max(frame.width, frame.height), 1)
            width, height = (max(2 * round(length * scale / 2), 2) for length in (frame.width, frame.height))
            yield frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")


def _size_of(path: Path) -> tuple[int, int, float]:
    """Return the width, height and frame rate of a video."""
    import av

    with reading(path.name), av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, float(stream.average_rate or 1)
