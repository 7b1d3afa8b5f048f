"""COLMAP on its own features, in a child process: `python -m img2world.poses.colmap_process`, run by `poses.colmap`.

It runs in a process of its own because it may crash on bad input, prints to the terminal, and corrupts the memory of
a process that also writes PNG files with Pillow.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2world.core.child_process import answer
from img2world.core.errors import PoseError
from img2world.core.progress import Progress
from img2world.poses.colmap import TAKE_PHOTOS
from img2world.poses.colmap_database import Lenses, create_database, write_features, write_matches
from img2world.poses.colmap_matching import Matcher
from img2world.poses.deadline import Deadline
from img2world.poses.match_store import MatchStore, digest_arrays
from img2world.poses.reconstruction import configure_colmap, is_plausible, placed_images, rank, sparse_model

if TYPE_CHECKING:
    from pycolmap import IncrementalPipelineOptions, Reconstruction


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Settings of the mapper."""

    min_matches: int
    """Between two frames. Few place more photos with wide baselines, more reject repeated structure as of wallpaper."""
    refine_focal: bool
    for_few: bool = False
    """Begin with still less, and take two photos for a model: of a few photos, each is worth a try. What is found is
    validated like all else."""
    known_lens: bool = False
    """Keep the lens as the metadata has it, and begin with less: two photos of flat things fit many lenses, but what
    fits a known one is mostly right."""


ATTEMPTS = (
    Attempt(min_matches=15, refine_focal=True),
    Attempt(min_matches=25, refine_focal=True),
    Attempt(min_matches=15, refine_focal=False),
    Attempt(min_matches=15, refine_focal=False, known_lens=True),
    Attempt(min_matches=15, refine_focal=False, for_few=True),
)
"""One after the other, until hardly any frames are left out; `known_lens` only where all focal lengths are known,
`for_few` only for few photos."""

FEW = 7
"""Photos that are few."""

MIN_MODEL_SIZE = 3
MAX_MODELS = 10

FEW_LEFT_OUT = 40
"""With so many frames one may be left out, with twice as many two, without another attempt to place it."""

GLOBAL_GROWTH = 1.3
"""Growth of the model, in frames or in points, after which all of it is adjusted."""

TOLERANCE = 1e-6
"""Relative decrease of the cost of an iteration at which bundle adjustment ends. COLMAP goes on to its limit of
iterations, which takes a third longer, for cameras that are the same to a hundredth of a degree."""

SCRATCH = "scratch"
"""Folder for files in between, in the folder that keeps features and matches."""


def reconstruct_from_features(options: dict, progress: Progress) -> None:
    """Write model.npz, a `SparseModel`: the best model of the pictures in pictures.npz.

    Options: folder, where features and matches are kept, with pictures.npz: gray [V, H, W] and, where they are known,
    masks [V, H, W] and locations [V, 3], the sizes [L, 2] and focals [L] of the lenses, and lenses [V]; ordered,
    camera_model, seed, max_features, time_limit (seconds, 0 is none), and num_threads (the result does not depend on
    it).
    """
    configure_colmap(options["seed"])
    folder = Path(options["folder"])
    with np.load(folder / "pictures.npz") as stored:
        arrays = dict(stored)
    lenses = Lenses(
        model=options["camera_model"], sizes=arrays["sizes"], focals=arrays["focals"], of_picture=arrays["lenses"]
    )
    scratch = folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    matcher = Matcher(
        store=MatchStore.open(folder / "found", key_of(arrays, options)),
        scratch=scratch,
        gray=arrays["gray"],
        masks=arrays.get("masks"),
        lenses=lenses,
        locations=arrays.get("locations"),
        ordered=options["ordered"],
        max_features=options["max_features"],
        seed=options["seed"],
        num_threads=options["num_threads"],
        deadline=Deadline(limit=options["time_limit"]),
        progress=progress,
    )
    matcher.find_features()
    matcher.match_first()
    model = _find_best_model(matcher)
    height, width = arrays["gray"].shape[1:]
    sparse_model(model, width, height).save(folder / "model.npz")


def key_of(arrays: dict[str, np.ndarray], options: dict) -> str:
    """Return a digest of all that features and matches depend on."""
    import pycolmap

    # Whatever decides on features and matches is in this folder.
    code = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    names = ("ordered", "camera_model", "seed", "max_features")
    pictures = [part for name in sorted(arrays) if name != "locations" for part in (name, arrays[name])]
    return digest_arrays(pycolmap.__version__, *code, *(repr(options[name]) for name in names), *pictures)


