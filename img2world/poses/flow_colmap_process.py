"""COLMAP on tracks in a child: `python -m img2world.poses.flow_colmap_process`, started by `poses.flow_colmap`."""

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2world.core.child_process import answer
from img2world.core.errors import PoseError
from img2world.core.progress import Progress
from img2world.poses.colmap_process import USUAL_FOCAL, describe, is_possible, lens, rank
from img2world.tracking.tracks import Tracks

if TYPE_CHECKING:
    from pycolmap import IncrementalPipelineOptions, Reconstruction

LEAST_MATCHES = 15
"""Tracks that two frames must share to be a pair."""

PRIOR_TRUST = 0.03
"""World units: how far a camera may be from where it was told or found, in one standard deviation."""

ITERATIONS = 60
"""Of bundle adjustment."""


def map_tracks(options: dict, progress: Progress) -> None:
    """Write found.npz, as `colmap_process.find_cameras` does, for the tracks in tracks.npz.

    Options: folder, num_frames, seed, width, height, focal (pixels, or None when it is not known), middle (of the
    picture), mapper (incremental, global, or adjust, which starts from the cameras in told.npz and keeps them near).
    """
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    pycolmap.set_random_seed(options["seed"])
    folder = Path(options["folder"])
    with np.load(folder / "tracks.npz") as arrays:
        tracks = Tracks(**dict(arrays))
    make = _adjusted if options["mapper"] == "adjust" else _mapped
    models = make(folder, tracks, options)
    possible = [model for model in models if is_possible(model)]
    if not possible:
        raise PoseError(
            f"COLMAP ({options['mapper']}) placed none of {options['num_frames']} frames by their flow",
            hint="the frames need texture and a camera that moves sideways",
        )
    model = max(possible, key=rank)
    camera = model.cameras[min(model.cameras)]
    arrays: dict = describe(model) | lens(camera, camera)
    np.savez(folder / "found.npz", **arrays)
    progress(options["num_frames"], options["num_frames"])


def _mapped(folder: Path, tracks: Tracks, options: dict) -> "list[Reconstruction]":
    """The models that a mapper finds."""
    import pycolmap

    _write_database(folder, tracks, options)
    output = folder / options["mapper"]
    output.mkdir()
    if options["mapper"] == "incremental":
        found = pycolmap.incremental_mapping(
            folder / "database.db", folder / "images", output, _settings(options["seed"])
        )
    else:
        settings = pycolmap.GlobalPipelineOptions()
        settings.num_threads = 1
        settings.random_seed = options["seed"]
        found = pycolmap.global_mapping(folder / "database.db", folder / "images", output, settings)
    return [found[key] for key in sorted(found)]


def _settings(seed: int) -> "IncrementalPipelineOptions":
    """COLMAP's settings, more lenient than for photos: small frames have few points, and the tracks are checked."""
    import pycolmap

    settings = pycolmap.IncrementalPipelineOptions()
    settings.num_threads = 1
    settings.min_model_size = 3
    settings.min_num_matches = 10
    settings.random_seed = settings.mapper.random_seed = settings.triangulation.random_seed = seed
    settings.mapper.init_min_num_inliers = 40
    settings.mapper.abs_pose_min_num_inliers = 15
    settings.mapper.init_min_tri_angle = 8
    settings.mapper.init_max_reg_trials = 3
    return settings


def _write_database(folder: Path, tracks: Tracks, options: dict) -> None:
    """Tracks as keypoints, and as matches of all pairs of frames that share enough of them."""
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_PINHOLE"
    reader.default_focal_length_factor = USUAL_FOCAL
    if options["focal"]:
        reader.camera_params = f"{options['focal']},{options['middle'][0]},{options['middle'][1]}"
    path = folder / "database.db"
    pycolmap.Database.open(path).close()
    pycolmap.import_images(path, folder / "images", camera_mode=pycolmap.CameraMode.SINGLE, options=reader)
    database = pycolmap.Database.open(path)
    images = {int(Path(image.name).stem): image.image_id for image in database.read_all_images()}
    number = _numbers_in_frames(tracks)
    for frame, image in images.items():
        database.write_keypoints(image, tracks.place[tracks.frame == frame].astype(np.float32))
    pairs = []
    for (i, j), matches in sorted(_matches(tracks, number).items()):
        if len(matches) >= LEAST_MATCHES:
            database.write_matches(images[i], images[j], np.array(matches, np.uint32))
            pairs.append(f"{i:04d}.png {j:04d}.png\n")
    database.close()
    (folder / "pairs.txt").write_text("".join(pairs))
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = options["seed"]
    pycolmap.verify_matches(path, folder / "pairs.txt", options=verification)


