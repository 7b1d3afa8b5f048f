"""Select and decode frames of a video file: `python -m img2world.video.decode`, a child process of `video.file`.

A hostile or damaged video may crash or hang the C library that decodes it. Therefore this runs in a process of its own,
with limits on size, duration, memory and time, and opens nothing but the one file. All frames are decoded once and kept
as a few numbers, by which frames are selected; then the selected ones are decoded again and kept as pictures.
"""

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, Int64, UInt8

from img2world.core.child_process import answer
from img2world.core.errors import VideoError
from img2world.core.progress import Progress
from img2world.tracking.sharpness import SHARPNESS_SIDE, blurred_among, detail_map, sharpness_step
from img2world.video.frame_selection import (
    COMPARED_SIDE,
    MAX_COMPARED,
    MAX_GAP,
    assign_slots,
    motion_between,
    motion_curve,
    runs_of,
    useful_count,
)
from img2world.video.packets import BROKEN_HINT, Index, decoded_frames, read_index, too_short
from img2world.video.pixels import luma, on_white, shown_shape, to_rgba

MIN_DECODABLE_FRACTION = 0.85
"""Fraction of the frames that must be decodable: a few broken ones are common in good videos."""

MIN_SIDE = 16
"""Minimum width and height in pixels at which frames are compared."""

SHAPE_TOLERANCE = 0.02
"""Relative difference of two aspect ratios that count as equal."""

OPAQUE = 250
"""Alpha from which a pixel is opaque; codecs change it a little."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Measures of each frame that can be decoded."""

    stamps: Int64[np.ndarray, "N"]
    """Time stamps in ascending order."""
    shapes: Float64[np.ndarray, "N"]
    """Width over height."""
    sharpness: Float64[np.ndarray, "N"]
    """Logarithm of the sharpness relative to the first frame."""
    curve: Float64[np.ndarray, "N"]
    """Rises with the motion of the camera, or with time if the frames are to be even in time."""
    greys: list[UInt8[np.ndarray, "h w"]]
    """Small copies of every `stride`-th frame, if motion was measured."""
    stride: int


