"""Where points move from frame to frame, predicted from a visual hull of object masks."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.poses.camera_parameters import CameraParameters
from img2world.tracking.flow import InitialFlow
from img2world.tracking.visual_hull import MIN_VOXELS, carve_hull

CELL_SIZE = 4
"""Pixels along each side of the cells in which flow is predicted."""

DILATIONS = (3, 9)
"""Sizes in pixels by which the masks are dilated, the second where the first leaves no hull."""

NEAR = 1e-3
"""Smallest depth in world units that is divided by."""


def predict_hull_flow(masks: Bool[np.ndarray, "V H W"], cameras: CameraParameters, scale: float) -> InitialFlow | None:
    """Return a function that predicts the flow of the hull's surface between any two frames; None without a hull.

    The cameras are those of the original frames, the masks smaller by `scale`; flow is in pixels of the masks.
    """
    import cv2

    small = CameraParameters(
        cam_from_world=cameras.cam_from_world,
        focal=cameras.focal * scale,
        principal_point=cameras.principal_point * scale,
    )
    for size in DILATIONS:
        kernel = np.ones((size, size), np.uint8)
        dilated = np.stack([cv2.dilate(mask.astype(np.uint8), kernel) > 0 for mask in masks])
        voxels = carve_hull(dilated, small.to_cameras(masks.shape[2], masks.shape[1]))
        if len(voxels) >= MIN_VOXELS:
            shape: tuple[int, int] = masks.shape[1:]
            return lambda i, j: _splat_flow(voxels, small, i, j, shape)
    return None


def _project(
    points: Float64[np.ndarray, "N 3"], cameras: CameraParameters, i: int
) -> tuple[Float64[np.ndarray, "N 2"], Float64[np.ndarray, "N"]]:
    """Return position in pixels and depth of points in one camera."""
    points_in_cam = points @ cameras.rotations[i].T + cameras.cam_from_world[i, :, 3]
    flat = points_in_cam[:, :2] / np.maximum(points_in_cam[:, 2:], NEAR)
    return flat * cameras.focal[i] + cameras.principal_point[i], points_in_cam[:, 2]


def _splat_flow(
    voxels: Float64[np.ndarray, "N 3"], cameras: CameraParameters, i: int, j: int, shape: tuple[int, int]
) -> Float32[np.ndarray, "H W 2"]:
    """Return the flow from frame i to j of the nearest voxels, extrapolated to the whole frame."""
    import cv2

    rows, columns = -(-shape[0] // CELL_SIZE), -(-shape[1] // CELL_SIZE)
    start, depth = _project(voxels, cameras, i)
    end, _ = _project(voxels, cameras, j)
    # Of the voxels in one cell the nearest comes last, and overwrites the others.
    order = np.argsort(-depth, kind="stable")
    column = np.clip(start[order, 0] / CELL_SIZE, 0, columns - 1).astype(np.int64)
    row = np.clip(start[order, 1] / CELL_SIZE, 0, rows - 1).astype(np.int64)
    flow, known = np.zeros((rows, columns, 2), np.float32), np.zeros((rows, columns), np.float32)
    flow[row, column] = (end - start)[order]
    known[row, column] = 1
    while not known.all():
        total = cv2.blur(flow * known[..., None], (3, 3))
        weight = cv2.blur(known, (3, 3))
        new = (known == 0) & (weight > 0)
        flow[new] = total[new] / weight[new][:, None]
        known[new] = 1
    return cv2.resize(cv2.medianBlur(flow, 3), (shape[1], shape[0]))
