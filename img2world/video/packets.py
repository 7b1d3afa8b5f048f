"""Frames of a video file in the order in which they are shown, all of them or a few, decoded by FFmpeg or Pillow."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image as PillowImage

from img2world.core.errors import VideoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MIN_SIDE, MAX_PIXELS = 16, 7680 * 4320
"""Limits of a frame, which may be up to 8K."""

MAX_FRAMES = 100_000
"""Limit of a video."""

MIN_PRESENT_FRACTION = 0.85
"""Fraction of the nominal duration that must be present."""

COMPOSED = ("gif", "apng")
"""Formats whose frames are drawn over those before them, although each counts as a key frame."""

DEFAULT_SECONDS = 0.1
"""Duration of a frame of an animated picture that names none."""

BROKEN_HINT = "convert it, for example with `ffmpeg -i BROKEN GOOD.mp4`, or download it again"


@dataclass(frozen=True, kw_only=True)
class Index:
    """Facts about a video's frames before they are decoded."""

    stamps: list[int]
    """Time stamps of all packets in the order in which they are stored."""
    tick: Fraction
    """Seconds per unit of a time stamp."""
    numbered: bool
    """True when the file has no time stamps, so that stamps are frame numbers."""
    restarts: list[int]
    """Places in `stamps` at which decoding can begin, so that all frames from there on are whole; the first is 0."""
    pixel_aspect: float = 1.0
    """Width of a pixel over its height."""

    @property
    def seconds(self) -> float:
        """Time from the first frame to the last."""
        return float((max(self.stamps) - min(self.stamps)) * self.tick)


def too_short(frames: int, path: Path) -> VideoError:
    """Return the error for a video of fewer than 2 frames."""
    return VideoError(f"the video has {frames} frame(s), needs at least 2: {path}", hint="use a longer video")


def read_index(path: Path, form: str) -> Index:
    """Read the presentation times of the frames, where FFmpeg decodes the file without decoding them.

    Raises VideoError when the video is cut off, has too many frames or fewer than 2.
    """
    if form in PILLOW_FORMATS:
        stamps = [frame.pts or 0 for frame in _animation(path)]
        index = Index(stamps=stamps, tick=Fraction(1, 1000), numbered=False, restarts=[0])
    else:
        index = _packet_index(path, form)
    if len(set(index.stamps)) < 2:
        raise too_short(len(set(index.stamps)), path)
    return index


def decoded_frames(
    path: Path, form: str, index: Index, wanted: set[int] | None = None
) -> Iterator[tuple[int, "VideoFrame"]]:
    """Yield time stamps and frames, in ascending order, all or those `wanted`; damaged frames are left out.

    Groups of pictures without a wanted frame are skipped, and what follows the last wanted frame in a group.
    """
    frames = _animation(path) if form in PILLOW_FORMATS else _ffmpeg_frames(path, form, index, wanted)
    last = None
    for count, frame in enumerate(frames):
        stamp = count if index.numbered or frame.pts is None else frame.pts
        if frame.width * frame.height > MAX_PIXELS:
            raise _unusable_size(frame.width, frame.height, path)
        # Two frames of one time, or a time that jumps back, would be out of order.
        if (last is None or stamp > last) and (wanted is None or stamp in wanted):
            last = stamp
            yield stamp, frame


def _open(path: Path, form: str) -> "InputContainer":
    """Open the file as the given format and no other, so that it cannot refer to other files."""
    import av

    # Names in old files are in any encoding.
    return av.open(str(path), format=form, options={"protocol_whitelist": "file"}, metadata_errors="replace")


def _stream(container: "InputContainer", path: Path) -> "VideoStream":
    """Return the main video stream. Raises VideoError when there is none or its frames have an unusable size."""
    from av.video.stream import VideoStream

    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        kinds = " and ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise VideoError(f"the file has no video track, only {kinds}: {path}", hint="give a file with a video track")
    width, height = stream.codec_context.width, stream.codec_context.height
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        raise _unusable_size(width, height, path)
    return stream


def _unusable_size(width: int, height: int, path: Path) -> VideoError:
    """Return the error for frames that are too small or too large."""
    return VideoError(
        f"the video is {width}x{height} pixels, needs {MIN_SIDE}x{MIN_SIDE} to 7680x4320: {path}",
        hint="resize it first",
    )


