"""Points of tracks, and how well cameras agree on them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from img2world.core.cameras import Cameras
from img2world.tracking.tracks import Tracks

NEAREST = 0.05
"""World units. A point that comes out nearer to a camera, or behind it, is taken to be there."""


@dataclass(frozen=True, kw_only=True)
class Rig:
    """Cameras as solvers turn them: float64, world to camera."""

    cam_from_world: Float64[np.ndarray, "V 3 4"]
    focal: Float64[np.ndarray, "V 2"]
    """Pixels, along x and y."""
    middle: Float64[np.ndarray, "V 2"]
    """Pixels, where the optical axis is."""

    def __len__(self) -> int:
        return len(self.cam_from_world)

    @property
    def rotations(self) -> Float64[np.ndarray, "V 3 3"]:
        """World to camera."""
        return self.cam_from_world[:, :, :3]

    @property
    def centers(self) -> Float64[np.ndarray, "V 3"]:
        """Where the cameras stand."""
        return -np.einsum("vji,vj->vi", self.rotations, self.cam_from_world[:, :, 3])

    def cameras(self, width: int, height: int) -> Cameras:
        """The same as a value that leaves the stage."""
        world_from_cam = np.tile(np.eye(4), (len(self), 1, 1))
        world_from_cam[:, :3, :3] = self.rotations.transpose(0, 2, 1)
        world_from_cam[:, :3, 3] = self.centers
        intrinsics = np.tile(np.eye(3), (len(self), 1, 1))
        intrinsics[:, [0, 1], [0, 1]] = self.focal
        intrinsics[:, :2, 2] = self.middle
        return Cameras(
            world_from_cam=world_from_cam.astype(np.float32),
            intrinsics=intrinsics.astype(np.float32),
            width=width,
            height=height,
        )


def rig_of(cameras: Cameras) -> Rig:
    """Cameras as solvers turn them."""
    return Rig(
        cam_from_world=cameras.cam_from_world[:, :3].astype(np.float64),
        focal=cameras.intrinsics[:, [0, 1], [0, 1]].astype(np.float64),
        middle=cameras.intrinsics[:, :2, 2].astype(np.float64),
    )


def lines_of_sight(tracks: Tracks, rig: Rig) -> Float64[np.ndarray, "O 3"]:
    """Directions in the world, of unit length, in which the observations are seen."""
    flat = (tracks.place - rig.middle[tracks.frame]) / rig.focal[tracks.frame]
    rays = np.concatenate([flat, np.ones((len(flat), 1))], 1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return np.einsum("oji,oj->oi", rig.rotations[tracks.frame], rays)


def triangulate(tracks: Tracks, rig: Rig) -> Float64[np.ndarray, "T 3"]:
    """For each track the point that is nearest to its lines of sight."""
    rays = lines_of_sight(tracks, rig)
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]  # [O, 3, 3]
    ahead = np.einsum("oij,oj->oi", across, rig.centers[tracks.frame])
    # A touch of the identity keeps parallel lines of sight solvable.
    left = np.add.reduceat(across, tracks.starts, 0) + 1e-9 * np.eye(3)
    return np.linalg.solve(left, np.add.reduceat(ahead, tracks.starts, 0)[..., None])[..., 0]


def project(points: Float64[np.ndarray, "T 3"], rig: Rig, tracks: Tracks) -> Float64[np.ndarray, "O 2"]:
    """Where each track's point is seen in the frames of its observations, in pixels."""
    points_in_cam = np.einsum("oij,oj->oi", rig.rotations[tracks.frame], points[tracks.owner])
    points_in_cam += rig.cam_from_world[tracks.frame, :, 3]
    flat = points_in_cam[:, :2] / np.maximum(points_in_cam[:, 2:], NEAREST)
    return flat * rig.focal[tracks.frame] + rig.middle[tracks.frame]


def errors(tracks: Tracks, rig: Rig) -> Float64[np.ndarray, "O"]:
    """Pixels between where each observation is and where its track's point would be seen."""
    if len(tracks) == 0:
        return np.zeros(0)
    return np.linalg.norm(project(triangulate(tracks, rig), rig, tracks) - tracks.place, axis=1)


def track_errors(tracks: Tracks, rig: Rig) -> Float64[np.ndarray, "T"]:
    """Mean error of each track's observations, in pixels."""
    if len(tracks) == 0:
        return np.zeros(0)
    return np.add.reduceat(errors(tracks, rig), tracks.starts) / tracks.lengths


def widest_angles(tracks: Tracks, rig: Rig) -> Float64[np.ndarray, "T"]:
    """For each track the angle in radians between its first and last line of sight: its parallax."""
    if len(tracks) == 0:
        return np.zeros(0)
    rays = lines_of_sight(tracks, rig)
    last: Int64[np.ndarray, "T"] = tracks.starts + tracks.lengths - 1
    return np.arccos(np.clip((rays[tracks.starts] * rays[last]).sum(1), -1, 1))