def _numbers_in_frames(tracks: Tracks) -> np.ndarray:
    """For each observation its number [O] among those of its frame."""
    number = np.empty(len(tracks.frame), np.int64)
    for frame in np.unique(tracks.frame):
        here = tracks.frame == frame
        number[here] = np.arange(here.sum())
    return number


def _matches(tracks: Tracks, number: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """For each pair of frames the keypoints that are one point."""
    matches: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for start, length in zip(tracks.starts, tracks.lengths, strict=True):
        seen = sorted(
            zip(tracks.frame[start : start + length].tolist(), number[start : start + length].tolist(), strict=True)
        )
        for (i, a), (j, b) in combinations(seen, 2):
            matches.setdefault((i, j), []).append((a, b))
    return matches


def _adjusted(folder: Path, tracks: Tracks, options: dict) -> "list[Reconstruction]":
    """Bundle adjustment from told cameras, whose places are known to `PRIOR_TRUST`."""
    import pycolmap

    with np.load(folder / "told.npz") as told:
        cam_from_world, points = told["cam_from_world"], told["points"]
    model = _told_model(tracks, cam_from_world, points, options)
    settings = pycolmap.BundleAdjustmentOptions()
    settings.refine_principal_point = settings.refine_extra_params = False
    settings.min_track_length = 2
    settings.print_summary = False
    settings.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    settings.ceres.loss_function_scale = 1.0
    settings.ceres.use_gpu = False
    settings.ceres.solver_options.num_threads = 1
    settings.ceres.solver_options.max_num_iterations = ITERATIONS
    config = pycolmap.BundleAdjustmentConfig()
    priors = []
    for i, pose in enumerate(cam_from_world):
        config.add_image(i + 1)
        prior = pycolmap.PosePrior()
        prior.position = -pose[:, :3].T @ pose[:, 3]
        prior.position_covariance = np.eye(3) * PRIOR_TRUST**2
        prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
        prior.corr_data_id = model.image(i + 1).data_id
        priors.append(prior)
    adjuster = pycolmap.create_pose_prior_bundle_adjuster(
        settings, pycolmap.PosePriorBundleAdjustmentOptions(), config, priors, model
    )
    adjuster.solve()
    model.update_point_3d_errors()
    return [model]


def _told_model(tracks: Tracks, cam_from_world: np.ndarray, points: np.ndarray, options: dict) -> "Reconstruction":
    """The told cameras and the tracks' points as COLMAP holds them."""
    import pycolmap

    model = pycolmap.Reconstruction()
    parameters = [options["focal"], *options["middle"]]
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(
            model="SIMPLE_PINHOLE", width=options["width"], height=options["height"], params=parameters, camera_id=1
        )
    )
    for i, pose in enumerate(cam_from_world):
        image = pycolmap.Image(
            name=f"{i:04d}.png", camera_id=1, image_id=i + 1, keypoints=tracks.place[tracks.frame == i]
        )
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:, :3]), pose[:, 3]))
    number = _numbers_in_frames(tracks)
    for start, length, point in zip(tracks.starts, tracks.lengths, points, strict=True):
        elements = [
            pycolmap.TrackElement(int(tracks.frame[i]) + 1, int(number[i])) for i in range(start, start + length)
        ]
        model.add_point3D(point, pycolmap.Track(elements))
    return model


if __name__ == "__main__":
    answer(map_tracks)
