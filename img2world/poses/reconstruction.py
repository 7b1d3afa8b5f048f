"""Conversion of pycolmap's reconstructions, for the child processes that run COLMAP."""

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from img2world.poses.sparse_model import SparseModel

if TYPE_CHECKING:
    from pycolmap import Camera, Image, Reconstruction

FOCAL_RANGE = (0.45, 3.0)
"""Plausible focal lengths in longest sides of the picture: fields of view of 96 to 19 degrees."""

INITIAL_FOCAL = 0.85
"""Focal length to begin with, in longest sides of the picture: 61 degrees, between phones and generated videos."""

MIN_POINT_FRACTION = 0.15
"""A frame counts as placed when it sees at least this fraction of the median number of points."""


def configure_colmap(seed: int) -> None:
    """Silence COLMAP's log and seed its random numbers."""
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    pycolmap.set_random_seed(seed)


def is_plausible(model: "Reconstruction") -> bool:
    """Tell whether the focal length is that of a real lens: without parallax it may take any value."""
    camera = model.cameras[min(model.cameras)]
    return FOCAL_RANGE[0] < camera.mean_focal_length() / max(camera.width, camera.height) < FOCAL_RANGE[1]


def rank(model: "Reconstruction") -> tuple[int, int]:
    """Return a key that sorts models by the number of placed frames, then of points."""
    return len(placed_images(model)), model.num_points3D()


def placed_images(model: "Reconstruction") -> "list[Image]":
    """Return the registered images by name, without those with few points, which are mostly misplaced."""
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    usual = median(image.num_points3D for image in images) if images else 0
    return [image for image in images if image.num_points3D >= MIN_POINT_FRACTION * usual]


def sparse_model(model: "Reconstruction", width: int, height: int) -> SparseModel:
    """Convert a reconstruction of frames named by their indices (0000.png, …) for pictures of the given size."""
    import pycolmap

    camera = model.cameras[min(model.cameras)]
    pinhole = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)
    # The undistorted picture may come out larger or smaller than the original.
    pinhole.rescale(width, height)
    images = placed_images(model)
    points = [model.point3D(i) for i in sorted(model.point3D_ids())]
    errors = {i: model.point3D(i).error for i in model.point3D_ids()}
    seen = [[point.point3D_id for point in image.points2D if point.has_point3D()] for image in images]
    in_first_view = set(seen[0])
    return SparseModel(
        placed=np.array([int(Path(image.name).stem) for image in images]),
        cam_from_world=np.stack([image.cam_from_world().matrix() for image in images]),
        num_observations=np.array([len(ids) for ids in seen]),
        view_errors=np.array([np.mean([errors[i] for i in ids]) if ids else np.inf for ids in seen]),
        points=np.array([point.xyz for point in points]).reshape(-1, 3),
        point_colors=np.array([point.color for point in points], np.uint8).reshape(-1, 3),
        point_errors=np.array([point.error for point in points], np.float64),
        track_lengths=np.array([point.track.length() for point in points], np.int64),
        in_first_view=np.array([i in in_first_view for i in sorted(model.point3D_ids())], bool),
        intrinsics=pinhole.calibration_matrix(),
        distorted_xy=_distorted_positions(camera, pinhole),
        **_observations(model, images, camera, pinhole),
    )


def _distorted_positions(camera: "Camera", pinhole: "Camera") -> Float32[np.ndarray, "H W 2"]:
    """Return the position in the original picture of each pixel of the pinhole camera; empty without distortion."""
    if camera.is_undistorted():
        return np.zeros((0, 0, 2), np.float32)
    row, column = np.mgrid[: pinhole.height, : pinhole.width].reshape(2, -1)
    pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], -1)  # [H * W, 3]
    rays = np.linalg.solve(pinhole.calibration_matrix(), pixels.T).T
    return np.asarray(camera.img_from_cam(rays), np.float32).reshape(pinhole.height, pinhole.width, 2)


def _observations(
    model: "Reconstruction", images: "list[Image]", camera: "Camera", pinhole: "Camera"
) -> dict[str, np.ndarray]:
    """Return the observations of the points in the placed images, of points that at least two of these see."""
    index = {image.image_id: i for i, image in enumerate(images)}
    frame_ids, positions, starts = [], [], []
    for point in (model.point3D(i) for i in sorted(model.point3D_ids())):
        seen = sorted(
            (index[e.image_id], e.point2D_idx, e.image_id) for e in point.track.elements if e.image_id in index
        )
        if len({i for i, _, _ in seen}) < 2:
            continue
        starts.append(len(frame_ids))
        frame_ids += [i for i, _, _ in seen]
        positions += [model.image(image_id).points2D[k].xy for _, k, image_id in seen]
    xy = np.array(positions, np.float64).reshape(-1, 2)
    if not camera.is_undistorted() and len(xy):
        flat = np.asarray(camera.cam_from_img(xy))
        xy = np.asarray(pinhole.img_from_cam(np.column_stack([flat, np.ones(len(flat))])))
    return {
        "observation_frame_ids": np.array(frame_ids, np.int64),
        "observation_xy": xy,
        "observation_starts": np.array(starts, np.int64),
    }
