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

MIN_POINT_FRACTION, MIN_POINTS = 0.15, 100
"""A frame counts as placed when it sees at least this fraction of the median number of points, or so many points."""


def configure_colmap(seed: int) -> None:
    """Silence COLMAP's log and seed its random numbers."""
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    pycolmap.set_random_seed(seed)


def is_plausible(model: "Reconstruction") -> bool:
    """Tell whether the focal lengths are those of real lenses: without parallax they may take any value."""
    real = [_is_real(model.cameras[model.image(i).camera_id]) for i in model.reg_image_ids()]
    return sum(real) > len(real) / 2


def _is_real(camera: "Camera") -> bool:
    """Tell whether a focal length is that of a real lens."""
    return FOCAL_RANGE[0] < camera.mean_focal_length() / max(camera.width, camera.height) < FOCAL_RANGE[1]


def rank(model: "Reconstruction") -> tuple[int, int]:
    """Return a key that sorts models by the number of placed frames, then of points."""
    return len(placed_images(model)), model.num_points3D()


def placed_images(model: "Reconstruction") -> "list[Image]":
    """Return the registered images by name, without those that are mostly misplaced: by their lens, or few points."""
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    usual = median(image.num_points3D for image in images) if images else 0
    needed = min(MIN_POINT_FRACTION * usual, MIN_POINTS)
    return [image for image in images if image.num_points3D >= needed and _is_real(model.cameras[image.camera_id])]


def sparse_model(model: "Reconstruction", width: int, height: int) -> SparseModel:
    """Convert a reconstruction of frames named by their indices (0000.png, …), each in the corner of a given size."""
    images = placed_images(model)
    pinholes = {i: _pinhole(model.cameras[i]) for i in {image.camera_id for image in images}}
    distorted = sorted(i for i in pinholes if not model.cameras[i].is_undistorted())
    maps = [_distorted_positions(model.cameras[i], pinholes[i], width, height) for i in distorted]
    return SparseModel(
        placed=np.array([int(Path(image.name).stem) for image in images]),
        cam_from_world=np.stack([image.cam_from_world().matrix() for image in images]),
        intrinsics=np.stack([pinholes[image.camera_id].calibration_matrix() for image in images]),
        distorted_xy=np.stack(maps) if maps else np.zeros((0, 0, 0, 2), np.float32),
        maps=np.array([distorted.index(i.camera_id) if i.camera_id in distorted else -1 for i in images], np.int64),
        **_points(model, images, pinholes),
    )


def _pinhole(camera: "Camera") -> "Camera":
    """Return the pinhole camera of the undistorted pictures of a camera, which have the size of the originals."""
    import pycolmap

    pinhole = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)
    # The undistorted picture may come out larger or smaller than the original.
    pinhole.rescale(camera.width, camera.height)
    return pinhole


def _distorted_positions(camera: "Camera", pinhole: "Camera", width: int, height: int) -> Float32[np.ndarray, "H W 2"]:
    """Return the position in the original frame of each pixel of the pinhole camera; -1 beyond its picture."""
    row, column = np.mgrid[: pinhole.height, : pinhole.width].reshape(2, -1)
    pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], -1)  # [H * W, 3]
    rays = np.linalg.solve(pinhole.calibration_matrix(), pixels.T).T
    positions = np.full((height, width, 2), -1, np.float32)
    inside = np.asarray(camera.img_from_cam(rays), np.float32).reshape(pinhole.height, pinhole.width, 2)
    positions[: pinhole.height, : pinhole.width] = inside
    return positions


def _points(model: "Reconstruction", images: "list[Image]", pinholes: "dict[int, Camera]") -> dict[str, np.ndarray]:
    """Return the points that at least two of the placed images see, with their observations."""
    index = {image.image_id: i for i, image in enumerate(images)}
    points, errors, frame_ids, places, starts = [], [], [], [], []
    for point in (model.point3D(i) for i in sorted(model.point3D_ids())):
        seen = sorted((index[e.image_id], e.point2D_idx) for e in point.track.elements if e.image_id in index)
        if len({i for i, _ in seen}) < 2:
            continue
        points.append(point.xyz)
        errors.append(point.error)
        starts.append(len(frame_ids))
        frame_ids += [i for i, _ in seen]
        places += [k for _, k in seen]
    ids, indices = np.array(frame_ids, np.int64), np.array(places, np.int64)
    xy = np.zeros((len(ids), 2))
    for i, image in enumerate(images):
        here = ids == i
        xy[here] = np.array([point.xy for point in image.points2D]).reshape(-1, 2)[indices[here]]
        camera = model.cameras[image.camera_id]
        if not camera.is_undistorted() and here.any():
            flat = np.asarray(camera.cam_from_img(xy[here]))
            xy[here] = pinholes[image.camera_id].img_from_cam(np.column_stack([flat, np.ones(len(flat))]))
    return {
        "points": np.array(points, np.float64).reshape(-1, 3),
        "point_errors": np.array(errors, np.float64),
        "observation_frame_ids": ids,
        "observation_xy": xy,
        "observation_starts": np.array(starts, np.int64),
    }
