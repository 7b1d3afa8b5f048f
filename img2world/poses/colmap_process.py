"""Runs COLMAP in a child process: `python -m img2world.poses.colmap_process`, started by `poses.colmap`.

It runs apart because it may crash on bad input, prints to the terminal, and corrupts the memory of a
process that also writes PNG files with Pillow.
"""

import shutil
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from img2world.core.child_process import answer
from img2world.core.errors import PoseError
from img2world.core.progress import Progress

if TYPE_CHECKING:
    from pycolmap import Camera, Image, IncrementalPipelineOptions, Reconstruction

NEIGHBOURS = 8
"""Frames of a video are matched with so many after them,"""

KEY_STEP = 6
"""and every so many-th frame with all others of these, so that a path that comes back is closed."""

ATTEMPTS = ((15, True), (25, True), (15, False))
"""From how many matches on a pair of frames counts, and whether the focal length is free. Few matches place more
photos taken far apart; more keep out what looks alike but is not the same, such as wallpaper."""

FOCAL_RANGE = (0.45, 3.0)
"""In longest sides of the picture: 96 to 19 degrees."""

MIN_POINTS_SHARE = 0.15
"""A frame must see so much of the number of points that frames usually see."""

USUAL_FOCAL = 0.85
"""In longest sides of the picture, to begin with: 61 degrees, between phones and generated videos."""

FEATURES_SHARE, MATCHES_SHARE = 0.15, 0.6
"""Parts of the time that go by until features are found and until they are matched."""


def find_cameras(options: dict, progress: Progress) -> None:
    """Write found.npz: what `poses.colmap.Found` holds, for the largest model of the images in images/.

    Options: folder, num_frames, ordered, camera_model, seed, width, height, max_features, exhaustive_up_to,
    num_threads (the result does not depend on it).
    """
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    pycolmap.set_random_seed(options["seed"])
    folder = Path(options["folder"])
    total = options["num_frames"]
    _extract(folder, options)
    progress(round(total * FEATURES_SHARE), total)
    model = _model(folder, options, progress)
    camera = model.cameras[min(model.cameras)]
    pinhole = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)
    # The undistorted picture may come out larger or smaller than the stored one.
    pinhole.rescale(options["width"], options["height"])
    arrays: dict = describe(model) | lens(camera, pinhole)
    if not camera.is_undistorted() and len(arrays["track_place"]):
        flat = np.asarray(camera.cam_from_img(arrays["track_place"]))
        arrays["track_place"] = np.asarray(pinhole.img_from_cam(np.column_stack([flat, np.ones(len(flat))])))
    np.savez(folder / "found.npz", **arrays)
    progress(total, total)


def _extract(folder: Path, options: dict) -> None:
    """Features of all images in the database, all of one camera."""
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = options["camera_model"]
    reader.default_focal_length_factor = USUAL_FOCAL
    if (folder / "masks").exists():
        reader.mask_path = folder / "masks"
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.num_threads = options["num_threads"]
    extraction.use_gpu = False
    extraction.sift.max_num_features = options["max_features"]
    # A third of COLMAP's own threshold: small, smooth, generated frames have few strong features.
    extraction.sift.peak_threshold = 0.002
    database, images, mode = folder / "database.db", folder / "images", pycolmap.CameraMode.SINGLE
    pycolmap.Database.open(database).close()
    # Otherwise the images are numbered as the threads finish, and all that follows depends on it.
    pycolmap.import_images(database, images, camera_mode=mode, options=reader)
    pycolmap.extract_features(
        database,
        images,
        camera_mode=mode,
        reader_options=reader,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )


def image_pairs(num_frames: int, ordered: bool, exhaustive_up_to: int) -> list[tuple[int, int]]:
    """Which frames are compared: all with all, or for long videos neighbours and key frames."""
    pairs = combinations(range(num_frames), 2)
    if not ordered or num_frames <= exhaustive_up_to:
        return list(pairs)
    return [(i, j) for i, j in pairs if j - i <= NEIGHBOURS or (i % KEY_STEP == 0 and j % KEY_STEP == 0)]


