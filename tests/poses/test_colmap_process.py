"""Files that the child process keeps, and settings of its mapper."""

import numpy as np
import pytest

from img2world.poses.colmap_process import Attempt, key_of, mapper_options
from img2world.poses.deadline import Deadline

ARRAYS = {"gray": np.zeros((2, 3, 4), np.uint8), "sizes": np.array([[4, 3]])}
OPTIONS = {
    "ordered": True,
    "camera_model": "RADIAL",
    "seed": 0,
    "max_features": 10,
    "time_limit": 5.0,
    "num_threads": 2,
}


def test_the_key_changes_with_all_that_features_and_matches_depend_on():
    key = key_of(ARRAYS, OPTIONS)
    assert key_of({**ARRAYS, "gray": ARRAYS["gray"].copy()}, OPTIONS) == key
    # Neither how long it may take nor the number of threads changes what is found.
    assert key_of(ARRAYS, {**OPTIONS, "time_limit": 9.0, "num_threads": 1}) == key
    for change in ({"ordered": False}, {"camera_model": "OPENCV"}, {"seed": 1}, {"max_features": 11}):
        assert key_of(ARRAYS, {**OPTIONS, **change}) != key
    for change in ({"gray": ARRAYS["gray"] + 1}, {"sizes": np.array([[3, 4]])}, {"masks": ARRAYS["gray"]}):
        assert key_of({**ARRAYS, **change}, OPTIONS) != key


@pytest.mark.parametrize(("limit", "expected"), [(0.0, -1), (600.0, 600)])
def test_mapping_ends_with_what_it_has_when_the_time_is_over(limit, expected):
    options = mapper_options(7, Deadline(limit=limit), Attempt(min_matches=25, refine_focal=False))
    assert options.max_runtime_seconds == pytest.approx(expected, abs=1)
    assert (options.min_num_matches, options.random_seed, options.mapper.random_seed) == (25, 7, 7)
    assert not options.ba_refine_focal_length
    # More threads would change the last bits.
    assert options.num_threads == 1


def test_a_known_lens_is_kept_and_less_is_enough_to_begin_with():
    usual = mapper_options(0, Deadline(limit=0.0), Attempt(min_matches=15, refine_focal=True))
    known = mapper_options(0, Deadline(limit=0.0), Attempt(min_matches=15, refine_focal=False, known_lens=True))
    assert usual.ba_refine_focal_length
    assert usual.ba_refine_extra_params
    assert not known.ba_refine_focal_length
    assert not known.ba_refine_extra_params
    assert known.mapper.init_min_num_inliers < usual.mapper.init_min_num_inliers
