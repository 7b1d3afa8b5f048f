"""Adjusting given cameras by COLMAP, in a child process: `python -m img2world.poses.given_process`.

It runs in a process of its own for the reasons given in `poses.colmap_process`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2world.core.child_process import answer
from img2world.core.progress import Progress
from img2world.poses.flow_colmap_process import keypoint_indices
from img2world.tracking.tracks import Tracks

if TYPE_CHECKING:
    from pycolmap import BundleAdjustmentOptions

MAX_ITERATIONS = 50

PRIOR_STD = 0.02
"""Standard deviation of the position of a given camera, in distances of the first from what all look at."""


def adjust(options: dict, progress: Progress) -> None:
    """Write adjusted.npy, cam_from_world [V, 3, 4]: poses that fit the tracks, near the given ones.

    Options: folder, with tracks.npz and given.npz (cam_from_world, intrinsics [V, 4] as fx fy cx cy, points), width,
    height, seed. Intrinsics are kept.
    """
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    pycolmap.set_random_seed(options["seed"])
    folder = Path(options["folder"])
    with np.load(folder / "tracks.npz") as arrays:
        tracks = Tracks(**dict(arrays))
    with np.load(folder / "given.npz") as arrays:
        cam_from_world, intrinsics, points = arrays["cam_from_world"], arrays["intrinsics"], arrays["points"]
    model = pycolmap.Reconstruction()
    priors, config = [], pycolmap.BundleAdjustmentConfig()
    for i, (pose, params) in enumerate(zip(cam_from_world, intrinsics, strict=True), start=1):
        size = {"width": options["width"], "height": options["height"]}
        model.add_camera_with_trivial_rig(pycolmap.Camera(model="PINHOLE", params=params, camera_id=i, **size))
        keypoints = tracks.xy[tracks.frame_ids == i - 1]
        image = pycolmap.Image(name=str(i), camera_id=i, image_id=i, keypoints=keypoints)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:, :3]), pose[:, 3]))
        config.add_image(i)
        prior = pycolmap.PosePrior()
        prior.position, prior.position_covariance = -pose[:, :3].T @ pose[:, 3], np.eye(3) * PRIOR_STD**2
        prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
        prior.corr_data_id = model.image(i).data_id
        priors.append(prior)
    indices = keypoint_indices(tracks)
    for start, length, point in zip(tracks.starts, tracks.lengths, points, strict=True):
        observations = range(start, start + length)
        elements = [pycolmap.TrackElement(int(tracks.frame_ids[i]) + 1, int(indices[i])) for i in observations]
        model.add_point3D(point, pycolmap.Track(elements))
    adjuster = pycolmap.create_pose_prior_bundle_adjuster(
        adjustment_options(), pycolmap.PosePriorBundleAdjustmentOptions(), config, priors, model
    )
    adjuster.solve()
    poses = [model.image(i).cam_from_world().matrix() for i in range(1, len(cam_from_world) + 1)]
    np.save(folder / "adjusted.npy", np.stack(poses))
    progress(1, 1)


def adjustment_options() -> "BundleAdjustmentOptions":
    """Return options for robust, single-threaded bundle adjustment of poses and points."""
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = options.refine_principal_point = options.refine_extra_params = False
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = 1.0
    options.ceres.use_gpu = False
    # The sums depend on the number of threads.
    options.ceres.solver_options.num_threads = 1
    options.ceres.solver_options.max_num_iterations = MAX_ITERATIONS
    return options


if __name__ == "__main__":
    answer(adjust)