def _match(database: Path, options: dict, guided: bool) -> None:
    """Add matches of the image pairs to the database, verified by two-view geometry."""
    import pycolmap

    pairs = image_pairs(options["num_frames"], options["ordered"], options["exhaustive_up_to"])
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = database.with_suffix(".txt")
    pairing.match_list_path.write_text("".join(f"{i:04d}.png {j:04d}.png\n" for i, j in pairs))
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = options["num_threads"]
    matching.use_gpu = False
    matching.guided_matching = guided
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = options["seed"]
    pycolmap.match_image_pairs(
        database,
        matching_options=matching,
        pairing_options=pairing,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def _model(folder: Path, options: dict, progress: Progress) -> "Reconstruction":
    """The model with the most frames that has a possible lens; one with all frames ends the search."""
    import pycolmap

    total = options["num_frames"]
    placed = iter(range(round(total * MATCHES_SHARE), total))
    models = []
    # A second search for matches along the epipolar lines places 12 instead of 2 of 13 photos that were taken
    # 15 to 60 degrees apart. In generated videos, which bend, it finds false ones, so there it comes last.
    for guided in (False, True) if options["ordered"] else (True,):
        database = folder / f"guided{guided}.db"
        shutil.copy(folder / "database.db", database)
        _match(database, options, guided)
        progress(next(placed, total - 1), total)
        found = {}
        for attempt, (min_matches, refine_focal) in enumerate(ATTEMPTS):
            output = folder / f"guided{guided}{attempt}"
            output.mkdir()
            found = pycolmap.incremental_mapping(
                database,
                folder / "images",
                output,
                _settings(options["seed"], min_matches, refine_focal),
                next_image_callback=lambda: progress(next(placed, total - 1), total),
            )
            models += [found[key] for key in sorted(found) if is_possible(found[key])]
            if any(len(_placed(model)) == total for model in models):
                return max(models, key=rank)
            if not found:
                # No two frames to begin with. Looking for them takes the longest, and another try finds none either.
                break
        if not models and not found:
            break
    if not models:
        raise PoseError(
            f"COLMAP placed none of {total} frames",
            hint="the frames need texture, overlap and a camera that moves sideways; "
            "or use a camera-controlled video backend with commanded poses",
        )
    return max(models, key=rank)


def rank(model: "Reconstruction") -> tuple[int, int]:
    """Grows with the number of placed frames, then of points."""
    return len(_placed(model)), model.num_points3D()


def _placed(model: "Reconstruction") -> "list[Image]":
    """The placed images by name, without those that hang on to the rest by few points: these are mostly wrong."""
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    usual = median(image.num_points3D for image in images) if images else 0
    return [image for image in images if image.num_points3D >= MIN_POINTS_SHARE * usual]


def _settings(seed: int, min_matches: int, refine_focal: bool) -> "IncrementalPipelineOptions":
    """COLMAP's own settings but for what is asked. More lenient ones placed more frames, but wrongly."""
    import pycolmap

    settings = pycolmap.IncrementalPipelineOptions()
    # The sums of bundle adjustment depend on the number of threads.
    settings.num_threads = 1
    settings.min_num_matches = min_matches
    settings.min_model_size = 3
    settings.max_num_models = 10
    settings.random_seed = settings.mapper.random_seed = settings.triangulation.random_seed = seed
    settings.ba_refine_focal_length = settings.mapper.abs_pose_refine_focal_length = refine_focal
    return settings


def is_possible(model: "Reconstruction") -> bool:
    """Whether the focal length is that of a real lens: without parallax it may run away to any value."""
    camera = model.cameras[min(model.cameras)]
    return FOCAL_RANGE[0] < camera.mean_focal_length() / max(camera.width, camera.height) < FOCAL_RANGE[1]


def describe(model: "Reconstruction") -> dict[str, np.ndarray]:
    """Poses, points and how well they agree, in COLMAP's world."""
    images = _placed(model)
    points = [model.point3D(i) for i in sorted(model.point3D_ids())]
    errors = {i: model.point3D(i).error for i in model.point3D_ids()}
    seen = [[point.point3D_id for point in image.points2D if point.has_point3D()] for image in images]
    in_first = set(seen[0])
    return {
        "placed": np.array([int(Path(image.name).stem) for image in images]),
        "cam_from_world": np.stack([image.cam_from_world().matrix() for image in images]),
        "observations": np.array([len(ids) for ids in seen]),
        "view_errors": np.array([np.mean([errors[i] for i in ids]) if ids else np.inf for ids in seen]),
        "points": np.array([point.xyz for point in points]).reshape(-1, 3),
        "point_colors": np.array([point.color for point in points], np.uint8).reshape(-1, 3),
        "point_errors": np.array([point.error for point in points], np.float64),
        "track_lengths": np.array([point.track.length() for point in points], np.int64),
        "in_first": np.array([i in in_first for i in sorted(model.point3D_ids())], bool),
        **_tracks(model, images),
    }


def _tracks(model: "Reconstruction", images: "list[Image]") -> dict[str, np.ndarray]:
    """The points' observations in the placed frames, as `tracks.Tracks` holds them."""
    number = {image.image_id: i for i, image in enumerate(images)}
    frame, place, starts = [], [], []
    for point in (model.point3D(i) for i in sorted(model.point3D_ids())):
        seen = sorted(
            (number[e.image_id], e.point2D_idx, e.image_id) for e in point.track.elements if e.image_id in number
        )
        if len({i for i, _, _ in seen}) < 2:
            continue
        starts.append(len(frame))
        frame += [i for i, _, _ in seen]
        place += [model.image(image).points2D[index].xy for _, index, image in seen]
    return {
        "track_frame": np.array(frame, np.int64),
        "track_place": np.array(place, np.float64).reshape(-1, 2),
        "track_starts": np.array(starts, np.int64),
    }


def lens(camera: "Camera", pinhole: "Camera") -> dict[str, np.ndarray]:
    """The pinhole's intrinsics, and for each of its pixels the place in the stored picture (none when equal)."""
    intrinsics = pinhole.calibration_matrix()
    places: Float32[np.ndarray, "H W 2"] = np.zeros((0, 0, 2), np.float32)
    if not camera.is_undistorted():
        row, column = np.mgrid[: pinhole.height, : pinhole.width].reshape(2, -1)
        pixels = np.stack([column + 0.5, row + 0.5], -1)  # [H * W, 2]
        rays = np.linalg.solve(intrinsics, np.column_stack([pixels, np.ones(len(pixels))]).T).T
        stored = np.asarray(camera.img_from_cam(rays), np.float32)
        places = stored.reshape(pinhole.height, pinhole.width, 2)
    return {"intrinsics": intrinsics, "places": places}


if __name__ == "__main__":
    answer(find_cameras)
