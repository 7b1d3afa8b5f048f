"""The cameras that the generator was told, taken at their word."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.views import Views


@dataclass(frozen=True, kw_only=True)
class CommandedPoses:
    """The frames' own cameras, or else the wanted ones, with nothing estimated."""

    max_points: int = 5000
    """Sparse points that are taken from the depth of the frames."""

    def estimate(
        self, frames: Frames, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Views:
        """Views with confidence 1; the points are a random part of the depth, empty without depth.

        The wanted cameras are used only for frames without their own, one each, of the same shape of picture.
        Raises PoseError when the cameras are not known.
        """
        cameras = frames.cameras if frames.cameras is not None else self._wanted(frames, trajectory)
        points, colors = points_from_depth(frames, cameras, self.max_points, np.random.default_rng(seed))
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
        )

    def _wanted(self, frames: Frames, trajectory: Cameras | None) -> Cameras:
        """The wanted cameras at the size of the frames."""
        hint = "use the colmap pose backend, or a video backend that follows a trajectory"
        if trajectory is None:
            raise PoseError("the frames have no cameras and no trajectory was wanted", hint=hint)
        if len(trajectory) != len(frames):
            raise PoseError(
                f"{len(frames)} frames came for {len(trajectory)} wanted cameras, needs one each", hint=hint
            )
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
    depth, intrinsics = frames.depth[view, row, column], cameras.intrinsics[view]
    x = (column + 0.5 - intrinsics[:, 0, 2]) / intrinsics[:, 0, 0] * depth
    y = (row + 0.5 - intrinsics[:, 1, 2]) / intrinsics[:, 1, 1] * depth
    points_in_cam = np.stack([x, y, depth, np.ones_like(depth)], -1)  # [P, 4]
    points = np.einsum("pij,pj->pi", cameras.world_from_cam[view], points_in_cam)[:, :3]
    return points.astype(np.float32), frames.rgb[view, row, column]