def _find_best_model(matcher: Matcher) -> "Reconstruction":
    """Return the plausible model with the most frames; match those that it leaves out again, as long as that helps."""
    total = len(matcher.gray)
    best = None
    for call in count():
        models = [] if best is None else [best]
        for model in _map(matcher, call):
            models.append(model)
            if _left_out([model], total) <= total // FEW_LEFT_OUT:
                break
        found = max(models, key=rank, default=None)
        gained = found is not None and (best is None or rank(found)[0] > rank(best)[0])
        best = found
        if best is not None and _left_out([best], total) <= total // FEW_LEFT_OUT:
            return best
        if (call > 0 and not gained) or matcher.deadline.is_over() or not _match_more(matcher, best):
            break
    if best is None:
        raise PoseError(
            f"COLMAP placed none of {total} {'frames' if matcher.ordered else 'photos'}",
            hint="the frames need texture, overlap and a camera that moves sideways; "
            "or use a camera-controlled video backend with commanded poses"
            if matcher.ordered
            else TAKE_PHOTOS,
        )
    return best


def _left_out(models: "list[Reconstruction]", total: int) -> int:
    """Return how many frames the model that places the most leaves out."""
    return total - max(len(placed_images(model)) for model in models)


def _match_more(matcher: Matcher, best: "Reconstruction | None") -> bool:
    """Look for more matches of the frames that are not placed; tell whether there are any."""
    placed = set() if best is None else {image.image_id - 1 for image in placed_images(best)}
    left_out = set(range(len(matcher.gray))) - placed
    found = matcher.match_left_out(left_out) if placed and not matcher.ordered else False
    # Guided matching finds false matches in generated videos, which are distorted, so there it comes last.
    return matcher.match_weak(left_out) or found


def _map(matcher: Matcher, call: int) -> "Iterator[Reconstruction]":
    """Yield the plausible models that COLMAP's incremental mapper finds with one setting after the other."""
    import pycolmap

    total = len(matcher.gray)
    database = matcher.scratch / f"mapping{call}.db"
    create_database(database, matcher.lenses, range(total))
    write_features(database, matcher.features)
    write_matches(database, matcher.matches)
    is_known, is_hopeless = bool((matcher.lenses.focals > 0).all()), False
    for setting, attempt in enumerate(ATTEMPTS):
        if matcher.deadline.is_over() or (is_hopeless and not (attempt.known_lens or attempt.for_few)):
            continue
        if attempt.known_lens > is_known or attempt.for_few > (total <= FEW and not matcher.ordered):
            continue
        output = matcher.scratch / f"model{call}-{setting}"
        output.mkdir()
        placed = iter(range(3, total))
        found = pycolmap.incremental_mapping(
            database,
            matcher.scratch,
            output,
            mapper_options(matcher.seed, matcher.deadline, attempt),
            initial_image_pair_callback=lambda: matcher.progress(2, total, step="placed"),
            next_image_callback=lambda placed=placed: matcher.progress(next(placed, total - 1), total, step="placed"),
        )
        yield from (found[key] for key in sorted(found) if is_plausible(found[key]))
        # No initial pair. The search for one takes the longest, and another attempt with as much finds none either.
        is_hopeless = is_hopeless or not found


def mapper_options(seed: int, deadline: Deadline, attempt: Attempt) -> "IncrementalPipelineOptions":
    """Return COLMAP's defaults but for the arguments. More lenient options placed more frames, but wrongly."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    # The sums of bundle adjustment depend on the number of threads.
    options.num_threads = 1
    options.extract_colors = False
    options.min_num_matches = attempt.min_matches
    options.min_model_size = MIN_MODEL_SIZE
    options.max_num_models = MAX_MODELS
    options.ba_global_frames_ratio = options.ba_global_points_ratio = GLOBAL_GROWTH
    options.ba_local_function_tolerance = options.ba_global_function_tolerance = TOLERANCE
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = attempt.refine_focal
    if attempt.known_lens:
        options.ba_refine_extra_params = options.mapper.abs_pose_refine_extra_params = False
        options.mapper.init_min_num_inliers = 50
        options.mapper.init_min_tri_angle = 8
        options.mapper.abs_pose_min_num_inliers = 20
    if attempt.for_few:
        options.min_model_size = 2
        options.mapper.init_min_num_inliers = 30
        options.mapper.init_min_tri_angle = 3
        options.mapper.abs_pose_min_num_inliers = 15
        options.mapper.abs_pose_min_inlier_ratio = 0.15
    if deadline.limit:
        # What is placed by then is kept.
        options.max_runtime_seconds = max(1, round(deadline.left))
    return options


if __name__ == "__main__":
    answer(reconstruct_from_features)
