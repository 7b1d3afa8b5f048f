"""Video backends as they are named on the command line, and their frames along a path."""

from dataclasses import replace

import numpy as np

from evaluation.rendering import RenderedAsset
from img2world.core.cameras import Cameras
from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.subject import Subject
from img2world.runs.recipe import VideoBackend, load_recipe

CLOSE_ENOUGH = 0.02
"""Of a scale to 1, as a logarithm: less is not worth another video."""


def find_model(text: str) -> VideoBackend:
    """A video backend from text such as "nano" or "nano:fill=builtin,supersample=1".

    Raises RecipeError when there is none of the name, or an option does not exist or fit.
    """
    name, _, options = text.partition(":")
    changes = [f"video.name={name.strip()}"]
    changes += [f"video.{option.strip()}" for option in options.split(",") if option.strip()]
    return load_recipe("auto", changes).video


def generate(
    model: VideoBackend,
    subject: Subject,
    truth: RenderedAsset,
    *,
    is_object: bool,
    seed: int = 0,
    progress: Progress = silent,
) -> Frames:
    """The model's frames along the path of the truth.

    One photo does not tell the scale of a scene. Where the model's depth of the first frame is by the median
    larger or smaller than the truth, the path is scaled to the model's world and the video made once more, as
    is usual for views from a single picture (Tucker and Snavely 2020, section 3.2). An object's distance is
    given. Raises VideoError when the model makes another number or size of frames.
    """
    frames = _checked(model.generate(subject, truth.cameras, seed=seed, progress=progress), truth.cameras)
    if is_object or frames.depth is None:
        return frames
    both = (frames.depth[0] > 0) & (truth.depth[0] > 0)
    scale = float(np.median(frames.depth[0][both] / truth.depth[0][both])) if both.any() else 1.0
    if abs(np.log(scale)) < CLOSE_ENOUGH:
        return frames
    frames = _checked(
        model.generate(subject, scaled_path(truth.cameras, scale), seed=seed, progress=progress), truth.cameras
    )
    depth = None if frames.depth is None else (frames.depth / np.float32(scale)).astype(np.float32)
    return replace(frames, cameras=truth.cameras, depth=depth)


def scaled_path(cameras: Cameras, scale: float) -> Cameras:
    """The path about the first camera, `scale` times as large."""
    poses = cameras.world_from_cam.copy()
    start = poses[0, :3, 3].copy()
    poses[:, :3, 3] = start + np.float32(scale) * (poses[:, :3, 3] - start)
    return replace(cameras, world_from_cam=poses)


def _checked(frames: Frames, cameras: Cameras) -> Frames:
    """The frames, one for each camera and of its size."""
    if frames.rgb.shape[:3] != (len(cameras), cameras.height, cameras.width):
        count, height, width = frames.rgb.shape[:3]
        raise VideoError(
            f"{count} frames of {width}x{height} came for {len(cameras)} cameras of {cameras.width}x{cameras.height}",
            hint="evaluate models that follow a camera path; --size and --views may have to suit the model",
        )
    return frames