def decode(options: dict, progress: Progress) -> None:
    """Write the selected frames to options["folder"].

    rgb.npy [V, H, W, 3] on white, times.npy [V], alpha.npy [V, H, W] where the video is transparent, and notes.json,
    what the user should know: notes, and how frames were selected. Frames are selected at equal steps of camera motion,
    or of time if options["even"], the sharpest of neighbours.
    """
    import av.error

    path, form = Path(options["path"]), options["format"]
    try:
        index = read_index(path, form)
        if options.get("stamps"):
            wanted, size = options["stamps"], options["size"]
            pictures = _decode_pictures(path, form, index, wanted, size, lambda done: progress(done, len(wanted)))
            if not pictures:
                raise too_short(0, path)
            _save(Path(options["folder"]), pictures, float(index.tick), {"stamps": list(pictures)})
            return
        if index.seconds > options["max_seconds"]:
            raise VideoError(
                f"the video is {index.seconds:.0f} seconds long, needs at most {options['max_seconds']:g}: {path}",
                hint="cut it to the part that shows the place or the thing, or raise video.max_seconds",
            )
        total = 2 * len(index.stamps)
        survey = survey_frames(path, form, index, lambda done: progress(done, total), even=options["even"])
        in_video = len(survey.stamps)
        survey, notes = keep_one_shape(survey)
        count = options["num_frames"] if options["even"] else useful_count(survey.curve, options["num_frames"])
        selected = select(survey, count)
        if len(selected) < 2:
            raise too_short(len(selected), path)
        each = len(index.stamps) / len(selected)
        pictures = _decode_pictures(
            path, form, index, selected, options["size"], lambda done: progress(total // 2 + round(done * each), total)
        )
    except av.error.MemoryError as error:
        raise VideoError(f"the video needs too much memory: {path}", hint="resize it first") from error
    except av.error.FFmpegError as error:
        raise VideoError(f"the video is broken ({error.strerror}): {path}", hint=BROKEN_HINT) from error
    told = {"notes": notes, "selection": selection_text(survey, selected, count, in_video, options["num_frames"])}
    _save(Path(options["folder"]), pictures, float(index.tick), told)


def survey_frames(path: Path, form: str, index: Index, report: Callable[[int], None], *, even: bool) -> Survey:
    """Decode all frames and measure their motion and sharpness. Raises VideoError when too many are damaged."""
    stride = -(-len(index.stamps) // MAX_COMPARED)
    stamps, shapes, steps, greys = [], [], [0.0], []
    size, before = (0, 0), None
    for stamp, frame in decoded_frames(path, form, index):
        if before is None:
            size = _compared_size(frame.width, frame.height, SHARPNESS_SIDE)
        grey = luma(frame, *size)
        detail = detail_map(grey)
        if before is not None:
            steps.append(sharpness_step(before, detail))
        before = detail
        if not even and len(stamps) % stride == 0:
            greys.append(cv2.resize(grey, _compared_size(*size, COMPARED_SIDE), interpolation=cv2.INTER_AREA))
        stamps.append(stamp)
        shapes.append(shown_shape(frame, index.pixel_aspect))
        report(min(len(stamps), len(index.stamps)))
    expected = len(set(index.stamps))
    if len(stamps) < MIN_DECODABLE_FRACTION * expected:
        raise VideoError(
            f"only {len(stamps)} of {expected} frames of the video can be decoded: {path}", hint=BROKEN_HINT
        )
    if len(stamps) < 2:
        raise too_short(len(stamps), path)
    seconds = np.array(stamps, np.float64) * float(index.tick)
    curve = seconds
    if len(greys) > 1:
        measured = motion_curve(greys, seconds[::stride])
        curve = np.interp(np.arange(len(seconds)), np.arange(len(seconds))[::stride], measured) + 1e-9 * seconds
    return Survey(
        stamps=np.array(stamps),
        shapes=np.array(shapes),
        sharpness=np.cumsum(steps),
        curve=curve,
        greys=greys,
        stride=stride,
    )


def _compared_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Return the size at which frames are compared, with sides of at most `side` pixels."""
    scale = min(1.0, side / max(width, height))
    return max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale))


def keep_one_shape(survey: Survey) -> tuple[Survey, list[str]]:
    """Leave out frames of another shape than most, as of a recording that was turned midway, and say so."""
    values, counts = np.unique(np.log(survey.shapes).round(2), return_counts=True)
    kept = np.abs(np.log(survey.shapes) - values[counts.argmax()]) < SHAPE_TOLERANCE
    if kept.all():
        return survey, []
    left = replace(survey, **{name: getattr(survey, name)[kept] for name in ("stamps", "shapes", "sharpness", "curve")})
    return left, [f"{int((~kept).sum())} of {len(kept)} frames of the video were left out, which have another shape"]


def select(survey: Survey, count: int) -> list[int]:
    """Return the time stamps of at most `count` frames in even steps on the survey's curve, the sharpest of neighbours.

    Where all neighbours are far more blurred than the frames around them, as when the camera was jerked, none is taken
    if the frames before and after show the same.
    """
    slots = assign_slots(survey.curve, count)
    best: dict[int, int] = {}
    for i in np.flatnonzero(slots >= 0).tolist():
        if slots[i] not in best or survey.sharpness[i] > survey.sharpness[best[slots[i]]]:
            best[slots[i]] = i
    chosen = np.array(sorted(best.values()))
    dull = blurred_among(survey.sharpness)[chosen]
    for start, end in runs_of(dull):
        if survey.greys and start > 0 and end < len(chosen):
            before, after = (
                survey.greys[min(round(i / survey.stride), len(survey.greys) - 1)] for i in chosen[[start - 1, end]]
            )
            if motion_between(before, after) < MAX_GAP:
                continue
        dull[start:end] = False
    return survey.stamps[chosen[~dull]].tolist()


def selection_text(survey: Survey, selected: list[int], count: int, in_video: int, most: int) -> str:
    """Return why only some of the frames of a video were selected, such as "40 of 49 frames were taken: …".

    `count` is the number of frames that were looked for among those of the survey, `most` the number that is allowed.
    Empty where all were taken.
    """
    if len(selected) == in_video:
        return ""
    candidates = len(set(assign_slots(survey.curve, count).tolist()) - {-1})
    others = "close to frames that show nearly the same or are sharper"
    reasons = {
        "of another shape": in_video - len(survey.stamps),
        "blurred": candidates - len(selected),
        f"between them, as video.num_frames is {most}" if count == most else others: len(survey.stamps) - candidates,
    }
    told = ", ".join(f"{number} {reason}" for reason, number in reasons.items() if number)
    return f"{len(selected)} of {in_video} frames were taken; left out were {told}"


def _decode_pictures(
    path: Path, form: str, index: Index, selected: list[int], size: int, report: Callable[[int], None]
) -> dict[int, UInt8[np.ndarray, "H W 4"]]:
    """Return the selected frames by their time stamps, all at the size of the first."""
    pictures: dict[int, np.ndarray] = {}
    for stamp, frame in decoded_frames(path, form, index, set(selected)):
        rgba = to_rgba(frame, index.pixel_aspect, size)
        first = next(iter(pictures.values()), rgba)
        if rgba.shape != first.shape:
            rgba = cv2.resize(rgba, (first.shape[1], first.shape[0]), interpolation=cv2.INTER_AREA)
        pictures[stamp] = rgba
        # A frame whose display matrix was asked for refers to itself, and 4K frames are large.
        gc.collect()
        report(len(pictures))
    return pictures


def _save(folder: Path, pictures: dict[int, UInt8[np.ndarray, "H W 4"]], tick: float, told: dict[str, object]) -> None:
    """Write the frames, their times, their transparency if there is any, and what the user should know."""
    times = np.array(list(pictures)) * tick
    alpha = np.stack([rgba[..., 3] for rgba in pictures.values()])
    np.save(folder / "times.npy", times - times[0])
    np.save(folder / "rgb.npy", np.stack([on_white(rgba) for rgba in pictures.values()]))
    if alpha.min() < OPAQUE:
        np.save(folder / "alpha.npy", alpha)
    (folder / "notes.json").write_text(json.dumps(told))


if __name__ == "__main__":
    answer(decode)
