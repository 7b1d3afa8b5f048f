"""Cameras that are known: those of the frames themselves, or the path that the generator was asked for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, UInt8

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt
from img2world.core.views import Views

LOG_DEPTH_STD = 0.4
"""Standard deviation of the logarithm of the depth of random points."""


@dataclass(frozen=True, kw_only=True)
class CommandedPoses:
    """Use the frames' own cameras, or else the requested camera path; estimate nothing."""

    max_points: NonNegativeInt = 5000
    """Sparse points to sample, from the depth of the frames or at random where there is none."""

    def estimate(
        self,
        frames: Frames,
        trajectory: Cameras | None,
        *,
        seed: int = 0,
        progress: Progress = silent,
        work: Path | None = None,
    ) -> Views:
        """Return the frames with their cameras at confidence 1, and a random sample of points.

        The trajectory is used only for frames without cameras; it must have one camera per frame and the aspect ratio
        of the frames. Raises PoseError when the cameras are not known.
        """
        cameras = frames.cameras if frames.cameras is not None else match_prior_path(frames, trajectory)
        random = np.random.default_rng(seed)
        has_depth = frames.depth is not None and frames.depth.any()
        sample_points = sample_points_from_depth if has_depth else sample_random_points
        points, colors = sample_points(frames, cameras, self.max_points, random)
        progress(len(frames), len(frames))
        return Views(
            rgb=frames.rgb,
            cameras=cameras,
            confidence=np.ones(len(frames), np.float32),
            points=points,
            point_colors=colors,
            solver="commanded",
            depth=frames.depth,
            alpha=frames.alpha,
            mask=frames.mask,
        )


def match_prior_path(frames: Frames, prior_path: Cameras | None) -> Cameras:
    """Return the prior path at the size of the frames. Raises PoseError when it does not match them."""
    hint = "estimate the cameras with --set poses.name=auto, or use a video backend that follows a trajectory"
    if prior_path is None:
        raise PoseError("the frames have no cameras and no camera path was requested", hint=hint)
    if len(prior_path) != len(frames):
        raise PoseError(
            f"there are {len(frames)} frames for {len(prior_path)} requested cameras, needs one camera per frame",
            hint=hint,
        )
    height, width = frames.rgb.shape[1:3]
    if abs(width * prior_path.height / (height * prior_path.width) - 1) > 0.01:
        raise PoseError(
            f"the frames are {width}x{height} and the requested cameras {prior_path.width}x{prior_path.height}, "
            "needs the same aspect ratio",
            hint=hint,
        )
    return prior_path.resized(width, height)


def sample_points_from_depth(
    frames: Frames, cameras: Cameras, max_points: int, random: np.random.Generator
) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Sample points and their colours at random pixels with known depth."""
    if frames.depth is None:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
    known = np.flatnonzero(frames.depth)
    chosen = np.sort(random.choice(known, min(max_points, len(known)), replace=False))
    view, row, column = np.unravel_index(chosen, frames.depth.shape)
    return _unproject(cameras, view, row, column, frames.depth[view, row, column]), frames.rgb[view, row, column]


def sample_random_points(
    frames: Frames, cameras: Cameras, max_points: int, random: np.random.Generator
) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Sample points at random depths along the viewing rays of random pixels, with the colours of these pixels.

    Their depths are log-normal about the distance of the input camera from the origin. Kerbl et al. 2023, section 7.3,
    initialise with random points too.
    """
    view = random.integers(0, len(frames), max_points)
    row = random.integers(0, frames.rgb.shape[1], max_points)
    column = random.integers(0, frames.rgb.shape[2], max_points)
    depth = (INPUT_DISTANCE * np.exp(random.normal(0, LOG_DEPTH_STD, max_points))).astype(np.float32)
    return _unproject(cameras, view, row, column, depth), frames.rgb[view, row, column]


def _unproject(
    cameras: Cameras,
    view: Int[np.ndarray, "P"],
    row: Int[np.ndarray, "P"],
    column: Int[np.ndarray, "P"],
    depth: Float32[np.ndarray, "P"],
) -> Float32[np.ndarray, "P 3"]:
    """Return the points in the world that pixels of known depth show."""
    intrinsics = cameras.intrinsics[view]
    x = (column + 0.5 - intrinsics[:, 0, 2]) / intrinsics[:, 0, 0] * depth
    y = (row + 0.5 - intrinsics[:, 1, 2]) / intrinsics[:, 1, 1] * depth
    points_in_cam = np.stack([x, y, depth, np.ones_like(depth)], -1)  # [P, 4]
    return np.einsum("pij,pj->pi", cameras.world_from_cam[view], points_in_cam)[:, :3].astype(np.float32)
