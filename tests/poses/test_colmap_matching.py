"""Features and matches found step by step: the same whatever the blocks, the threads and the interruptions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from img2world.core.errors import PoseError
from img2world.core.progress import silent
from img2world.poses import colmap_matching
from img2world.poses.colmap import pictures_for_colmap
from img2world.poses.colmap_database import Lenses
from img2world.poses.colmap_matching import Matcher
from img2world.poses.deadline import Deadline
from img2world.poses.match_store import MatchStore
from img2world.poses.reconstruction import configure_colmap


@pytest.fixture
def make(room, tmp_path, monkeypatch) -> Callable[..., Matcher]:
    """Makes matchers of four photos with the same store."""
    configure_colmap(0)
    frames = replace(room, rgb=room.rgb[:4], times=room.times[:4], ordered=False)
    arrays = pictures_for_colmap(frames)
    (tmp_path / "scratch").mkdir()

    def make(key: str = "", *, threads: int = 2, pictures: int = 1, pairs: int = 1, **changes) -> Matcher:
        monkeypatch.setattr(colmap_matching, "PICTURES_PER_THREAD", pictures)
        monkeypatch.setattr(colmap_matching, "PAIRS_PER_THREAD", pairs)
        settings = {
            "store": MatchStore.open(tmp_path / f"found{key}", key),
            "scratch": tmp_path / "scratch",
            "gray": arrays["gray"],
            "masks": None,
            "lenses": Lenses(
                model="RADIAL", sizes=arrays["sizes"], focals=arrays["focals"], of_picture=arrays["lenses"]
            ),
            "locations": None,
            "ordered": False,
            "max_features": 400,
            "seed": 0,
            "num_threads": threads,
            "deadline": Deadline(limit=0.0),
            "progress": silent,
        }
        return Matcher(**{**settings, **changes})

    return make


def found(matcher: Matcher) -> list[np.ndarray]:
    """All that a matcher finds."""
    matcher.find_features()
    matcher.match_first()
    features = [array for _, each in sorted(matcher.features.items()) for array in vars(each).values()]
    return features + [np.append(match.geometry, match.inliers) for _, match in sorted(matcher.matches.items())]


def differences(first: list[np.ndarray], second: list[np.ndarray]) -> list[str]:
    """Describe the arrays that differ: the first eight are features of four pictures, then come the matches."""
    return [
        f"array {k}: {a.shape} or {b.shape}, {a.ravel()[:8]} or {b.ravel()[:8]}"
        for k, (a, b) in enumerate(zip(first, second, strict=True))
        if not np.array_equal(a, b)
    ]


def test_neither_threads_nor_blocks_nor_interruptions_change_what_is_found(make):
    expected = found(make("whole", threads=1, pictures=4, pairs=6))
    assert sum(len(array) > 15 for array in expected[8:]) >= 3
    assert not differences(found(make("threads", threads=2, pictures=1, pairs=1)), expected)

    reports = []

    def interrupt(done: int, total: int, *, step: str = "", **quality: float) -> None:
        reports.append((step, done, total))
        raise KeyboardInterrupt

    interruptions = 0
    while True:
        try:
            again = found(make("resumed", progress=interrupt))
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert not differences(again, expected)
    # Each time one more block was kept, and nothing was found twice.
    assert interruptions == len(set(reports)) >= 5
    assert reports[:2] == [("features", 2, 4), ("features", 4, 4)]
    assert reports[2:5] == [("pairs", 2, 6), ("pairs", 4, 6), ("pairs", 6, 6)]


def test_no_features_where_masks_forbid_them(make):
    masks = np.full((4, 144, 192), 255, np.uint8)
    masks[1, :, :96] = 0
    matcher = make(masks=masks)
    matcher.find_features()
    assert (matcher.features[1].keypoints[:, 0] >= 96).all()
    assert (matcher.features[0].keypoints[:, 0] < 96).any()


def test_of_too_many_features_the_largest_are_kept(make):
    many, few = make("many", max_features=100_000), make("few", max_features=100)
    many.find_features()
    few.find_features()
    for i in range(4):
        assert len(few.features[i].keypoints) == 100 < len(many.features[i].keypoints)
        largest = np.sort(many.features[i].scales)[-100:]
        assert np.array_equal(np.sort(few.features[i].scales), largest)


def test_only_pictures_with_too_few_features_are_enlarged(make, monkeypatch):
    asked = []
    extract = colmap_matching.extract_features

    def noted(folder, pictures, lenses, **options):
        asked.append((options["first_octave"], sorted(pictures)))
        return extract(folder, pictures, lenses, **options)

    monkeypatch.setattr(colmap_matching, "extract_features", noted)
    monkeypatch.setattr(colmap_matching, "LARGE", 1000)
    make("few", pictures=2, max_features=60).find_features()
    assert asked == [(0, [0, 1, 2, 3])]
    asked.clear()
    make("many", pictures=2, max_features=100_000).find_features()
    assert asked == [(0, [0, 1, 2, 3]), (-1, [0, 1, 2, 3])]


def test_a_time_limit_leaves_the_features_that_there_are(make):
    with pytest.raises(PoseError, match=r"features of 0 of 4 frames took longer than 1e-09 seconds") as caught:
        make(deadline=Deadline(limit=1e-9)).find_features()
    assert "time_limit" in caught.value.hint
    matcher = make()
    matcher.find_features()
    late = make(deadline=Deadline(limit=1e-9))
    late.find_features()
    late.match_first()
    assert len(late.features) == 4
    assert late.matches == {}


def test_guidance_finds_more_and_replaces_what_was_found_before(make):
    matcher = make()
    matcher.find_features()
    matcher.match([(0, 1), (0, 3)])
    before = len(matcher.matches[0, 1])
    matcher.match([(0, 1)], guided=True)
    assert len(matcher.matches[0, 1]) > before
    assert len(matcher.matches[0, 1]) == len(matcher.guided[0, 1])
    assert matcher.matches[0, 3] is matcher.plain[0, 3]
