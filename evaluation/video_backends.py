"""Run the video backends that are to be measured."""

from dataclasses import replace

import numpy as np

from evaluation.rendering import RenderedViews
from img2world.core.cameras import Cameras
from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.subject import Subject
from img2world.runs.recipe import VideoBackend, load_recipe

MIN_LOG_SCALE = 0.02
"""Scales nearer to 1 (as a logarithm) are not worth generating the video again."""


def parse_video_backend(text: str) -> VideoBackend:
    """Return the video backend of text such as "nano" or "nano:fill=builtin,supersample=1".

    Raises RecipeError for an unknown name or option, or an unusable value.
    """
    name, _, options = text.partition(":")
    changes = [f"video.name={name.strip()}"]
    changes += [f"video.{option.strip()}" for option in options.split(",") if option.strip()]
    return load_recipe("auto", changes).video


def generate_video(
    backend: VideoBackend,
    subject: Subject,
    truth: RenderedViews,
    *,
    is_object: bool,
    seed: int = 0,
    progress: Progress = silent,
) -> Frames:
    """Return the backend's frames along the path of the ground truth.

    One photo does not determine the scale of a scene. Where the median of the predicted depth of the first frame is
    off, the path is scaled accordingly and the video generated again, as usual for view synthesis from one image
    (Tucker and Snavely 2020, section 3.2). An object's distance is given. Raises VideoError when the number or size of
    the frames is wrong.
    """
    frames = _generate(backend, subject, truth.cameras, seed, progress)
    if is_object or frames.depth is None:
        return frames
    both = (frames.depth[0] > 0) & (truth.depth[0] > 0)
    scale = float(np.median(frames.depth[0][both] / truth.depth[0][both])) if both.any() else 1.0
    if abs(np.log(scale)) < MIN_LOG_SCALE:
        return frames
    frames = _generate(backend, subject, scale_path(truth.cameras, scale), seed, progress)
    depth = None if frames.depth is None else (frames.depth / np.float32(scale)).astype(np.float32)
    return replace(frames, cameras=truth.cameras, depth=depth)


def scale_path(cameras: Cameras, scale: float) -> Cameras:
    """Return the cameras with their distances from the first one multiplied by `scale`."""
    poses = cameras.world_from_cam.copy()
    start = poses[0, :3, 3].copy()
    poses[:, :3, 3] = start + np.float32(scale) * (poses[:, :3, 3] - start)
    return replace(cameras, world_from_cam=poses)


def _generate(backend: VideoBackend, subject: Subject, cameras: Cameras, seed: int, progress: Progress) -> Frames:
    """Return the backend's frames, one for each camera. Raises VideoError for another number or size."""
    frames = backend.generate(subject, cameras, seed=seed, progress=progress)
    if frames.rgb.shape[:3] != (len(cameras), cameras.height, cameras.width):
        count, height, width = frames.rgb.shape[:3]
        raise VideoError(
            f"{count} frames of {width}x{height} for {len(cameras)} cameras of {cameras.width}x{cameras.height}",
            hint="evaluate backends that follow a camera path, at a --size that they support",
        )
    return frames
