"""Decodes a video file in a child process: `python -m img2world.video.decode`, started by `video.file`.

A video is a program for a large C library: a hostile or damaged one may crash or hang it. So this runs
apart, with limits on size, length, memory and time, and never opens anything but the one file.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image as PillowImage

from img2world.core.child_process import answer
from img2world.core.errors import VideoError
from img2world.core.progress import Progress
from img2world.video.frame_selection import LONG_SIDE, LOOKED_AT, news_curve, useful_count

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MIN_SIDE, MAX_PIXELS = 16, 7680 * 4320
"""Of one frame, which may be up to 8K."""

MAX_FRAMES = 100_000
"""Of one video."""

WHOLE_SHARE = 0.85
"""So much of the video must be there and decodable: a few broken frames are common in good videos."""

WINDOW = 0.25
"""How far from its even place in time a sharper frame may be taken, in steps between chosen frames."""

UNSPECIFIED, ITU709 = 2, 1
"""ITU-T H.273, table 4: matrix coefficients."""

BROKEN_HINT = "save it anew, for example with `ffmpeg -i BROKEN GOOD.mp4`, or download it again"


@dataclass(frozen=True, kw_only=True)
class _Timing:
    """When the frames of a video are shown."""

    stamps: list[int]
    """Of all packets, sorted, each once."""
    tick: Fraction
    """Seconds per unit of a stamp."""
    numbered: bool
    """The file has no time stamps, so that stamps are the numbers of the frames."""

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return float((self.stamps[-1] - self.stamps[0]) * self.tick)


def decode(options: dict, progress: Progress) -> None:
    """Write rgb.npy [V, H, W, 3] and times.npy [V] of the chosen frames to options["folder"].

    They are about equally new compared with those before them, sharper ones where that is close enough.
    """
    import av.error

    path = Path(options["path"])
    try:
        timing = _timing(path, options["format"])
        _check_length(timing, options["max_seconds"], path)
        bins = _bins(path, timing, options)
        wanted = {stamp: int(place) for stamp, place in zip(timing.stamps, bins, strict=True) if place >= 0}
        chosen = _sharpest(path, options["format"], timing, wanted, options["size"], progress)
    except av.error.MemoryError as error:
        raise VideoError(f"the video needs too much memory: {path}", hint="scale it down") from error
    except av.error.FFmpegError as error:
        raise VideoError(f"the video is broken ({error.strerror}): {path}", hint=BROKEN_HINT) from error
    times = np.array(sorted(chosen)) * float(timing.tick)
    np.save(Path(options["folder"]) / "times.npy", times - times[0])
    np.save(Path(options["folder"]) / "rgb.npy", np.stack([chosen[stamp] for stamp in sorted(chosen)]))


def _bins(path: Path, timing: _Timing, options: dict) -> Int[np.ndarray, "N"]:
    """For each frame the place that it is a candidate for, or -1."""
    if options["even"]:
        return choose(np.array(timing.stamps, np.float64), options["num_frames"])
    curve = _news(path, options["format"], timing)
    return choose(curve, useful_count(curve, options["num_frames"]))


def _open(path: Path, form: str) -> "InputContainer":
    """The file, read as the given format and nothing else, so that it cannot name other files."""
    import av

    return av.open(str(path), format=form, options={"protocol_whitelist": "file"})


def _stream(container: "InputContainer", path: Path) -> "VideoStream":
    """The main video stream, with a picture size that can be used."""
    from av.video.stream import VideoStream

    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        kinds = " and ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise VideoError(f"the file has no pictures, only {kinds}: {path}", hint="use a file with a video track")
    width, height = stream.codec_context.width, stream.codec_context.height
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        raise VideoError(
            f"the video is {width}x{height} pixels, needs {MIN_SIDE}x{MIN_SIDE} to 7680x4320: {path}",
            hint="scale it first",
        )
    return stream


def _timing(path: Path, form: str) -> _Timing:
    """When the frames are shown, without decoding them."""
    with _open(path, form) as container:
        stream = _stream(container, path)
        stamps = []
        for packet in container.demux(stream):
            if packet.size:
                stamps.append(packet.pts)
            if len(stamps) > MAX_FRAMES:
                raise VideoError(f"the video has more than {MAX_FRAMES} frames: {path}", hint="cut it")
        if stream.time_base is None or None in stamps:
            rate = Fraction(stream.average_rate or 25)
            return _Timing(stamps=list(range(len(stamps))), tick=1 / rate, numbered=True)
        timing = _Timing(stamps=sorted(set(stamps)), tick=stream.time_base, numbered=False)
        promised = stream.duration * float(stream.time_base) if stream.duration else 0.0
        if not promised and len(container.streams) == 1 and container.duration:
            promised = container.duration / 1e6
    if timing.stamps and promised > 1 and timing.seconds < WHOLE_SHARE * promised - 1:
        raise VideoError(
            f"the video is cut off after {timing.seconds:.1f} of {promised:.1f} seconds: {path}", hint=BROKEN_HINT
        )
    return timing


def _check_length(timing: _Timing, max_seconds: float, path: Path) -> None:
    """Returns only when the video is neither too short nor too long."""
    if len(timing.stamps) < 2:
        raise _too_short(len(timing.stamps), path)
    if timing.seconds > max_seconds:
        raise VideoError(
            f"the video is {timing.seconds:.0f} seconds long, needs at most {max_seconds:g}: {path}",
            hint="cut it to the part that shows the place or thing, or raise video.max_seconds",
        )


def _too_short(frames: int, path: Path) -> VideoError:
    """The refusal of a video without movement."""
    return VideoError(f"the video has {frames} frame(s), needs at least 2: {path}", hint="use a longer video")


def _news(path: Path, form: str, timing: _Timing) -> Float[np.ndarray, "N"]:
    """How much new each frame shows, as `news_curve`, from small grey copies of some of the frames."""
    import av.error

    stride = -(-len(timing.stamps) // LOOKED_AT)
    count, greys = 0, []
    with _open(path, form) as container:
        stream = _stream(container, path)
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in (frame for frame in frames if not frame.is_corrupt):
                if count % stride == 0:
                    greys.append(_grey(frame))
                count += 1
    seconds = np.array(timing.stamps, np.float64) * float(timing.tick)
    if len(greys) < 2:
        return seconds
    looked_at = np.minimum(np.arange(len(greys)) * stride, len(seconds) - 1)
    return np.interp(np.arange(len(seconds)), looked_at, news_curve(greys, seconds[looked_at])) + 1e-9 * seconds


def choose(times: Float[np.ndarray, "N"], count: int) -> Int[np.ndarray, "N"]:
    """For each frame the place 0 to count - 1 that it is a candidate for, or -1.

    `times`, or whatever the choice is to be even in, rise. The first is for the first frame alone, which often
    is the photo that the video was made from.
    """
    if len(times) <= count:
        return np.arange(len(times))
    places = (times - times[0]) / (times[-1] - times[0]) * (count - 1)
    nearest = np.round(places).astype(np.int64)
    bins = np.where(np.abs(places - nearest) <= WINDOW, nearest, -1)
    bins[1:][bins[1:] == 0] = -1
    for empty in sorted(set(range(count)) - set(bins.tolist())):
        # Where frames are rare, the nearest, unless it has a place already.
        frame = int(np.argmin(np.abs(places - empty)))
        if bins[frame] < 0:
            bins[frame] = empty
    return bins


def _sharpest(
    path: Path, form: str, timing: _Timing, wanted: dict[int, int], size: int, progress: Progress
) -> dict[int, UInt8[np.ndarray, "H W 3"]]:
    """The sharpest frame of each place, by its stamp. `wanted` gives the place of each candidate."""
    import av.error

    best: dict[int, tuple[float, int, np.ndarray]] = {}
    decoded = 0
    with _open(path, form) as container:
        stream = _stream(container, path)
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in (frame for frame in frames if not frame.is_corrupt):
                stamp = decoded if timing.numbered or frame.pts is None else frame.pts
                # The first packets may be marked as not to be shown: the first frame shown has place 0.
                place = 0 if decoded == 0 else wanted.get(stamp)
                decoded += 1
                if place is None:
                    continue
                picture = _picture(frame, stream.sample_aspect_ratio, size)
                found = sharpness(picture)
                if found > best.get(place, (-1.0,))[0]:
                    best[place] = (found, stamp, picture)
            progress(min(decoded, len(timing.stamps)), len(timing.stamps))
    if decoded < WHOLE_SHARE * len(timing.stamps):
        raise VideoError(
            f"only {decoded} of {len(timing.stamps)} frames of the video can be decoded: {path}", hint=BROKEN_HINT
        )
    if len(best) < 2:
        raise _too_short(len(best), path)
    return {stamp: picture for _, stamp, picture in best.values()}


def _picture(frame: "VideoFrame", pixel_shape: Fraction | None, size: int) -> UInt8[np.ndarray, "H W 3"]:
    """The frame as it is to be seen: square pixels, upright, at most `size` pixels long."""
    if frame.width * frame.height > MAX_PIXELS:
        raise VideoError(f"a frame is {frame.width}x{frame.height} pixels, needs at most 7680x4320", hint="scale it")
    # Videos that do not say follow a custom: HD is BT.709, smaller is BT.601.
    hd = frame.colorspace == UNSPECIFIED and frame.height >= 720
    rgb = frame.reformat(format="rgb24", src_colorspace=ITU709 if hd else None).to_ndarray()
    width, height = frame.width * float(pixel_shape or 1), float(frame.height)
    scale = min(1.0, size / max(width, height))
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    if target != (frame.width, frame.height):
        rgb = np.asarray(PillowImage.fromarray(rgb).resize(target, PillowImage.Resampling.LANCZOS))
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return rgb if matrix is None else turn(rgb, np.frombuffer(bytes(matrix), np.int32).reshape(3, 3))


def _grey(frame: "VideoFrame") -> UInt8[np.ndarray, "h w"]:
    """A small grey copy of a frame, as it is stored."""
    scale = min(1.0, LONG_SIDE / max(frame.width, frame.height))
    width, height = (max(MIN_SIDE, 2 * round(side * scale / 2)) for side in (frame.width, frame.height))
    return np.ascontiguousarray(frame.reformat(width=width, height=height, format="gray").to_ndarray())


def turn(rgb: UInt8[np.ndarray, "H W 3"], matrix: Int[np.ndarray, "3 3"]) -> UInt8[np.ndarray, "*S 3"]:
    """The stored picture as its display matrix shows it, by whole quarter turns and mirrors.

    Source: ISO/IEC 14496-12, section 6.2.2: (x', y') = (a x + c y, b x + d y), rows (a, b, u), (c, d, v).
    """
    (a, b, _), (c, d, _) = matrix[:2]
    if abs(a) + abs(d) < abs(b) + abs(c):
        rgb, a, d = rgb.swapaxes(0, 1), c, b
    if a < 0:
        rgb = rgb[:, ::-1]
    if d < 0:
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def sharpness(rgb: UInt8[np.ndarray, "H W 3"]) -> float:
    """Variance of the Laplacian of the brightness: it falls when a picture is blurred by shake."""
    grey = rgb.mean(-1)
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(laplacian.var())


if __name__ == "__main__":
    answer(decode)
