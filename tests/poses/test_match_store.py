"""Features and matches that outlive the process that found them."""

import numpy as np
import pytest

from img2world.poses.match_store import Features, Match, MatchStore, digest_arrays


def some_features(seed: int) -> Features:
    random = np.random.default_rng(seed)
    return Features(
        keypoints=random.random((seed, 6), np.float32), descriptors=random.integers(0, 255, (seed, 128), np.uint8)
    )


def test_features_are_read_back(tmp_path):
    store = MatchStore.open(tmp_path / "found", "key")
    for i in (0, 7, 12):
        store.save_features(i, some_features(i))
    found = MatchStore.open(tmp_path / "found", "key").load_features()
    assert list(found) == [0, 7, 12]
    for i, features in found.items():
        assert np.array_equal(features.keypoints, some_features(i).keypoints)
        assert np.array_equal(features.descriptors, some_features(i).descriptors)


def test_matches_are_read_back_by_kind(tmp_path):
    store = MatchStore.open(tmp_path / "found", "key")
    first = {(0, 1): Match(geometry=3, inliers=np.arange(8, dtype=np.uint32).reshape(4, 2))}
    second = {
        (0, 2): Match(geometry=1, inliers=np.zeros((0, 2), np.uint32)),
        (1, 2): Match(geometry=2, inliers=np.array([[5, 6]], np.uint32)),
    }
    store.save_matches("pairs", first)
    store.save_matches("pairs", second)
    store.save_matches("guided", first)
    found = store.load_matches("pairs")
    assert set(found) == {(0, 1), (0, 2), (1, 2)}
    for pair, match in {**first, **second}.items():
        assert found[pair].geometry == match.geometry
        assert np.array_equal(found[pair].inliers, match.inliers)
    assert set(store.load_matches("guided")) == {(0, 1)}


def test_a_file_that_was_being_written_does_not_count(tmp_path, monkeypatch):
    store = MatchStore.open(tmp_path / "found", "key")
    store.save_features(1, some_features(3))

    def die(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", die)
    with pytest.raises(KeyboardInterrupt):
        store.save_features(2, some_features(3))
    assert list(MatchStore.open(tmp_path / "found", "key").load_features()) == [1]


def test_a_store_of_other_pictures_is_emptied(tmp_path):
    MatchStore.open(tmp_path / "found", "key").save_features(1, some_features(3))
    assert MatchStore.open(tmp_path / "found", "other").load_features() == {}
    assert MatchStore.open(tmp_path / "found", "key").load_features() == {}


def test_the_digest_tells_contents_shapes_and_types_apart():
    a = np.arange(6)
    different = [digest_arrays(each) for each in (a, a + 1, a.reshape(2, 3), a.astype(np.int32), "a", None)]
    assert len(set(different)) == len(different)
    assert digest_arrays(a, "x") == digest_arrays(a.copy(), "x")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut", b"\x93NUMPY"])
def test_damaged_files_are_made_again(tmp_path, content):
    store = MatchStore.open(tmp_path / "found", "key")
    store.save_features(1, some_features(3))
    store.save_features(2, some_features(4))
    damaged = tmp_path / "found" / "features-00001.npz"
    damaged.write_bytes(content)
    assert list(store.load_features()) == [2]
    assert not damaged.exists()


def test_a_sound_file_outlives_a_lack_of_memory(tmp_path, monkeypatch):
    store = MatchStore.open(tmp_path / "found", "key")
    store.save_features(1, some_features(3))

    def full(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", full)
        with pytest.raises(MemoryError):
            store.load_features()
    assert list(store.load_features()) == [1]