def _packet_index(path: Path, form: str) -> Index:
    """Read the index of a file that FFmpeg decodes from its packets."""
    with _open(path, form) as container:
        stream = _stream(container, path)
        aspect = float(stream.sample_aspect_ratio or 1)
        stamps, keys = [], []
        for packet in container.demux(stream):
            if packet.size:
                stamps.append(packet.pts)
                keys.append(packet.is_keyframe)
            if len(stamps) > MAX_FRAMES:
                raise VideoError(f"the video has more than {MAX_FRAMES} frames: {path}", hint="cut it")
        if stream.time_base is None or None in stamps:
            rate = Fraction(stream.average_rate or 25)
            numbers = list(range(len(stamps)))
            return Index(stamps=numbers, tick=1 / rate, numbered=True, restarts=[0], pixel_aspect=aspect)
        restarts = [0] if form in COMPOSED else _restarts(stamps, keys)
        index = Index(stamps=stamps, tick=stream.time_base, numbered=False, restarts=restarts, pixel_aspect=aspect)
        nominal = stream.duration * float(stream.time_base) if stream.duration else 0.0
        if not nominal and len(container.streams) == 1 and container.duration:
            nominal = container.duration / 1e6
    if stamps and nominal > 1 and index.seconds < MIN_PRESENT_FRACTION * nominal - 1:
        raise VideoError(
            f"the video is cut off after {index.seconds:.1f} of {nominal:.1f} seconds: {path}", hint=BROKEN_HINT
        )
    return index


def _restarts(stamps: list[int], keys: list[bool]) -> list[int]:
    """Return the key frames before which nothing is shown that is stored after them, and the first packet."""
    earliest, found = float("inf"), []
    for i in reversed(range(len(stamps))):
        earliest = min(earliest, stamps[i])
        if keys[i] and stamps[i] <= earliest:
            found.append(i)
    return sorted({0, *found})


def _needed_packets(index: Index, wanted: set[int]) -> list[range]:
    """Return the packets that must be decoded for the wanted frames, a range for each group of pictures."""
    ends = [*index.restarts[1:], len(index.stamps)]
    needed = []
    for start, end in zip(index.restarts, ends, strict=True):
        last = max((i for i in range(start, end) if index.stamps[i] in wanted), default=None)
        if last is not None:
            needed.append(range(start, last + 1))
    return needed


def _ffmpeg_frames(path: Path, form: str, index: Index, wanted: set[int] | None) -> Iterator["VideoFrame"]:
    """Decode a file by FFmpeg, all of it or the groups of pictures that hold wanted frames."""
    whole = wanted is None or index.numbered
    needed = [range(len(index.stamps))] if whole else _needed_packets(index, wanted or set())
    group_of = np.full(len(index.stamps), -1)
    for group, packets in enumerate(needed):
        group_of[packets.start : packets.stop] = group
    with _open(path, form) as container:
        stream = _stream(container, path)
        decoder = _decoder(stream)
        decoder.thread_type = "AUTO"
        current = -1
        for group, packet in zip(group_of, (packet for packet in container.demux(stream) if packet.size), strict=False):
            if group != current and current >= 0:
                yield from _decode(decoder, None)
                decoder.flush_buffers()
            current = group
            if group >= 0:
                yield from _decode(decoder, packet)
        yield from _decode(decoder, None)


def _decode(decoder: "VideoCodecContext", packet: "Packet | None") -> list["VideoFrame"]:
    """Return the frames that a packet, or the end of packets, completes, but for damaged ones."""
    import av.error

    try:
        return [frame for frame in decoder.decode(packet) if not frame.is_corrupt]
    except av.error.InvalidDataError:
        return []


def _decoder(stream: "VideoStream") -> "VideoCodecContext":
    """Return the stream's decoder; for VP8 and VP9 with transparency libvpx, since FFmpeg's own ignore it."""
    from av.video.codeccontext import VideoCodecContext

    context = stream.codec_context
    if stream.metadata.get("alpha_mode") != "1" or context.name not in ("vp8", "vp9"):
        return context
    codec = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[context.name]
    return cast(VideoCodecContext, VideoCodecContext.create(codec, "r"))


PILLOW_FORMATS = ("webp", "avif")
"""Animated pictures that Pillow decodes; its frames are composed with those before them."""


def _animation(path: Path) -> Iterator["VideoFrame"]:
    """Decode an animated picture by Pillow, with time stamps in milliseconds."""
    from av.video.frame import VideoFrame

    with PillowImage.open(path) as picture:
        width, height = picture.size
        count = getattr(picture, "n_frames", 1)
        if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
            raise _unusable_size(width, height, path)
        if count > MAX_FRAMES:
            raise VideoError(f"the video has more than {MAX_FRAMES} frames: {path}", hint="cut it")
        stamp = 0
        for i in range(count):
            picture.seek(i)
            picture.load()
            frame = VideoFrame.from_ndarray(np.asarray(picture.convert("RGBA")), "rgba")
            frame.pts = stamp
            stamp += max(1, round(picture.info.get("duration") or 1000 * DEFAULT_SECONDS))
            yield frame
