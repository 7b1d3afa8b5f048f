"""Points of a plane looked up in the views."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from img2world.core.cameras import Cameras
from img2world.core.conventions import NEAR

ROW = 32
"""Points are looked up in rows of so many; all numbers of cells are multiples of it."""


def world_from_plane(plane: Float64[np.ndarray, "4"], point: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "4 4"]:
    """Return the frame of a plane whose origin is below a point."""
    normal = plane[:3]
    across = np.cross(normal, [0.0, 0.0, 1.0] if abs(normal[2]) < 0.9 else [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([across, np.cross(normal, across), normal], -1)
    matrix[:3, 3] = point - (point @ normal + plane[3]) * normal
    return matrix


def evenly(count: int, most: int) -> list[int]:
    """Return the indices of at most so many of all views, in even steps."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist()


def square_cells(frame: Float64[np.ndarray, "4 4"], half: float, count: int) -> Float64[np.ndarray, "C 3"]:
    """Return the centres of the cells of a square with so many along each side, row by row."""
    axis = (np.arange(count) + 0.5) / count * 2 * half - half
    right, up = np.meshgrid(axis, axis)
    return np.stack([right, up, np.zeros_like(up)], -1).reshape(-1, 3) @ frame[:3, :3].T + frame[:3, 3]


def looked_up(
    points: Float64[np.ndarray, "C 3"], picture: Float32[np.ndarray, "h w *K"], camera: Cameras
) -> tuple[Float32[np.ndarray, "C *K"], Bool[np.ndarray, "C"]]:
    """Return the values of a picture at points, and which points are in it."""
    import cv2

    pose, intrinsics = camera.cam_from_world[0].astype(np.float64), camera.intrinsics[0].astype(np.float64)
    in_cam = points @ pose[:3, :3].T + pose[:3, 3]
    flat = in_cam[:, :2] / np.maximum(in_cam[:, 2:], NEAR) * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
    size = [camera.width, camera.height]
    seen = (in_cam[:, 2] > NEAR) & ((flat > 0.5) & (flat < np.array(size) - 0.5)).all(1)
    # In rows of a picture, which OpenCV limits to 32767 pixels in a row.
    x, y = (np.clip(flat, -2, 4 * max(size)) - 0.5).astype(np.float32).T.reshape(2, -1, ROW)
    values = cv2.remap(picture, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_LINEAR)
    return values.reshape(len(points), *picture.shape[2:]), seen


def median_over_views(
    samples: Float32[np.ndarray, "V C K"], counts: Int[np.ndarray, "C"]
) -> Float32[np.ndarray, "C K"]:
    """Return the median over the views of samples that are NaN in some; `numpy.nanmedian` takes ten times as long."""
    ordered = np.sort(samples, axis=0)
    return ordered[(counts - 1) // 2, np.arange(len(counts))]
