"""Points triangulated from tracks, and how well cameras agree with them."""

import numpy as np
from jaxtyping import Float64, Int64

from img2world.poses.camera_parameters import CameraParameters
from img2world.tracking.tracks import Tracks

MIN_DEPTH = 0.05
"""World units. Points nearer to a camera, or behind it, are projected as if they were at this depth."""


def viewing_rays(tracks: Tracks, cameras: CameraParameters) -> Float64[np.ndarray, "O 3"]:
    """Return the direction in the world, of unit length, in which each observation is seen."""
    flat = (tracks.xy - cameras.principal_point[tracks.frame_ids]) / cameras.focal[tracks.frame_ids]
    rays = np.concatenate([flat, np.ones((len(flat), 1))], 1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return np.einsum("oji,oj->oi", cameras.rotations[tracks.frame_ids], rays)


def triangulate(tracks: Tracks, cameras: CameraParameters) -> Float64[np.ndarray, "T 3"]:
    """Return for each track the point with the least sum of squared distances to its viewing rays."""
    rays = viewing_rays(tracks, cameras)
    projectors = np.eye(3) - rays[:, :, None] * rays[:, None, :]  # [O, 3, 3]
    projected_centers = np.einsum("oij,oj->oi", projectors, cameras.centers[tracks.frame_ids])
    # A little of the identity keeps parallel rays solvable.
    left = np.add.reduceat(projectors, tracks.starts, 0) + 1e-9 * np.eye(3)
    return np.linalg.solve(left, np.add.reduceat(projected_centers, tracks.starts, 0)[..., None])[..., 0]


def project(
    points: Float64[np.ndarray, "T 3"], cameras: CameraParameters, tracks: Tracks
) -> Float64[np.ndarray, "O 2"]:
    """Project each track's point into the frames of its observations; return positions in pixels."""
    points_in_cam = np.einsum("oij,oj->oi", cameras.rotations[tracks.frame_ids], points[tracks.track_ids])
    points_in_cam += cameras.cam_from_world[tracks.frame_ids, :, 3]
    flat = points_in_cam[:, :2] / np.maximum(points_in_cam[:, 2:], MIN_DEPTH)
    return flat * cameras.focal[tracks.frame_ids] + cameras.principal_point[tracks.frame_ids]


def reprojection_errors(tracks: Tracks, cameras: CameraParameters) -> Float64[np.ndarray, "O"]:
    """Return the distance in pixels of each observation from the projection of its triangulated point."""
    if len(tracks) == 0:
        return np.zeros(0)
    return np.linalg.norm(project(triangulate(tracks, cameras), cameras, tracks) - tracks.xy, axis=1)


def mean_track_errors(tracks: Tracks, cameras: CameraParameters) -> Float64[np.ndarray, "T"]:
    """Return the mean reprojection error of each track, in pixels."""
    if len(tracks) == 0:
        return np.zeros(0)
    return np.add.reduceat(reprojection_errors(tracks, cameras), tracks.starts) / tracks.lengths


def parallax_angles(tracks: Tracks, cameras: CameraParameters) -> Float64[np.ndarray, "T"]:
    """Return for each track the angle in radians between its first and its last viewing ray."""
    if len(tracks) == 0:
        return np.zeros(0)
    rays = viewing_rays(tracks, cameras)
    last: Int64[np.ndarray, "T"] = tracks.starts + tracks.lengths - 1
    return np.arccos(np.clip((rays[tracks.starts] * rays[last]).sum(1), -1, 1))
