"""The cameras that the generator was told, taken at their word."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.views import Views

DEPTH_SPREAD = 0.4
"""Standard deviation of the logarithm of the depth of random points."""


@dataclass(frozen=True, kw_only=True)
class CommandedPoses:
    """The frames' own cameras, or else the wanted ones, with nothing estimated."""

    max_points: int = 5000
    """Sparse points that are taken from the depth of the frames, or at random where there is none."""

    def estimate(
        self, frames: Frames, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Views:
        """Views with confidence 1; the points are a random part of the depth, or of what the cameras see.

        The wanted cameras are used only for frames without their own, one each, of the same shape of picture.
        Raises PoseError when the cameras are not known.
        """
        cameras = frames.cameras if frames.cameras is not None else wanted_cameras(frames, trajectory)
        random = np.random.default_rng(seed)
        known = frames.depth is not None and frames.depth.any()
        points, colors = (points_from_depth if known else points_in_sight)(frames, cameras, self.max_points, random)
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


def wanted_cameras(frames: Frames, trajectory: Cameras | None) -> Cameras:
    """The wanted cameras at the size of the frames. Raises PoseError when they do not fit."""
    hint = "use the colmap pose backend, or a video backend that follows a trajectory"
    if trajectory is None:
        raise PoseError("the frames have no cameras and no trajectory was wanted", hint=hint)
    if len(trajectory) != len(frames):
        raise PoseError(f"{len(frames)} frames came for {len(trajectory)} wanted cameras, needs one each", hint=hint)
    height, width = frames.rgb.shape[1:3]
    if abs(width * trajectory.height / (height * trajectory.width) - 1) > 0.01:
        raise PoseError(
            f"frames are {width}x{height}, the wanted cameras {trajectory.width}x{trajectory.height}; "
            "needs the same shape",
            hint=hint,
        )
    return trajectory.resized(width, height)


def points_from_depth(
    frames: Frames, cameras: Cameras, max_points: int, random: np.random.Generator
) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Random points in the world of the frames' depth, with their colours."""
    if frames.depth is None:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
    known = np.flatnonzero(frames.depth)
    chosen = np.sort(random.choice(known, min(max_points, len(known)), replace=False))
    view, row, column = np.unravel_index(chosen, frames.depth.shape)
    return _lifted(cameras, view, row, column, frames.depth[view, row, column]), frames.rgb[view, row, column]


def points_in_sight(
    frames: Frames, cameras: Cameras, max_points: int, random: np.random.Generator
) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Random points along the lines of sight of random pixels, with their colours: a start where nothing is known.

    Kerbl et al. 2023, section 7.3, start so too. Near the world's middle there are more of them.
    """
    view = random.integers(0, len(frames), max_points)
    row = random.integers(0, frames.rgb.shape[1], max_points)
    column = random.integers(0, frames.rgb.shape[2], max_points)
    depth = (INPUT_DISTANCE * np.exp(random.normal(0, DEPTH_SPREAD, max_points))).astype(np.float32)
    return _lifted(cameras, view, row, column, depth), frames.rgb[view, row, column]


def _lifted(
    cameras: Cameras, view: np.ndarray, row: np.ndarray, column: np.ndarray, depth: Float32[np.ndarray, "P"]
) -> Float32[np.ndarray, "P 3"]:
    """Points in the world of pixels with known depth."""
    intrinsics = cameras.intrinsics[view]
    x = (column + 0.5 - intrinsics[:, 0, 2]) / intrinsics[:, 0, 0] * depth
    y = (row + 0.5 - intrinsics[:, 1, 2]) / intrinsics[:, 1, 1] * depth
    points_in_cam = np.stack([x, y, depth, np.ones_like(depth)], -1)  # [P, 4]
    return np.einsum("pij,pj->pi", cameras.world_from_cam[view], points_in_cam)[:, :3].astype(np.float32)
