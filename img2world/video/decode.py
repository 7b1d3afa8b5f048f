"""Decode a video file: `python -m img2world.video.decode`, a child process of `video.file`.

A hostile or damaged video may crash or hang the C library that decodes it. Therefore this runs in a process of its own,
with limits on size, duration, memory and time, and opens nothing but the one file.
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
from img2world.video.frame_selection import COMPARED_SIDE, MAX_COMPARED, motion_curve, useful_count

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MIN_SIDE, MAX_PIXELS = 16, 7680 * 4320
"""Limits of a frame, which may be up to 8K."""

MAX_FRAMES = 100_000
"""Limit of a video."""

MIN_DECODABLE_FRACTION = 0.85
"""Fraction of the video that must be present and decodable: a few broken frames are common in good videos."""

MAX_SHIFT = 0.25
"""Distance from its even position at which a sharper frame may be selected, in steps between selected frames."""

UNSPECIFIED, ITU709 = 2, 1
"""Matrix coefficients (ITU-T H.273, table 4)."""

BROKEN_HINT = "convert it, for example with `ffmpeg -i BROKEN GOOD.mp4`, or download it again"


@dataclass(frozen=True, kw_only=True)
class _Timing:
    """The presentation times of a video's frames."""

    stamps: list[int]
    """Time stamps of all packets, sorted and unique."""
    tick: Fraction
    """Seconds per unit of a time stamp."""
    numbered: bool
    """True when the file has no time stamps, so that stamps are frame numbers."""

    @property
    def seconds(self) -> float:
        """Time from the first frame to the last."""
        return float((self.stamps[-1] - self.stamps[0]) * self.tick)


def decode(options: dict, progress: Progress) -> None:
    """Write rgb.npy [V, H, W, 3] and times.npy [V] of the selected frames to options["folder"].

    Frames are selected at equal steps of camera motion, or of time if options["even"], the sharpest of neighbours.
    """
    import av.error

    path = Path(options["path"])
    try:
        timing = _timing(path, options["format"])
        _check_length(timing, options["max_seconds"], path)
        slots = _candidate_slots(path, timing, options)
        candidates = {stamp: int(slot) for stamp, slot in zip(timing.stamps, slots, strict=True) if slot >= 0}
        selected = _decode_sharpest(path, options["format"], timing, candidates, options["size"], progress)
    except av.error.MemoryError as error:
        raise VideoError(f"the video needs too much memory: {path}", hint="resize it first") from error
    except av.error.FFmpegError as error:
        raise VideoError(f"the video is broken ({error.strerror}): {path}", hint=BROKEN_HINT) from error
    times = np.array(sorted(selected)) * float(timing.tick)
    np.save(Path(options["folder"]) / "times.npy", times - times[0])
    np.save(Path(options["folder"]) / "rgb.npy", np.stack([selected[stamp] for stamp in sorted(selected)]))


def _candidate_slots(path: Path, timing: _Timing, options: dict) -> Int[np.ndarray, "N"]:
    """Return the slot for which each frame is a candidate, or -1."""
    if options["even"]:
        return assign_slots(np.array(timing.stamps, np.float64), options["num_frames"])
    curve = _motion_curve(path, options["format"], timing)
    return assign_slots(curve, useful_count(curve, options["num_frames"]))


def _open(path: Path, form: str) -> "InputContainer":
    """Open the file as the given format and no other, so that it cannot refer to other files."""
    import av

    return av.open(str(path), format=form, options={"protocol_whitelist": "file"})


def _stream(container: "InputContainer", path: Path) -> "VideoStream":
    """Return the main video stream. Raises VideoError when there is none or its frames have an unusable size."""
    from av.video.stream import VideoStream

    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        kinds = " and ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise VideoError(f"the file has no video track, only {kinds}: {path}", hint="give a file with a video track")
    width, height = stream.codec_context.width, stream.codec_context.height
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        raise VideoError(
            f"the video is {width}x{height} pixels, needs {MIN_SIDE}x{MIN_SIDE} to 7680x4320: {path}",
            hint="resize it first",
        )
    return stream


def _timing(path: Path, form: str) -> _Timing:
    """Read the presentation times of the frames without decoding them."""
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
        nominal = stream.duration * float(stream.time_base) if stream.duration else 0.0
        if not nominal and len(container.streams) == 1 and container.duration:
            nominal = container.duration / 1e6
    if timing.stamps and nominal > 1 and timing.seconds < MIN_DECODABLE_FRACTION * nominal - 1:
        raise VideoError(
            f"the video is cut off after {timing.seconds:.1f} of {nominal:.1f} seconds: {path}", hint=BROKEN_HINT
        )
    return timing


def _check_length(timing: _Timing, max_seconds: float, path: Path) -> None:
    """Raise VideoError when the video is too short or too long."""
    if len(timing.stamps) < 2:
        raise _too_short(len(timing.stamps), path)
    if timing.seconds > max_seconds:
        raise VideoError(
            f"the video is {timing.seconds:.0f} seconds long, needs at most {max_seconds:g}: {path}",
            hint="cut it to the part that shows the place or the thing, or raise video.max_seconds",
        )


