"""COLMAP on its own features, in a child process: `python -m img2world.poses.colmap_process`, run by `poses.colmap`.

It runs in a process of its own because it may crash on bad input, prints to the terminal, and corrupts the memory of
a process that also writes PNG files with Pillow.
"""

import shutil
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from img2world.core.child_process import answer
from img2world.core.errors import PoseError
from img2world.core.progress import Progress
from img2world.poses.reconstruction import (
    INITIAL_FOCAL,
    configure_colmap,
    is_plausible,
    placed_images,
    rank,
    sparse_model,
)

if TYPE_CHECKING:
    from pycolmap import IncrementalPipelineOptions, Reconstruction

MAX_EXHAUSTIVE = 40
"""Frames of the longest video of which all pairs of frames are matched; of photos all pairs always are."""

NUM_NEIGHBORS = 8
"""Frames of a long video are matched with so many after them …"""

KEY_FRAME_STEP = 6
"""… and every so many-th frame with all others of these, so that a path that returns is closed."""

ATTEMPTS = ((15, True), (25, True), (15, False))
"""Minimum number of matches between two frames, and whether the focal length is refined, in each attempt.

Few matches place more photos with wide baselines; more matches reject repeated structure such as wallpaper.
"""

MIN_MODEL_SIZE = 3
MAX_MODELS = 10

SIFT_PEAK_THRESHOLD = 0.002
"""A third of COLMAP's default: small, smooth, generated frames have few strong features."""

FEATURES_TIME, MATCHES_TIME = 0.15, 0.6
"""Fractions of the time after which features are usually found and matched."""


def reconstruct_from_features(options: dict, progress: Progress) -> None:
    """Write model.npz, a `SparseModel`: the best model of the images in images/.

    Options: folder, num_frames, ordered, camera_model, seed, width, height, max_features, num_threads (the result does
    not depend on it).
    """
    configure_colmap(options["seed"])
    folder, total = Path(options["folder"]), options["num_frames"]
    _extract_features(folder, options)
    progress(round(total * FEATURES_TIME), total)
    model = _find_best_model(folder, options, progress)
    sparse_model(model, options["width"], options["height"]).save(folder / "model.npz")
    progress(total, total)


def _extract_features(folder: Path, options: dict) -> None:
    """Add the features of all images to the database, as images of one camera."""
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = options["camera_model"]
    reader.default_focal_length_factor = INITIAL_FOCAL
    if (folder / "masks").exists():
        reader.mask_path = folder / "masks"
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.num_threads = options["num_threads"]
    extraction.use_gpu = False
    extraction.sift.max_num_features = options["max_features"]
    extraction.sift.peak_threshold = SIFT_PEAK_THRESHOLD
    database, images, mode = folder / "database.db", folder / "images", pycolmap.CameraMode.SINGLE
    pycolmap.Database.open(database).close()
    # Without this the images are numbered in the order in which threads finish, and all that follows depends on it.
    pycolmap.import_images(database, images, camera_mode=mode, options=reader)
    pycolmap.extract_features(
        database,
        images,
        camera_mode=mode,
        reader_options=reader,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )


def select_pairs(num_frames: int, ordered: bool) -> list[tuple[int, int]]:
    """Return the pairs of frames to match: all, or neighbours and key frames of a long video."""
    pairs = combinations(range(num_frames), 2)
    if not ordered or num_frames <= MAX_EXHAUSTIVE:
        return list(pairs)
    return [(i, j) for i, j in pairs if j - i <= NUM_NEIGHBORS or (i % KEY_FRAME_STEP == 0 and j % KEY_FRAME_STEP == 0)]


def _match_features(database: Path, options: dict, guided: bool) -> None:
    """Add matches of the image pairs to the database, verified by two-view geometry."""
    import pycolmap

    pairs = select_pairs(options["num_frames"], options["ordered"])
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


def _find_best_model(folder: Path, options: dict, progress: Progress) -> "Reconstruction":
    """Return the plausible model with the most frames of all attempts; one with all frames ends the search."""
    import pycolmap

    total = options["num_frames"]
    placed = iter(range(round(total * MATCHES_TIME), total))
    models = []
    # Guided matching, which searches again along the epipolar lines, places 12 instead of 2 of 13 photos taken 15 to
    # 60 degrees apart. In generated videos, which are distorted, it finds false matches, so there it comes last.
    for guided in (False, True) if options["ordered"] else (True,):
        database = folder / f"guided{guided}.db"
        shutil.copy(folder / "database.db", database)
        _match_features(database, options, guided)
        progress(next(placed, total - 1), total)
        found = {}
        for attempt, (min_matches, refine_focal) in enumerate(ATTEMPTS):
            output = folder / f"guided{guided}{attempt}"
            output.mkdir()
            found = pycolmap.incremental_mapping(
                database,
                folder / "images",
                output,
                _mapper_options(options["seed"], min_matches, refine_focal),
                next_image_callback=lambda: progress(next(placed, total - 1), total),
            )
            models += [found[key] for key in sorted(found) if is_plausible(found[key])]
            if any(len(placed_images(model)) == total for model in models):
                return max(models, key=rank)
            if not found:
                # No initial pair. The search for one takes the longest, and another attempt finds none either.
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


def _mapper_options(seed: int, min_matches: int, refine_focal: bool) -> "IncrementalPipelineOptions":
    """Return COLMAP's defaults but for the arguments. More lenient options placed more frames, but wrongly."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    # The sums of bundle adjustment depend on the number of threads.
    options.num_threads = 1
    options.min_num_matches = min_matches
    options.min_model_size = MIN_MODEL_SIZE
    options.max_num_models = MAX_MODELS
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = refine_focal
    return options


if __name__ == "__main__":
    answer(reconstruct_from_features)
