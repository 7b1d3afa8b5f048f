"""Frames of several fixed cameras at common times: from videos or from folders of frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from img2world.captures.dataset import Points, find_layout
from img2world.captures.posed_frames import even_steps, world_offset
from img2world.captures.shots import Shot, frames_from_shots
from img2world.captures.undistortion import undistort
from img2world.captures.viewpoint_cameras import viewpoint_cameras
from img2world.captures.viewpoints import ViewpointListing
from img2world.core.cameras import Cameras
from img2world.core.errors import CameraError, VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.inventory import Inventory, LeftOut
from img2world.core.progress import Progress
from img2world.core.transforms import PosedPicture
from img2world.video.clips import Clip, open_clip
from img2world.video.synchrony import Offset, find_offsets

OFFSETS_HINT = "tell when each began with --set video.offsets=0,0.4,…, in seconds"


@dataclass(frozen=True, kw_only=True)
class ViewpointOptions:
    """Options of `FileVideo` that say which frames of fixed cameras are taken."""

    num_times: int
    """Most times, in even steps."""
    size: int
    """Longest side in pixels."""
    max_seconds: float
    time_limit: float
    offsets: tuple[float, ...] = ()
    """Seconds at which each clip began; empty: found by the motion that they show."""
    cameras: Path | None = None
    """Cameras of the viewpoints; None: those of the folder, if it has any."""


@dataclass(frozen=True, kw_only=True)
class TakenFrame:
    """A frame that was taken."""

    viewpoint: int
    time: float
    image: Image
    name: str


def frames_from_viewpoints(listing: ViewpointListing, options: ViewpointOptions, progress: Progress) -> Frames:
    """Return what several fixed cameras saw at common times, time by time, with their cameras where these are told.

    Clips that were not started together are aligned by their motion, or as the options tell; each frame is the one
    nearest to its time. Cameras without a told pose are left out where others have one. Raises VideoError when the
    clips have no time in common, and CameraError as `viewpoint_cameras` does.
    """
    count = len(listing.viewpoints)
    clips = []
    for i, viewpoint in enumerate(listing.viewpoints):
        progress(i, 2 * count, step="motion of each video")
        clips.append(open_clip(viewpoint, max_seconds=options.max_seconds, time_limit=options.time_limit))
    offsets, notes = _offsets(clips, options.offsets)
    times, index, more = common_times(clips, offsets, options.num_times)
    notes += more
    taken, left_out = [], [*listing.left_out]
    for i, clip in enumerate(clips):
        progress(count + i, 2 * count, step="frames")
        pictures = clip.read(np.unique(index[i][index[i] >= 0]), options.size)
        for time, frame in zip(times.tolist(), index[i].tolist(), strict=True):
            name = f"{clip.name} at {time:.2f} s"
            if frame in pictures:
                taken.append(TakenFrame(viewpoint=i, time=time, image=pictures[frame], name=name))
            else:
                left_out.append(LeftOut(name=name, kind="frame that cannot be read", reason="it is damaged or missing"))
    return frames_at_times(taken, listing.root, listing.names, options, left_out=left_out, notes=notes)


def spare_times(used: int, total: int) -> str:
    """Return the note on times that are not used."""
    return f"of {total} times {used} are used in even steps, see video.num_frames"


def _offsets(clips: Sequence[Clip], told: tuple[float, ...]) -> tuple[list[float], list[str]]:
    """Return when each clip began, in seconds, and what the user should know about it."""
    if told:
        if len(told) != len(clips):
            raise VideoError(f"there are {len(told)} offsets for {len(clips)} clips", hint=OFFSETS_HINT)
        return list(told), [f"the clips begin at {', '.join(f'{offset:g}' for offset in told)} s, as told"]
    found = find_offsets([clip.energy for clip in clips])
    lengths = {len(clip) for clip in clips}
    notes = _about(clips, found)
    if len(lengths) > 1 and (
        unclear := [c.name for c, offset in zip(clips, found, strict=True) if not offset.is_clear]
    ):
        notes.append(
            f"{', '.join(unclear)} differ in length, and their motion does not tell when they began: taken as begun "
            "together, see video.offsets"
        )
    return [offset.seconds for offset in found], notes


def _about(clips: Sequence[Clip], found: list[Offset]) -> list[str]:
    """Return the note on clips that were not started together."""
    late = [
        f"{clip.name} {offset.seconds:+.3f} s (correlation {offset.correlation:.2f})"
        for clip, offset in zip(clips, found, strict=True)
        if offset.seconds
    ]
    return [f"not started together; by their motion, compared with {clips[0].name}: {', '.join(late)}"] if late else []


def common_times(
    clips: Sequence[Clip], offsets: list[float], num_times: int
) -> tuple[Float64[np.ndarray, "T"], list[Int64[np.ndarray, "T"]], list[str]]:
    """Return times at which all clips have frames, the index of the nearest frame of each, -1 for none, and notes.

    They are those of the frames of the slowest clip, in even steps, from the first on. Raises VideoError when fewer
    than 2 times are common.
    """
    seconds = [clip.energy.seconds + offset for clip, offset in zip(clips, offsets, strict=True)]
    intervals = [clip.energy.interval for clip in clips]
    slowest = int(np.argmax(np.array(intervals) - 1e-9 * np.arange(len(clips))))
    slack = 0.5 * intervals[slowest]
    start, end = max(each[0] for each in seconds) - slack, min(each[-1] for each in seconds) + slack
    times = seconds[slowest][(seconds[slowest] >= start) & (seconds[slowest] <= end)]
    if len(times) < 2:
        raise VideoError(
            f"the {len(clips)} clips have {len(times)} times in common, need at least 2", hint=OFFSETS_HINT
        )
    notes = []
    unused = max(len(each) for each in clips) - len(times)
    if len(times) > num_times:
        notes.append(spare_times(num_times, len(times)))
        times = times[even_steps(len(times), num_times)]
    elif unused > 0:
        notes.append(f"{len(times)} times are common to all")
    index = []
    for each, interval in zip(seconds, intervals, strict=True):
        nearest = np.abs(each[:, None] - times).argmin(0)
        index.append(np.where(np.abs(each[nearest] - times) <= 0.75 * interval + 1e-6, nearest, -1))
    return times - times[0], index, notes


def frames_at_times(
    taken: list[TakenFrame],
    root: Path,
    names: list[str],
    options: ViewpointOptions,
    *,
    left_out: list[LeftOut],
    notes: list[str],
) -> Frames:
    """Return frames in the order of their times, with cameras where these are told for at least two viewpoints.

    `root` is the folder that may tell them, or the file that the frames come from, and `names` those of the viewpoints.
    Raises CameraError as `viewpoint_cameras` does.
    """
    taken = sorted(taken, key=lambda each: (each.time, each.viewpoint))
    first = taken[0].image
    posed, points = viewpoint_cameras(root, names, (first.width, first.height), options.cameras)
    if posed and (missing := [name for name in names if name not in posed]):
        if len(posed) < 2:
            raise CameraError(
                f"{len(posed)} of {len(names)} viewpoints has a camera, {missing[0]} has none: {root}",
                hint="name the cameras as the videos, or remove their file so that they are found",
            )
        reason = "its camera is not told, those of others are"
        left_out = [
            *left_out,
            *(LeftOut(name=name, kind="viewpoint without a camera", reason=reason) for name in missing),
        ]
        taken = [each for each in taken if names[each.viewpoint] in posed]
    elif not posed and root.is_dir() and find_layout(root) is not None:
        notes.append("the camera file names none of the viewpoints, so their cameras are found")
    viewpoints = np.array([each.viewpoint for each in taken], np.int64)
    times = np.array([each.time for each in taken])
    notes.insert(0, f"{len(set(viewpoints.tolist()))} viewpoints at {len(set(times.tolist()))} times")
    inventory = Inventory(used=tuple(each.name for each in taken), left_out=tuple(left_out), notes=tuple(notes))
    images, cameras, offset = [each.image for each in taken], None, np.zeros(3)
    if posed:
        images, cameras, offset = _with_cameras(images, [posed[names[i]] for i in viewpoints.tolist()])
    shots = [Shot(name=each.name, image=image) for each, image in zip(taken, images, strict=True)]
    frames = frames_from_shots(shots, ordered=False, inventory=inventory, cameras=cameras)
    frames = replace(frames, times=times, viewpoints=viewpoints, is_timed=True)
    return frames if points is None or cameras is None else _with_points(frames, points, offset)


def _with_cameras(
    images: list[Image], posed: list[PosedPicture]
) -> tuple[list[Image], Cameras, Float64[np.ndarray, "3"]]:
    """Return pictures without the distortion of their lenses, their cameras, and by how much their world was moved."""
    images, _, intrinsics = undistort(images, [None] * len(images), [picture.lens for picture in posed])
    poses = np.stack([picture.world_from_cam for picture in posed])
    offset = world_offset(poses[:, :3, 3])
    poses[:, :3, 3] -= offset
    cameras = Cameras(
        world_from_cam=poses.astype(np.float32),
        intrinsics=intrinsics.astype(np.float32),
        width=max(image.width for image in images),
        height=max(image.height for image in images),
    )
    return images, cameras, offset


def _with_points(frames: Frames, points: Points, offset: Float64[np.ndarray, "3"]) -> Frames:
    """Return frames with the points of their dataset."""
    return replace(frames, points=(points.xyz - offset).astype(np.float32), point_colors=points.colors)
