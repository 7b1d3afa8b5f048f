"""Bundle adjustment by COLMAP that starts from known cameras and stays near them; for child processes that run COLMAP.

Source: Schönberger and Frahm, "Structure-from-Motion Revisited", CVPR 2016, section 4.4, with a Gaussian prior on the
positions of the cameras.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from img2world.tracking.tracks import Tracks

if TYPE_CHECKING:
    from pycolmap import BundleAdjustmentOptions, Camera, Reconstruction

MAX_ITERATIONS = 60


def build_model(
    tracks: Tracks,
    cam_from_world: Float64[np.ndarray, "V 3 4"],
    points: Float64[np.ndarray, "T 3"],
    cameras: "list[Camera]",
) -> "Reconstruction":
    """Return cameras, tracks and their points as a reconstruction of pycolmap, in which image i + 1 is view i.

    There is one camera for each view, or one for all.
    """
    import pycolmap

    model = pycolmap.Reconstruction()
    for i, camera in enumerate(cameras, start=1):
        camera.camera_id = i
        model.add_camera_with_trivial_rig(camera)
    for i, pose in enumerate(cam_from_world):
        keypoints = tracks.xy[tracks.frame_ids == i]
        camera_id = i + 1 if len(cameras) > 1 else 1
        image = pycolmap.Image(name=f"{i:04d}.png", camera_id=camera_id, image_id=i + 1, keypoints=keypoints)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:, :3]), pose[:, 3]))
    indices = keypoint_indices(tracks)
    for start, length, point in zip(tracks.starts, tracks.lengths, points, strict=True):
        elements = [
            pycolmap.TrackElement(int(tracks.frame_ids[i]) + 1, int(indices[i])) for i in range(start, start + length)
        ]
        model.add_point3D(point, pycolmap.Track(elements))
    return model


def keypoint_indices(tracks: Tracks) -> Int64[np.ndarray, "O"]:
    """Return for each observation its index among those of its frame."""
    indices = np.empty(len(tracks.frame_ids), np.int64)
    for frame in np.unique(tracks.frame_ids):
        here = tracks.frame_ids == frame
        indices[here] = np.arange(here.sum())
    return indices


def adjust_near(
    model: "Reconstruction", position_std: float, *, refine_focal: bool, max_iterations: int = MAX_ITERATIONS
) -> None:
    """Adjust the poses and points of a model of `build_model`, and its focal lengths where asked for.

    `position_std` is the standard deviation of a camera's position from its present one, in units of the model.
    """
    import pycolmap

    config, priors = pycolmap.BundleAdjustmentConfig(), []
    for i in sorted(model.reg_image_ids()):
        config.add_image(i)
        prior = pycolmap.PosePrior()
        prior.position = model.image(i).projection_center()
        prior.position_covariance = np.eye(3) * position_std**2
        prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
        prior.corr_data_id = model.image(i).data_id
        priors.append(prior)
    options = _options(max_iterations)
    options.refine_focal_length = refine_focal
    adjuster = pycolmap.create_pose_prior_bundle_adjuster(
        options, pycolmap.PosePriorBundleAdjustmentOptions(), config, priors, model
    )
    adjuster.solve()


def _options(max_iterations: int) -> "BundleAdjustmentOptions":
    """Return options for robust, single-threaded bundle adjustment of poses, points and focal lengths."""
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point = options.refine_extra_params = False
    options.min_track_length = 2
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = 1.0
    options.ceres.use_gpu = False
    # The sums depend on the number of threads.
    options.ceres.solver_options.num_threads = 1
    options.ceres.solver_options.max_num_iterations = max_iterations
    return options
