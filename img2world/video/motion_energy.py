"""Measure how much changes from frame to frame of a video: `python -m img2world.video.motion_energy`, a child process.

Clips of one scene that were not started together are aligned by it, see `video.synchrony`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from img2world.core.child_process import answer
from img2world.core.errors import VideoError
from img2world.core.progress import Progress
from img2world.video.packets import BROKEN_HINT, decoded_frames, read_index, too_short
from img2world.video.pixels import luma

SIDE = 128
"""Longest side in pixels at which frames are compared."""

NOISE = 1.0
"""Grey levels by which pixels change that show the same: of compression and of rounding."""


def energies(frames: Iterable[UInt8[np.ndarray, "h w"]]) -> Float64[np.ndarray, "N"]:
    """Return the mean change of each grey frame from the one before, in grey levels, beyond `NOISE`.

    A change of brightness, which all pixels share, does not count. The first frame is given the change of the second.
    """
    found, before = [0.0], None
    for frame in frames:
        grey = cv2.GaussianBlur(frame, (0, 0), 1.0).astype(np.float32)
        if before is not None:
            change = grey - before
            found.append(float(np.maximum(np.abs(change - np.median(change)) - NOISE, 0).mean()))
        before = grey
    if len(found) > 1:
        # Nothing is known of the first.
        found[0] = found[1]
    return np.array(found)


def survey(options: dict, progress: Progress) -> None:
    """Write options["result"], an .npz file: stamps, seconds and energies of all frames that can be decoded."""
    import av.error

    path, form = Path(options["path"]), options["format"]
    try:
        index = read_index(path, form)
        if index.seconds > options["max_seconds"]:
            raise VideoError(
                f"the video is {index.seconds:.0f} seconds long, needs at most {options['max_seconds']:g}: {path}",
                hint="cut all videos to the part that shows the motion, or raise video.max_seconds",
            )
        stamps: list[int] = []

        def small() -> Iterator[np.ndarray]:
            for stamp, frame in decoded_frames(path, form, index):
                scale = SIDE / max(frame.width, frame.height)
                stamps.append(stamp)
                progress(len(stamps), max(len(index.stamps), len(stamps)))
                yield luma(frame, max(round(frame.width * scale), 8), max(round(frame.height * scale), 8))

        energy = energies(small())
    except av.error.MemoryError as error:
        raise VideoError(f"the video needs too much memory: {path}", hint="resize it first") from error
    except av.error.FFmpegError as error:
        raise VideoError(f"the video is broken ({error.strerror}): {path}", hint=BROKEN_HINT) from error
    if len(stamps) < 2:
        raise too_short(len(stamps), path)
    seconds = (np.array(stamps) - stamps[0]) * float(index.tick)
    np.savez(options["result"], stamps=np.array(stamps, np.int64), seconds=seconds, energy=energy)


if __name__ == "__main__":
    answer(survey)
