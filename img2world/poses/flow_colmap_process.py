"""COLMAP on given tracks, in a child process: `python -m img2world.poses.flow_colmap_process`, run by `flow_colmap`."""

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2world.core.child_process import answer
from img2world.core.errors import PoseError
from img2world.core.progress import Progress
from img2world.poses.bundle_adjustment import adjust_near, build_model, keypoint_indices
from img2world.poses.colmap_database import Lenses, create_database, picture_name
from img2world.poses.reconstruction import configure_colmap, is_plausible, rank, sparse_model
from img2world.tracking.tracks import Tracks

if TYPE_CHECKING:
    from pycolmap import IncrementalPipelineOptions, Reconstruction

MIN_MATCHES = 15
"""Tracks that two frames must share to be matched."""

PRIOR_POSITION_STD = 0.03
"""World units: standard deviation of a camera's position from its prior position."""


def reconstruct_from_tracks(options: dict, progress: Progress) -> None:
    """Write model.npz, a `SparseModel`: the best model from the tracks in tracks.npz.

    Options: folder, num_frames, seed, width, height, focal (pixels, or None where it is unknown), principal_point
    (pixels), mapper (incremental, global, or adjust: bundle adjustment that starts from the cameras in prior.npz).
    """
    configure_colmap(options["seed"])
    folder = Path(options["folder"])
    with np.load(folder / "tracks.npz") as arrays:
        tracks = Tracks(**dict(arrays))
    solve = _adjust_bundle if options["mapper"] == "adjust" else _map_tracks
    models = [model for model in solve(folder, tracks, options) if is_plausible(model)]
    if not models:
        raise PoseError(
            f"COLMAP ({options['mapper']}) placed none of {options['num_frames']} frames by optical flow",
            hint="the frames need texture and a camera that moves sideways",
        )
    sparse_model(max(models, key=rank), options["width"], options["height"]).save(folder / "model.npz")
    progress(options["num_frames"], options["num_frames"])


def _map_tracks(folder: Path, tracks: Tracks, options: dict) -> "list[Reconstruction]":
    """Return the models that the incremental or global mapper finds."""
    import pycolmap

    _write_database(folder, tracks, options)
    database, output = folder / "database.db", folder / "models"
    output.mkdir()
    if options["mapper"] == "incremental":
        found = pycolmap.incremental_mapping(database, folder, output, _mapper_options(options["seed"]))
    else:
        settings = pycolmap.GlobalPipelineOptions()
        settings.num_threads = 1
        settings.random_seed = options["seed"]
        found = pycolmap.global_mapping(database, folder, output, settings)
    return [found[key] for key in sorted(found)]


def _mapper_options(seed: int) -> "IncrementalPipelineOptions":
    """Return more lenient options than for photos: small frames have few points, but the tracks are checked."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    options.extract_colors = False
    options.min_model_size = 3
    options.min_num_matches = 10
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.mapper.init_min_num_inliers = 40
    options.mapper.abs_pose_min_num_inliers = 15
    options.mapper.init_min_tri_angle = 8
    options.mapper.init_max_reg_trials = 3
    return options


def _write_database(folder: Path, tracks: Tracks, options: dict) -> None:
    """Write tracks as keypoints, and as matches of all pairs of frames that share enough of them."""
    import pycolmap

    count, path = options["num_frames"], folder / "database.db"
    lenses = Lenses(
        model="SIMPLE_PINHOLE",
        sizes=np.array([[options["width"], options["height"]]]),
        focals=np.array([options["focal"] or 0.0]),
        of_picture=np.zeros(count, np.int64),
    )
    create_database(path, lenses, range(count))
    database = pycolmap.Database.open(path)
    for frame in range(count):
        database.write_keypoints(frame + 1, tracks.xy[tracks.frame_ids == frame].astype(np.float32))
    pairs = []
    for (i, j), matches in sorted(pairwise_matches(tracks).items()):
        if len(matches) >= MIN_MATCHES:
            database.write_matches(i + 1, j + 1, np.array(matches, np.uint32))
            pairs.append(f"{picture_name(i)} {picture_name(j)}\n")
    database.close()
    (folder / "pairs.txt").write_text("".join(pairs))
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = options["seed"]
    pycolmap.verify_matches(path, folder / "pairs.txt", options=verification)


def pairwise_matches(tracks: Tracks) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return for each pair of frames the keypoint indices of the tracks that both see."""
    indices = keypoint_indices(tracks)
    matches: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for start, length in zip(tracks.starts, tracks.lengths, strict=True):
        rows = slice(start, start + length)
        seen = sorted(zip(tracks.frame_ids[rows].tolist(), indices[rows].tolist(), strict=True))
        for (i, a), (j, b) in combinations(seen, 2):
            matches.setdefault((i, j), []).append((a, b))
    return matches


def _adjust_bundle(folder: Path, tracks: Tracks, options: dict) -> "list[Reconstruction]":
    """Return the model after bundle adjustment from prior cameras, near their positions."""
    import pycolmap

    with np.load(folder / "prior.npz") as prior:
        cam_from_world, points = prior["cam_from_world"], prior["points"]
    parameters = [options["focal"], *options["principal_point"]]
    camera = pycolmap.Camera(
        model="SIMPLE_PINHOLE", width=options["width"], height=options["height"], params=parameters
    )
    model = build_model(tracks, cam_from_world, points, [camera])
    adjust_near(model, PRIOR_POSITION_STD, refine_focal=True)
    model.update_point_3d_errors()
    return [model]


if __name__ == "__main__":
    answer(reconstruct_from_tracks)