def _too_short(frames: int, path: Path) -> VideoError:
    """Return the error for a video of fewer than 2 frames."""
    return VideoError(f"the video has {frames} frame(s), needs at least 2: {path}", hint="use a longer video")


def _motion_curve(path: Path, form: str, timing: _Timing) -> Float[np.ndarray, "N"]:
    """Return the `motion_curve` of all frames, interpolated between those that are compared."""
    import av.error

    stride = -(-len(timing.stamps) // MAX_COMPARED)
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
    compared = np.minimum(np.arange(len(greys)) * stride, len(seconds) - 1)
    return np.interp(np.arange(len(seconds)), compared, motion_curve(greys, seconds[compared])) + 1e-9 * seconds


def assign_slots(curve: Float[np.ndarray, "N"], count: int) -> Int[np.ndarray, "N"]:
    """Return the slot, 0 to count - 1, for which each frame is a candidate, or -1.

    Slots lie in even steps on the rising `curve` of times or motion. The first frame alone is a candidate for the first
    slot, because it often is the photo that the video was made from.
    """
    if len(curve) <= count:
        return np.arange(len(curve))
    positions = (curve - curve[0]) / (curve[-1] - curve[0]) * (count - 1)
    nearest = np.round(positions).astype(np.int64)
    slots = np.where(np.abs(positions - nearest) <= MAX_SHIFT, nearest, -1)
    slots[1:][slots[1:] == 0] = -1
    for empty in sorted(set(range(count)) - set(slots.tolist())):
        # Where frames are rare, the nearest frame, unless it has a slot already.
        frame = int(np.argmin(np.abs(positions - empty)))
        if slots[frame] < 0:
            slots[frame] = empty
    return slots


def _decode_sharpest(
    path: Path, form: str, timing: _Timing, candidates: dict[int, int], size: int, progress: Progress
) -> dict[int, UInt8[np.ndarray, "H W 3"]]:
    """Return the sharpest candidate of each slot by its time stamp. `candidates` maps time stamps to slots."""
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
                # The first packets may be marked as not to be shown: the first frame shown is the one of slot 0.
                slot = 0 if decoded == 0 else candidates.get(stamp)
                decoded += 1
                if slot is None:
                    continue
                rgb = _to_rgb(frame, stream.sample_aspect_ratio, size)
                found = sharpness(rgb)
                if found > best.get(slot, (-1.0,))[0]:
                    best[slot] = (found, stamp, rgb)
            progress(min(decoded, len(timing.stamps)), len(timing.stamps))
    if decoded < MIN_DECODABLE_FRACTION * len(timing.stamps):
        raise VideoError(
            f"only {decoded} of {len(timing.stamps)} frames of the video can be decoded: {path}", hint=BROKEN_HINT
        )
    if len(best) < 2:
        raise _too_short(len(best), path)
    return {stamp: rgb for _, stamp, rgb in best.values()}


def _to_rgb(frame: "VideoFrame", pixel_aspect: Fraction | None, size: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return a frame upright, with square pixels and sides of at most `size` pixels."""
    if frame.width * frame.height > MAX_PIXELS:
        raise VideoError(f"a frame is {frame.width}x{frame.height} pixels, needs at most 7680x4320", hint="resize it")
    # Untagged videos follow a custom: HD is BT.709, smaller is BT.601.
    hd = frame.colorspace == UNSPECIFIED and frame.height >= 720
    rgb = frame.reformat(format="rgb24", src_colorspace=ITU709 if hd else None).to_ndarray()
    width, height = frame.width * float(pixel_aspect or 1), float(frame.height)
    scale = min(1.0, size / max(width, height))
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    if target != (frame.width, frame.height):
        rgb = np.asarray(PillowImage.fromarray(rgb).resize(target, PillowImage.Resampling.LANCZOS))
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return rgb if matrix is None else apply_display_matrix(rgb, np.frombuffer(bytes(matrix), np.int32).reshape(3, 3))


def _grey(frame: "VideoFrame") -> UInt8[np.ndarray, "h w"]:
    """Return a small grey copy of a frame as it is stored."""
    scale = min(1.0, COMPARED_SIDE / max(frame.width, frame.height))
    width, height = (max(MIN_SIDE, 2 * round(side * scale / 2)) for side in (frame.width, frame.height))
    return np.ascontiguousarray(frame.reformat(width=width, height=height, format="gray").to_ndarray())


def apply_display_matrix(rgb: UInt8[np.ndarray, "H W 3"], matrix: Int[np.ndarray, "3 3"]) -> UInt8[np.ndarray, "*S 3"]:
    """Return a stored frame as its display matrix shows it, rounded to quarter turns and mirrors.

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
    """Return the variance of the Laplacian of the grey values, which falls when a frame is blurred by motion."""
    grey = rgb.mean(-1)
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(laplacian.var())


if __name__ == "__main__":
    answer(decode)
